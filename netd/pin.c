/*
 * pin.c - PIN: a name is granted to a profile before its answer goes out
 *
 * Theory of operation: the resolver sends the name and the real addresses it found, and holds its
 * answer back. Here the decision is made again with the policy in force (the resolver is not
 * trusted to grant), the inspector and the proxy are told of a new name and must acknowledge it,
 * then translation and grants are written and the kernel must acknowledge them; only then PINNED
 * goes back. Everyone who asks for a name while it is being told waits for the same
 * acknowledgement: the second of two queries must not be answered before the first one's pin has
 * landed. Pins that are due in the same turn of the loop share one transaction: a transaction costs
 * the same for one name as for many.
 *
 * A pin of no sandbox (id 0) is a refresh: the resolver has asked for the addresses of a name in use
 * again, so that it follows them while its clients keep the synthetic one. It never makes a name, and
 * serves only a profile that has a grant on it already.
 *
 * Invariants: the decision is taken when the kernel is written, not when the message came: a reload
 * in between counts. An error is a refusal.
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
	struct pin *next; /* waits for the same name, or its turn */
	uint32_t index;
	uint64_t part;
	uint32_t sequence;
	struct msg_pin m;
};

struct telling { /* of a new name */
	struct publish publish;
	uint32_t index;
};

struct pins {
	struct netd *n;
	struct timer turn;
	struct pin *head, **tail; /* due: the parts know their names */
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

static bool is_refresh(const struct msg_pin *m)
{
	return !m->sandbox;
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
		       ? REASON_NONE
		       : REASON_WILDCARD_BUDGET_EXCEEDED;
}

/* All that may have changed since it was asked. */
static enum reason pin_check(struct netd *n, const struct name *nm, const struct pin *p)
{
	struct name_decision d;
	struct sandbox *s = NULL;
	enum reason why = is_refresh(&p->m) ? REASON_NONE : asker(n, &p->m, &s);

	if (!nm || (!s && !name_serves(nm, p->m.profile)))
		return why ? why : REASON_NAME_NOT_ALLOWED; /* forgotten, or taken away */
	if (!why)
		why = decide(n, &p->m, &d);
	return why || !s ? why : budget(n, s, nm, &d);
}

static void pin_answer(struct netd *n, const struct pin *p, const struct name_ask *a)
{
	struct msg_pinned m = { .reason = a->reason, .index = p->index };

	if (a->reason == REASON_INTERNAL_ERROR)
		log_line(LOG_ERR, "event=pin_failed name=%s profile=%u", p->m.name, p->m.profile);
	m.has4 = !a->reason && a->has[0];
	m.has6 = !a->reason && a->has[1];
	answer(n, p->part, p->sequence, &m);
}

static bool asked(const struct name_ask *asks, size_t n, const struct name *nm)
{
	for (size_t i = 0; i < n; i++)
		if (asks[i].nm == nm)
			return true;
	return false;
}

/* As many as make one transaction: each of another name. */
static size_t take_due(struct pins *ps, struct pin **pins, struct name_ask *asks)
{
	size_t n = 0;

	while (ps->head && n < NAMES_ASKS_MAX) {
		struct pin *p = ps->head;
		struct name *nm = names_at(ps->n->names, p->index);
		enum reason why;

		if (nm && asked(asks, n, nm))
			break;
		ps->head = p->next;
		if (!ps->head)
			ps->tail = &ps->head;
		why = pin_check(ps->n, nm, p);
		if (why) {
			refuse(ps->n, p->part, p->sequence, why);
			free(p);
			continue;
		}
		pins[n] = p;
		asks[n++] = (struct name_ask){ .nm = nm,
					       .profile = p->m.profile,
					       .a = { p->m.a4, p->m.a6 },
					       .n = { p->m.n4, p->m.n6 } };
	}
	return n;
}

static void take_turn(struct pins *ps)
{
	struct name_ask asks[NAMES_ASKS_MAX];
	struct pin *pins[NAMES_ASKS_MAX];
	size_t n = take_due(ps, pins, asks);

	names_grant(ps->n->names, ps->n->profiles, asks, n);
	for (size_t i = 0; i < n; i++) {
		pin_answer(ps->n, pins[i], &asks[i]);
		free(pins[i]);
	}
}

void pins_turn(struct netd *n)
{
	struct pins *ps = n->pins;

	if (!ps->head)
		return;
	loop_disarm(n->loop, &ps->turn);
	take_turn(ps);
	if (ps->head)
		loop_arm(n->loop, &ps->turn, 0);
}

static void on_turn(struct loop *l, struct timer *t)
{
	(void)l;
	pins_turn(container_of(t, struct pins, turn)->n);
}

static void pin_due(struct netd *n, struct pin *p) /* takes p */
{
	struct pins *ps = n->pins;

	p->next = NULL;
	*ps->tail = p;
	ps->tail = &p->next;
	if (ps->head == p)
		loop_arm(n->loop, &ps->turn, 0);
}

int pins_new(struct netd *n, struct pins **ret)
{
	struct pins *ps = calloc(1, sizeof(*ps));

	if (!ps)
		return -ENOMEM;
	ps->n = n;
	ps->tail = &ps->head;
	ps->turn.fn = on_turn;
	*ret = ps;
	return 0;
}

void pins_free(struct pins *ps)
{
	if (!ps)
		return;
	loop_disarm(ps->n->loop, &ps->turn);
	for (struct pin *p = ps->head; p;) {
		struct pin *next = p->next;

		free(p);
		p = next;
	}
	free(ps);
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
		pin_due(n, p);
	}
}

