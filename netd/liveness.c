/*
 * liveness.c - names stay alive: dead real addresses are left, names in use followed, unused ones forgotten
 *
 * Theory of operation: the kernel keeps two sets of synthetic addresses, which are read here.
 *
 *   unanswered  SYNs that got no answer. Looked at each second. An address that silence.c suspects, and of
 *		 which conntrack knows no flow that was answered lately, is left: the name moves to the next
 *		 usable address of its newest answer, and conntrack forgets the flows that never saw a reply,
 *		 so that the client's own next SYN opens one to the new address. Flows that live are not
 *		 touched: their translation is conntrack's.
 *   used	 addresses that new flows went to. Read every LOOK_MS. The names are told to the resolver, a
 *		 part each second so that what it asks is spread; it refreshes them at their TTL.
 *
 * A name that no sandbox asked for, or had a flow to, for `dns.forget` goes in three steps: the resolver
 * forgets it (from then on nobody is told its address without a new pin, and a pin that came meanwhile
 * keeps the name); grants, translation and name are deleted in one transaction; the inspector and the
 * proxy forget it. Then its index rests. A batch at a time.
 *
 * One sandbox against the others: it can send SYNs that nobody answers, to a name that others use too.
 * While any of them has an answered flow nothing moves; if none has, nobody but it notices; and each move
 * makes the next one wait longer. At most LOOKS_MAX suspects are looked at a second, fewer when conntrack
 * is large.
 *
 * Not kept over a restart: when a name was used last (it counts from the restart on), and the addresses it
 * could move to (the next refresh brings them).
 */
#include "netd/liveness.h"

#include <errno.h>
#include <string.h>

#include "base/log.h"
#include "netd/flows_to.h"
#include "netd/names.h"
#include "netd/parts.h"
#include "netd/profiles.h"
#include "netd/registry.h"

enum {
	TICK_MS = 1000,
	LOOK_MS = 30 * 1000,
	LOOKS_MAX = 8,	  /* suspects that conntrack is asked about, a tick */
	FORGET_MAX = 64,  /* names of one batch */
	ENTRIES_A_MS = 20 /* conntrack entries that may be read for suspects, a millisecond */
};

struct liveness {
	struct netd *n;
	struct timer tick;
	uint64_t rest_until_ms; /* conntrack was read: not again for suspects */
	uint64_t looked_ms;	/* when `used` was read */
	uint32_t *use;	    /* indexes of names in use */
	size_t n_use, told, cap_use;
	/* the batch that is being forgotten */
	struct publish publish;
	uint64_t leaving_ms;
	size_t n_leaving; /* 0: none */
	struct name *leaving[FORGET_MAX];
};

static struct name *name_of(const struct netd *n, const struct addr *synthetic)
{
	uint32_t index;

	return pool_index(&n->config->pool, synthetic, &index) ? names_at(n->names, index) : NULL;
}

/* ---- silent addresses ---- */

struct suspects { /* of one family */
	struct netd *n;
	int f;
	struct name *nm[LOOKS_MAX];
	struct flows_to to[LOOKS_MAX];
	size_t n_nm;
};

static int on_unanswered(void *owner, const struct ruleset_elem *e)
{
	struct suspects *s = owner;
	struct name *nm = name_of(s->n, &e->addr);

	if (!nm || !nm->others[s->f].n || s->n_nm == LOOKS_MAX ||
	    !silence_suspects(&nm->silence[s->f], e->packets, e->age_ms, loop_now(s->n->loop)))
		return 0;
	s->to[s->n_nm] = (struct flows_to){ e->addr, nm->real[s->f], false };
	s->nm[s->n_nm++] = nm;
	return 0;
}

static void audit_moved(struct netd *n, const struct name *nm, const struct addr *from,
			const struct addr *to)
{
	struct audit_head h = { .event = "moved", .decision = "" };
	char text[ADDR_TEXT_MAX];
	struct audit_line l;

	audit_begin(&l, &h);
	audit_str(&l, "name", nm->text);
	addr_format(from, text);
	audit_str(&l, "from", text);
	addr_format(to, text);
	audit_str(&l, "to", text);
	audit_put(n->audit, &l);
}

