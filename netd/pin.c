/*
 * pin.c - PIN: a name is granted to a profile before its answer goes out
 *
 * Theory of operation: the resolver sends the name and the real addresses it found, and holds its answer
 * back. Here the decision is made again with the policy in force (the resolver is not trusted to grant),
 * the inspector and the proxy are told of a new name and must acknowledge it, then translation and
 * grants are written and the kernel must acknowledge them; only then PINNED goes back. Everyone who asks
 * for a name while it is being told waits for the same acknowledgement: the second of two queries must
 * not be answered before the first one's pin has landed.
 *
 * Invariants: the decision is taken when the kernel is written, not when the message came: a reload in
 * between counts. An error is a refusal.
 */
#include "netd/pin.h"

#include <errno.h>
#include <string.h>

#include "base/log.h"
#include "netd/names.h"
#include "netd/parts.h"
#include "netd/profiles.h"
#include "netd/registry.h"
#include "policy/policy.h"

struct pin {
	struct pin *next;		/* waits for the same name */
	uint64_t part;
	uint32_t sequence;
	struct msg_pin m;
};

struct telling {			/* of a new name */
	struct publish publish;
	uint32_t index;
};

static void answer(struct netd *n, uint64_t part, uint32_t sequence, const struct msg_pinned *m)
{
	parts_answer(n->parts, part, MSG_PINNED, sequence, m);
}

static void refuse(struct netd *n, uint64_t part, uint32_t sequence, enum reason why)
{
	struct msg_pinned m = { .reason = why };

	answer(n, part, sequence, &m);
}

/* Who asks: a sandbox that is there, under the profile that it has. */
static enum reason asker(const struct netd *n, const struct msg_pin *m, struct sandbox **ret)
{
	struct sandbox *s = registry_by_id(n->registry, m->sandbox);

	if (!s || s->state == SANDBOX_CLOSING || s->profile != m->profile)
		return REASON_INTERNAL_ERROR;
	*ret = s;
	return REASON_NONE;
}

static enum reason decide(const struct netd *n, const struct msg_pin *m, struct name_decision *ret)
{
	const struct policy *policy = profiles_policy(n->profiles, m->profile);

	memset(ret, 0, sizeof(*ret));
	if (!policy)
		return REASON_INTERNAL_ERROR;
	policy_decide_name(policy, m->name, ret);
	if (ret->allowed)
		return REASON_NONE;
	return ret->reason ? ret->reason : REASON_NAME_NOT_ALLOWED;
}

/* A wildcard gives a guest the choice of names, so their number per sandbox is limited. */
static enum reason budget(struct netd *n, struct sandbox *s, const struct name *nm,
			  const struct name_decision *d)
{
	const struct policy *policy = profiles_policy(n->profiles, s->profile);

	if (!d->wildcard)
		return REASON_NONE;
	return sandbox_uses_wild(s, nm->index, policy_limits(policy)->names, loop_now(n->loop))
		       ? REASON_NONE : REASON_WILDCARD_BUDGET_EXCEEDED;
}

static void pin_finish(struct netd *n, struct name *nm, const struct pin *p)
{
	struct name_offer offer = { .profile = p->m.profile, .a = { p->m.a4, p->m.a6 },
				    .n = { p->m.n4, p->m.n6 } };
	struct msg_pinned reply = { .index = nm->index };
	bool has[2] = { false, false };
	struct name_decision d;
	struct sandbox *s;
	enum reason why = asker(n, &p->m, &s);

	if (!why)
		why = decide(n, &p->m, &d);
	if (!why)
		why = budget(n, s, nm, &d);
	if (!why)
		why = names_grant(n->names, n->profiles, nm, &offer, has);
	if (why == REASON_INTERNAL_ERROR)
		log_line(LOG_ERR, "event=pin_failed name=%s profile=%u", nm->text, p->m.profile);
	reply.reason = why;
	reply.has4 = !why && has[0];
	reply.has6 = !why && has[1];
	answer(n, p->part, p->sequence, &reply);
}

static void name_told(struct netd *n, struct publish *publish)
{
	struct telling *t = container_of(publish, struct telling, publish);
	struct name *nm = names_at(n->names, t->index);
	struct pin *p;

	free(t);
	nm->known = true;
	while ((p = nm->waiting)) {
		nm->waiting = p->next;
		pin_finish(n, nm, p);
		free(p);
	}
}

/* The first of those who wait tells the parts. */
static int tell(struct netd *n, struct name *nm)
{
	struct telling *t = calloc(1, sizeof(*t));
	struct msg_name m;

	if (!t)
		return -ENOMEM;
	t->index = nm->index;
	name_message(nm, &m);
	publish_begin(n, &t->publish, name_told);
	publish_send(&t->publish, TO_NAMES, MSG_NAME_IS, &m, NULL);
	publish_end(&t->publish);
	return 0;
}

static enum reason wait_for(struct netd *n, struct name *nm, uint64_t part, uint32_t sequence,
			    const struct msg_pin *m)
{
	struct pin *p = calloc(1, sizeof(*p)), **at;
	bool first = !nm->waiting;

	if (!p)
		return REASON_INTERNAL_ERROR;
	p->part = part;
	p->sequence = sequence;
	p->m = *m;
	for (at = &nm->waiting; *at; at = &(*at)->next)
		;
	*at = p;
	if (!first || tell(n, nm) == 0)
		return REASON_NONE;
	nm->waiting = NULL;
	free(p);
	return REASON_INTERNAL_ERROR;
}

static enum reason name_for(struct netd *n, const char *text, struct name **ret)
{
	int r = 0;

	*ret = names_find(n->names, text);
	if (!*ret)
		r = names_add(n->names, text, ret);
	return r == -ENOSPC ? REASON_POOL_EXHAUSTED : r < 0 ? REASON_INTERNAL_ERROR : REASON_NONE;
}

static bool well_formed(const struct msg_pin *m)
{
	char canonical[POLICY_NAME_MAX + 1];

	return msg_text_ok(m->name, sizeof(m->name)) && m->n4 <= MSG_ADDRS && m->n6 <= MSG_ADDRS &&
	       name_canonical(rd_str(m->name), canonical) && !strcmp(canonical, m->name);
}

int pin_start(struct netd *n, uint64_t part, uint32_t sequence, const struct msg_pin *m)
{
	struct name_decision d;
	struct name *nm = NULL;
	struct sandbox *s;
	enum reason why;

	if (!well_formed(m))
		return -EPROTO;
	why = asker(n, m, &s);
	if (!why)
		why = decide(n, m, &d);		/* before the name takes an index */
	if (!why)
		why = name_for(n, m->name, &nm);
	if (!why && nm->known) {
		struct pin p = { .part = part, .sequence = sequence, .m = *m };

		pin_finish(n, nm, &p);
		return 0;
	}
	if (!why)
		why = wait_for(n, nm, part, sequence, m);
	if (why)
		refuse(n, part, sequence, why);
	return 0;
}