static void telling_drop(struct netd *n, struct publish *publish)
{
	struct telling *t = container_of(publish, struct telling, publish);
	struct name *nm = names_at(n->names, t->index);
	struct pin *p;

	while (nm && (p = nm->waiting)) {
		nm->waiting = p->next;
		free(p);
	}
	free(t);
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
	t->publish.drop = telling_drop;
	publish_send(&t->publish, TO_NAMES, MSG_NAME_IS, &m, NULL);
	publish_end(&t->publish);
	return 0;
}

static enum reason wait_for(struct netd *n, struct name *nm, struct pin *p /* takes */)
{
	struct pin **at;
	bool first = !nm->waiting;

	for (at = &nm->waiting; *at; at = &(*at)->next)
		;
	*at = p;
	if (!first || tell(n, nm) == 0)
		return REASON_NONE;
	nm->waiting = NULL;
	free(p);
	return REASON_INTERNAL_ERROR;
}

/*
 * Indexes are shared by all sandboxes, so a new one is taken only within the asker's own limit, and
 * counted at once.
 */
static enum reason name_for(struct netd *n, const char *text, struct sandbox *s,
			    const struct name_decision *d, struct name **ret)
{
	uint32_t limit = policy_limits(profiles_policy(n->profiles, s->profile))->names;
	int r = 0;

	names_rested(n->names, loop_now(n->loop));
	*ret = names_find(n->names, text);
	if (!*ret && d->wildcard && !sandbox_wild_room(s, limit, loop_now(n->loop)))
		return REASON_WILDCARD_BUDGET_EXCEEDED;
	if (!*ret)
		r = names_add(n->names, text, ret);
	if (r >= 0)
		(*ret)->used_ms = loop_now(n->loop);
	if (r >= 0)
		return budget(n, s, *ret, d);
	return r == -ENOSPC ? REASON_POOL_EXHAUSTED : r < 0 ? REASON_INTERNAL_ERROR : REASON_NONE;
}

static bool well_formed(const struct msg_pin *m)
{
	char canonical[POLICY_NAME_MAX + 1];

	return msg_text_ok(m->name, sizeof(m->name)) && m->n4 <= MSG_ADDRS && m->n6 <= MSG_ADDRS &&
	       name_canonical(rd_str(m->name), canonical) && !strcmp(canonical, m->name);
}

static enum reason name_of_pin(struct netd *n, const struct msg_pin *m, struct name **ret)
{
	struct name_decision d;
	struct sandbox *s;
	enum reason why;

	if (is_refresh(m)) {
		*ret = names_find(n->names, m->name);
		return *ret ? REASON_NONE : REASON_NAME_NOT_ALLOWED;
	}
	why = asker(n, m, &s);
	if (!why)
		why = decide(n, m, &d); /* before the name takes an index */
	return why ? why : name_for(n, m->name, s, &d, ret);
}

int pin_start(struct netd *n, uint64_t part, uint32_t sequence, const struct msg_pin *m)
{
	struct name *nm = NULL;
	struct pin *p;
	enum reason why;

	if (!well_formed(m))
		return -EPROTO;
	why = name_of_pin(n, m, &nm);
	p = why ? NULL : calloc(1, sizeof(*p));
	if (!why && !p)
		why = REASON_INTERNAL_ERROR;
	if (!why) {
		*p = (struct pin){
			.index = nm->index, .part = part, .sequence = sequence, .m = *m
		};
		if (nm->known)
			pin_due(n, p);
		else
			why = wait_for(n, nm, p);
	}
	if (why)
		refuse(n, part, sequence, why);
	return 0;
}