/* What was counted was another address, or is settled. An answer may have deleted it by now. */
static void count_anew(struct netd *n, const struct addr *synthetic)
{
	struct ruleset_elem e = { .map = MAP_UNANSWERED, .addr = *synthetic };
	int r = ruleset_begin(n->rules);

	if (r >= 0)
		r = ruleset_del(n->rules, &e);
	if (r < 0)
		ruleset_abort(n->rules);
	else
		r = ruleset_commit(n->rules);
	if (r < 0 && r != -ENOENT)
		log_line(LOG_ERR, "event=count_not_deleted errno=%d", -r);
}

/* Where it went is in to->real. False: it stays. */
static bool leave(struct netd *n, struct name *nm, int f, struct flows_to *to)
{
	int r = names_move(n->names, n->profiles, nm, f);

	if (r < 0 && r != -EACCES)
		log_line(LOG_ERR, "event=name_not_moved name=%s errno=%d", nm->text, -r);
	if (r < 0)
		return false;
	audit_moved(n, nm, &to->real, &nm->real[f]);
	to->real = nm->real[f];
	return true;
}

static void judge(struct suspects *s)
{
	uint64_t now = loop_now(s->n->loop);
	struct flows_to moved[LOOKS_MAX];
	size_t n_moved = 0;

	for (size_t i = 0; i < s->n_nm; i++) {
		struct silence *silence = &s->nm[i]->silence[s->f];

		if (!s->to[i].answered && leave(s->n, s->nm[i], s->f, &s->to[i])) {
			silence_moved(silence, now);
			moved[n_moved++] = s->to[i];
		} else {
			silence_answered(silence, now);
		}
	}
	if (n_moved && flows_drop_unanswered(moved, n_moved) < 0)
		log_line(LOG_ERR, "event=flows_not_closed");
	for (size_t i = 0; i < s->n_nm; i++)
		count_anew(s->n, &s->to[i].synthetic);
}

/* How many entries of conntrack were read. */
static int look_at_silence(struct netd *n, uint8_t family)
{
	struct suspects s = { .n = n, .f = family == 6 };
	int r = ruleset_each(n->rules, MAP_UNANSWERED, family, on_unanswered, &s);

	if (r < 0 || !s.n_nm)
		return 0; /* without the table guard.c is at work */
	r = flows_answered(s.to, s.n_nm);
	if (r >= 0)
		judge(&s);
	else
		log_line(LOG_ERR, "event=conntrack_not_read errno=%d", -r);
	return r < 0 ? 0 : r;
}

static void look_for_silence(struct liveness *lv)
{
	uint64_t now = loop_now(lv->n->loop);

	if (now < lv->rest_until_ms)
		return;
	lv->rest_until_ms = now;
	for (uint8_t family = 4; family <= 6; family += 2)
		lv->rest_until_ms += (uint64_t)look_at_silence(lv->n, family) / ENTRIES_A_MS;
}

/* ---- names in use ---- */

static int on_used(void *owner, const struct ruleset_elem *e)
{
	struct netd *n = owner;
	struct name *nm = name_of(n, &e->addr);
	uint64_t now = loop_now(n->loop), at = now > e->age_ms ? now - e->age_ms : 0;

	if (!nm)
		return 0;
	nm->in_use = true;
	if (at > nm->used_ms)
		nm->used_ms = at;
	return 0;
}

/* 0: nothing of it needs an address. Rather one whose addresses everybody may use. */
static uint16_t follower(const struct netd *n, const struct name *nm)
{
	uint16_t found = 0, last = 0;

	for (size_t i = 0; i < nm->n_grants; i++) {
		const struct name_grant *g = &nm->grants[i];
		const struct policy *policy = profiles_policy(n->profiles, g->profile);
		struct name_decision d;

		if (g->profile == last || g->action == GRANT_PROXY || !policy)
			continue;
		last = g->profile;
		policy_decide_name(policy, nm->text, &d);
		if (!d.allowed || d.proxied || (found && d.private_ok))
			continue;
		found = g->profile;
		if (!d.private_ok)
			break;
	}
	return found;
}

static void use_list(struct liveness *lv)
{
	struct names *t = lv->n->names;
	uint32_t *more;

	lv->n_use = lv->told = 0;
	for (struct name *nm = names_after(t, 0); nm; nm = names_after(t, nm->index)) {
		if (!nm->in_use)
			continue;
		if (lv->n_use == lv->cap_use) {
			more = reallocarray(lv->use, lv->cap_use ? lv->cap_use * 2 : 64, sizeof(*more));
			if (!more)
				return; /* the rest is not followed for half a minute */
			lv->use = more;
			lv->cap_use = lv->cap_use ? lv->cap_use * 2 : 64;
		}
		lv->use[lv->n_use++] = nm->index;
	}
}

static void look_at_use(struct liveness *lv)
{
	struct netd *n = lv->n;

	for (struct name *nm = names_after(n->names, 0); nm; nm = names_after(n->names, nm->index))
		nm->in_use = false;
	for (uint8_t family = 4; family <= 6; family += 2)
		ruleset_each(n->rules, MAP_USED, family, on_used, n);
	use_list(lv);
}

static void tell_some(struct liveness *lv, size_t upto)
{
	struct netd *n = lv->n;
	struct msg_in_use m = { 0 };

	while (lv->told < upto && m.n < MSG_IN_USE_NAMES) {
		const struct name *nm = names_at(n->names, lv->use[lv->told++]);
		uint16_t profile = nm ? follower(n, nm) : 0;

		if (!profile)
			continue;
		m.name[m.n].profile = profile;
		msg_text_set(m.name[m.n++].name, MSG_NAME, nm->text);
	}
	if (m.n)
		publish_tell(n, TO_DNS, MSG_IN_USE, &m, NULL);
}

/* This second's part of all. */
static void tell_use(struct liveness *lv, uint64_t interval_ms)
{
	uint64_t past = loop_now(lv->n->loop) - lv->looked_ms + TICK_MS;
	size_t upto = past >= interval_ms ? lv->n_use : lv->n_use * past / interval_ms + 1;

	if (upto > lv->n_use)
		upto = lv->n_use;
	while (lv->told < upto)
		tell_some(lv, upto);
}

/* ---- names without use ---- */

static void audit_forgotten(struct netd *n, const struct name *nm)
{
	struct audit_head h = { .event = "forgotten", .decision = "" };
	struct audit_line l;

	audit_begin(&l, &h);
	audit_str(&l, "name", nm->text);
	audit_put(n->audit, &l);
}

static void on_all_forgot(struct netd *n, struct publish *publish)
{
	struct liveness *lv = container_of(publish, struct liveness, publish);

	for (size_t i = 0; i < lv->n_leaving; i++) {
		audit_forgotten(n, lv->leaving[i]);
		names_release(n->names, lv->leaving[i], loop_now(n->loop));
	}
	lv->n_leaving = 0;
}

static bool index_is_free(const void *owner, uint32_t index)
{
	return !names_at(owner, index);
}

static void tell_gone(struct liveness *lv, unsigned roles, publish_fn *fn)
{
	publish_begin(lv->n, &lv->publish, fn);
	for (size_t i = 0; i < lv->n_leaving; i++) {
		struct msg_name m;

		name_message(lv->leaving[i], &m);
		publish_send(&lv->publish, roles, MSG_NAME_GONE, &m, NULL);
	}
	publish_end(&lv->publish);
}

/* The resolver tells nobody its address any more. Who had it a moment ago may have used it. */
static void on_resolver_forgot(struct netd *n, struct publish *publish)
{
	struct liveness *lv = container_of(publish, struct liveness, publish);
	size_t left = 0;
	int r;

	for (size_t i = 0; i < lv->n_leaving; i++) {
		struct name *nm = lv->leaving[i];

		nm->leaving = false;
		if (nm->used_ms < lv->leaving_ms)
			lv->leaving[left++] = nm;
	}
	lv->n_leaving = left;
	r = left ? names_forget(n->names, lv->leaving, left) : 0;
	if (r < 0) {
		log_line(LOG_ERR, "event=names_not_forgotten errno=%d", -r);
		lv->n_leaving = 0;
	}
	if (!lv->n_leaving)
		return;
	registry_forget_wild(n->registry, index_is_free, n->names);
	tell_gone(lv, TO_NAMES, on_all_forgot);
}

static void on_flow(void *owner, const struct addr *to)
{
	struct netd *n = owner;
	struct name *nm = name_of(n, to);

	if (nm)
		nm->used_ms = loop_now(n->loop);
}

static bool is_unused(const struct netd *n, const struct name *nm)
{
	return nm->known && !nm->waiting &&
	       loop_now(n->loop) - nm->used_ms >= n->config->dns_forget_ms;
}

static size_t unused(struct liveness *lv)
{
	struct names *t = lv->n->names;
	size_t n = 0;

	for (struct name *nm = names_after(t, 0); nm && n < FORGET_MAX; nm = names_after(t, nm->index))
		if (is_unused(lv->n, nm))
			lv->leaving[n++] = nm;
	return n;
}

/* Conntrack is read only when a name would go: long flows keep theirs. */
static void forget_some(struct liveness *lv)
{
	struct netd *n = lv->n;

	names_rested(n->names, loop_now(n->loop));
	if (lv->n_leaving || n->reloading || !unused(lv))
		return;
	if (flows_each(on_flow, n) < 0)
		return;
	lv->n_leaving = unused(lv);
	lv->leaving_ms = loop_now(n->loop);
	for (size_t i = 0; i < lv->n_leaving; i++)
		lv->leaving[i]->leaving = true;
	if (lv->n_leaving)
		tell_gone(lv, TO_DNS, on_resolver_forgot);
}

/* ---- time ---- */

/* As often as the shortest of what is waited for asks. */
static uint64_t interval_ms(const struct netd *n)
{
	uint64_t quarter = n->config->dns_forget_ms / 4;

	return quarter < TICK_MS ? TICK_MS : quarter < LOOK_MS ? quarter : LOOK_MS;
}

static void on_tick(struct loop *l, struct timer *t)
{
	struct liveness *lv = container_of(t, struct liveness, tick);
	uint64_t interval = interval_ms(lv->n);

	loop_arm(l, t, TICK_MS);
	look_for_silence(lv);
	if (loop_now(l) - lv->looked_ms >= interval) {
		lv->looked_ms = loop_now(l);
		look_at_use(lv);
		forget_some(lv);
	}
	tell_use(lv, interval);
}

int liveness_start(struct netd *n)
{
	struct liveness *lv = n->liveness;

	for (struct name *nm = names_after(n->names, 0); nm; nm = names_after(n->names, nm->index))
		nm->used_ms = loop_now(n->loop);
	lv->looked_ms = loop_now(n->loop);
	return loop_arm(n->loop, &lv->tick, TICK_MS);
}

int liveness_new(struct netd *n, struct liveness **ret)
{
	struct liveness *lv = calloc(1, sizeof(*lv));

	if (!lv)
		return -ENOMEM;
	lv->n = n;
	lv->tick.fn = on_tick;
	flows_to_init();
	*ret = lv;
	return 0;
}

/* At exit: names of a batch that are out of the table already go with us. */
void liveness_free(struct liveness *lv)
{
	if (!lv)
		return;
	loop_disarm(lv->n->loop, &lv->tick);
	loop_disarm(lv->n->loop, &lv->publish.timer);
	for (size_t i = 0; i < lv->n_leaving; i++)
		if (names_at(lv->n->names, lv->leaving[i]->index) != lv->leaving[i])
			names_release(lv->n->names, lv->leaving[i], 0);
	free(lv->use);
	free(lv);
}
