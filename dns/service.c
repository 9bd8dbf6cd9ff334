/*
 * service.c - one question in, one answer out, whatever it came over
 *
 * Theory of operation: the guest's address, which the kernel has verified, gives the sandbox and
 * its policy. Then: the sandbox's budget, the strict reader, a pin that has landed (the hot path:
 * no policy look-up, no allocation), the decision table, and for a granted name that is not pinned
 * the wildcard's budget (wildcard.c) and the resolver, which calls back. The decision is made again
 * at that moment: if the sandbox has another policy by then, or none, it gets SERVFAIL and asks
 * again.
 *
 * Without a view (netd away, snapshot not complete) nothing is decided by a picture that may be
 * old. Questions are parked, since netd is mostly back in less time than a stub resolver takes to
 * give up after a SERVFAIL; what still waits after PARK_MS, or finds no room, gets SERVFAIL. Once
 * there is a view, an address that is no sandbox's is not answered.
 *
 * A sandbox's refusals are exact in number, but not each gets a line: beyond the policy's
 * audit_lines_per_second they are counted under the name "*", so that random names cannot fill the
 * disk.
 */
#include "dns/service.h"

#include <errno.h>

#include "dns/report.h"
#include "dns/wildcard.h"
#include "policy/mark.h"

enum {
	WAITS_MAX = 4096,
	WAITS_PER_SANDBOX = 128,
	PARKED_MAX = 512,
	PARK_MS = 1500,
	PARK_TICK_MS = 100
};
enum { NOBODY = 0 };			/* an id that no sandbox has: for who cannot be told yet */

struct bucket {				/* tokens, in thousandths; refilled by the millisecond */
	uint32_t tokens;
	uint64_t last_ms;
};
struct tally {				/* of one sandbox id */
	struct bucket queries, lines;
	uint16_t waits, connections;
};

struct waiting {			/* a question that waits for a pin, or for the view */
	struct resolver_wait wait;
	struct service *owner;
	uint16_t sandbox;
	uint64_t deadline_ms;		/* parked: when it is given up */
	struct client client;
	struct query query;
	struct waiting *next;		/* of the free ones, or of the parked ones */
};

struct service {
	struct loop *loop;
	struct view *view;
	struct resolver *resolver;
	struct audit *audit;
	struct wildcards *wildcards;
	struct tally *tallies;		/* by sandbox id; touched pages only */
	struct waiting *waits, *free_waits;
	struct waiting *parked, **parked_end;
	struct timer park_tick;
	struct { service_late_fn *fn; void *owner; } late[CLIENT_KINDS];
};

static bool bucket_take(struct bucket *b, uint32_t per_second, uint64_t now_ms)
{
	uint64_t full = (uint64_t)per_second * 1000, have;

	have = b->last_ms ? b->tokens + (now_ms - b->last_ms) * per_second : full;
	have = have > full ? full : have;
	have = have > UINT32_MAX ? UINT32_MAX : have;
	b->last_ms = now_ms;
	b->tokens = have;
	if (have < 1000)
		return false;
	b->tokens = have - 1000;
	return true;
}

/* netd keeps the last refusals of each sandbox, for it to read. */
static void tell(struct service *s, const struct view_sandbox *sb, const struct query *q,
		 enum reason reason)
{
	struct msg_refused m = { .sandbox = sb->id, .reason = reason };
	char type[12], what[MSG_NAME + 32];

	if (q && q->question_n)
		snprintf(what, sizeof(what), "DNS %s %s", q->name, message_type_text(q->qtype, type));
	else
		snprintf(what, sizeof(what), "DNS query");
	msg_plain_set(m.what, sizeof(m.what), what);
	view_send(s->view, MSG_REFUSED, 0, &m);
}

static void refused(struct service *s, const struct view_sandbox *sb, const struct client *c,
		    const struct query *q, enum reason reason, const char *rule, const char *detail)
{
	struct report r = { .sandbox = sb,
			    .client = c,
			    .query = q,
			    .reason = reason,
			    .rule = rule,
			    .detail = detail };
	uint32_t rate = sb ? policy_limits(sb->policy)->audit_lines_per_second : 0;

	/* Over budget is one thing, whatever was asked; the names would make keys without end. */
	r.any_name = reason == REASON_WILDCARD_BUDGET_EXCEEDED;
	if (reason == REASON_RATE_LIMITED ||
	    (sb && !r.any_name &&
	     !bucket_take(&s->tallies[sb->id].lines, rate, loop_now(s->loop))))
		r.many = true;
	if (report_refusal(s->audit, &r) && sb && !r.many)
		tell(s, sb, q, reason);
}

static size_t reply_max(const struct client *c, const struct query *q)
{
	return c->kind == CLIENT_TCP ? DNS_REPLY_MAX : message_udp_max(q);
}

static enum service_result reply(const struct client *c, const struct query *q,
				 const struct answer *a, uint8_t *out, size_t *ret_n)
{
	*ret_n = message_reply(q, &a->reply, reply_max(c, q), out);
	return *ret_n ? SERVICE_ANSWER : SERVICE_SILENT;
}

static enum service_result reply_rcode(const struct client *c, const struct query *q,
				       uint16_t rcode, uint8_t *out, size_t *ret_n)
{
	struct answer a = { .reply = { .rcode = rcode, .kind = REPLY_EMPTY, .ede = DNS_EDE_NONE } };

	return reply(c, q, &a, out, ret_n);
}

/* ---- waiting, for a pin or for the view ---- */

static struct waiting *waiting_new(struct service *s, uint16_t sandbox, uint16_t max,
				   const struct client *c, const struct query *q)
{
	struct waiting *w = s->free_waits;

	if (!w || s->tallies[sandbox].waits >= max)
		return NULL;
	s->free_waits = w->next;
	s->tallies[sandbox].waits++;
	*w = (struct waiting){ .owner = s, .sandbox = sandbox, .client = *c, .query = *q };
	return w;
}

static void waiting_free(struct waiting *w)
{
	struct service *s = w->owner;

	s->tallies[w->sandbox].waits--;
	w->next = s->free_waits;
	s->free_waits = w;
}

static void send_late(struct service *s, const struct client *c, const uint8_t *out, size_t n)
{
	if (s->late[c->kind].fn)
		s->late[c->kind].fn(s->late[c->kind].owner, c, out, n);
}

static void answer_late(struct service *s, const struct client *c, const struct query *q,
			const struct answer *a)
{
	uint8_t out[DNS_REPLY_MAX];
	size_t n = 0;

	reply(c, q, a, out, &n);
	send_late(s, c, out, n);
}

static bool park(struct service *s, const struct client *c, const struct query *q)
{
	struct waiting *w = waiting_new(s, NOBODY, PARKED_MAX, c, q);

	if (!w)
		return false;
	w->deadline_ms = loop_now(s->loop) + PARK_MS;
	w->next = NULL;
	*s->parked_end = w;
	s->parked_end = &w->next;
	if (!s->park_tick.due_ms)
		loop_arm(s->loop, &s->park_tick, PARK_TICK_MS);
	return true;
}

static struct waiting *parked_first(struct service *s)
{
	struct waiting *w = s->parked;

	if (!w)
		return NULL;
	s->parked = w->next;
	if (!s->parked)
		s->parked_end = &s->parked;
	return w;
}

static void answer_without_view(struct service *s, const struct client *c, const struct query *q,
				struct answer *ret)
{
	answer_not_ready(ret);
	refused(s, NULL, c, q, ret->reason, ret->rule, NULL);
}

static void service_on_park_tick(struct loop *l, struct timer *t)
{
	struct service *s = container_of(t, struct service, park_tick);
	struct waiting *w;
	struct answer a;

	while (s->parked && s->parked->deadline_ms <= loop_now(l)) {
		w = parked_first(s);
		answer_without_view(s, &w->client, &w->query, &a);
		answer_late(s, &w->client, &w->query, &a);
		waiting_free(w);
	}
	if (s->parked)
		loop_arm(l, t, PARK_TICK_MS);
}

/*
 * The outcome may be of another policy than the sandbox has by now, or of another sandbox's limit:
 * then it asks again.
 */
static void waiting_answer(struct waiting *w, const struct outcome *o, struct answer *ret)
{
	struct service *s = w->owner;
	struct view_sandbox sb;

	if (!view_sandbox_of(s->view, &w->client.guest, &sb)) {
		answer_without_view(s, &w->client, &w->query, ret);
		return;
	}
	if (sb.id == w->sandbox && sb.policy == outcome_policy(o) && !outcome_is_anothers(o, sb.id))
		outcome_answer(o, w->query.qtype, loop_now(s->loop), ret);
	else
		answer_not_ready(ret);
	if (ret->reason != REASON_NONE)
		refused(s, &sb, &w->client, &w->query, ret->reason, ret->rule, NULL);
	view_sandbox_done(&sb);
}

static void waiting_on_outcome(struct resolver_wait *rw, const struct outcome *o)
{
	struct waiting *w = container_of(rw, struct waiting, wait);
	struct service *s = w->owner;
	struct answer a;

	if (view_ready(s->view) || !park(s, &w->client, &w->query)) {
		waiting_answer(w, o, &a);
		answer_late(s, &w->client, &w->query, &a);
	}
	waiting_free(w);
}

/* Before anything of the name can leave: a wildcard's name costs what it tells. */
static bool affordable(struct service *s, const struct view_sandbox *sb, const struct query *q,
		       const struct name_decision *d)
{
	return !d->wildcard ||
	       wildcards_take(s->wildcards, sb, q->name, d, loop_now(s->loop));
}

static enum service_result wait_for_pin(struct service *s, const struct view_sandbox *sb,
					const struct client *c, const struct query *q,
					const struct name_decision *d, uint8_t *out, size_t *ret_n)
{
	struct waiting *w = waiting_new(s, sb->id, WAITS_PER_SANDBOX, c, q);
	enum reason reason = w ? REASON_INTERNAL_ERROR : REASON_RATE_LIMITED;
	struct answer a;

	if (w)
		w->wait.fn = waiting_on_outcome;
	if (w && resolver_wait(s->resolver, sb, q->name, d, &w->wait))
		return SERVICE_LATER;
	if (w)
		waiting_free(w);
	answer_refuse(reason, "limits", &a);
	refused(s, sb, c, q, reason, "limits", NULL);
	return reply(c, q, &a, out, ret_n);
}

/* ---- a question ---- */

static enum service_result decide(struct service *s, const struct view_sandbox *sb,
				  const struct client *c, const struct query *q, uint8_t *out,
				  size_t *ret_n)
{
	struct name_decision d = { 0 };
	struct answer a;
	struct addr internal;
	const char *name;

	switch (answer_decide(sb->policy, q, &d, &a)) {
	case ANSWER_NOW:
		break;
	case ANSWER_REVERSE:
		name = resolver_name_of(s->resolver, sb, &a.addr);
		if (name)
			answer_ptr(name, ANSWER_TTL_MAX, &a);
		break;
	case ANSWER_INTERNAL:
		internal = resolver_internal(s->resolver, q->qtype == DNS_AAAA ? 6 : 4);
		answer_address(&internal, ANSWER_TTL_MAX, &a);
		break;
	case ANSWER_RESOLVE:
		if (affordable(s, sb, q, &d))
			return wait_for_pin(s, sb, c, q, &d, out, ret_n);
		answer_refuse(REASON_WILDCARD_BUDGET_EXCEEDED, d.rule, &a);
		break;
	}
	if (a.reason != REASON_NONE)
		refused(s, sb, c, q, a.reason, a.rule, NULL);
	return reply(c, q, &a, out, ret_n);
}

static enum service_result query_ok(struct service *s, const struct view_sandbox *sb,
				    const struct client *c, const struct query *q, uint8_t *out,
				    size_t *ret_n)
{
	struct answer a;

	if (q->canonical && (q->qtype == DNS_A || q->qtype == DNS_AAAA) &&
	    resolver_lookup(s->resolver, sb, q->name, q->qtype, &a)) {
		if (a.reason != REASON_NONE)
			refused(s, sb, c, q, a.reason, a.rule, NULL);
		return reply(c, q, &a, out, ret_n);
	}
	return decide(s, sb, c, q, out, ret_n);
}

/* Over budget: silence on UDP makes a client slow down; on TCP it would hang, so it is told. */
static enum service_result over_budget(struct service *s, const struct view_sandbox *sb,
				       const struct client *c, struct rd in, uint8_t *out,
				       size_t *ret_n)
{
	struct query q;

	refused(s, sb, c, NULL, REASON_RATE_LIMITED, "limits.dns_queries_per_second", NULL);
	if (c->kind != CLIENT_TCP || message_query(in, &q) == QUERY_DROP)
		return SERVICE_SILENT;
	return reply_rcode(c, &q, DNS_REFUSED, out, ret_n);
}

static enum service_result query_known(struct service *s, const struct view_sandbox *sb,
				       const struct client *c, struct rd in, uint8_t *out,
				       size_t *ret_n)
{
	uint32_t rate = policy_limits(sb->policy)->dns_queries_per_second;
	enum query_verdict verdict;
	struct query q;

	if (!bucket_take(&s->tallies[sb->id].queries, rate, loop_now(s->loop)))
		return over_budget(s, sb, c, in, out, ret_n);
	verdict = message_query(in, &q);
	if (verdict == QUERY_OK)
		return query_ok(s, sb, c, &q, out, ret_n);
	if (q.fault)				/* BADVERS is negotiation, not a fault */
		refused(s, sb, c, &q, REASON_QUERY_MALFORMED, "default", q.fault);
	return verdict == QUERY_DROP ? SERVICE_SILENT : reply_rcode(c, &q, q.rcode, out, ret_n);
}

static enum service_result query_unknown(struct service *s, const struct client *c, struct rd in,
					 uint8_t *out, size_t *ret_n)
{
	struct query q;
	struct answer a;

	if (view_ready(s->view)) {
		refused(s, NULL, c, NULL, REASON_SOURCE_SPOOFED, "default", "unknown sandbox");
		return SERVICE_SILENT;
	}
	if (message_query(in, &q) != QUERY_OK)
		return SERVICE_SILENT;
	if (park(s, c, &q))
		return SERVICE_LATER;
	answer_without_view(s, c, &q, &a);
	return reply(c, &q, &a, out, ret_n);
}

enum service_result service_query(struct service *s, const struct client *c, struct rd in,
				  uint8_t out[DNS_REPLY_MAX], size_t *ret_n)
{
	enum service_result result;
	struct view_sandbox sb;

	*ret_n = 0;
	if (!view_sandbox_of(s->view, &c->guest, &sb))
		return query_unknown(s, c, in, out, ret_n);
	result = query_known(s, &sb, c, in, out, ret_n);
	view_sandbox_done(&sb);
	return result;
}

void service_view_ready(struct service *s)
{
	struct waiting *w, again;
	struct view_sandbox sb;
	uint8_t out[DNS_REPLY_MAX];
	enum service_result r;
	size_t n;

	while (view_ready(s->view) && (w = parked_first(s))) {
		again = *w;
		waiting_free(w);
		n = 0;
		if (!view_sandbox_of(s->view, &again.client.guest, &sb)) {
			refused(s, NULL, &again.client, NULL, REASON_SOURCE_SPOOFED, "default",
				"unknown sandbox");
			send_late(s, &again.client, out, 0);
			continue;
		}
		r = query_ok(s, &sb, &again.client, &again.query, out, &n);
		view_sandbox_done(&sb);
		if (r != SERVICE_LATER)
			send_late(s, &again.client, out, n);
	}
}

bool service_connection_opened(struct service *s, const struct client *c, uint16_t *ret_sandbox)
{
	struct view_sandbox sb;
	bool known = view_sandbox_of(s->view, &c->guest, &sb), ok;
	struct tally *t = &s->tallies[known ? sb.id : NOBODY];

	*ret_sandbox = known ? sb.id : NOBODY;
	ok = t->connections < SERVICE_CONNECTIONS_MAX;
	if (ok)
		t->connections++;
	else
		refused(s, known ? &sb : NULL, c, NULL, REASON_TOO_MANY_CONNECTIONS, "limits",
			"connections");
	if (known)
		view_sandbox_done(&sb);
	return ok;
}

void service_connection_closed(struct service *s, uint16_t sandbox)
{
	s->tallies[sandbox].connections--;
}

void service_refused(struct service *s, const struct client *c, enum reason reason,
		     const char *what)
{
	struct view_sandbox sb;
	bool known = view_sandbox_of(s->view, &c->guest, &sb);

	refused(s, known ? &sb : NULL, c, NULL, reason, "default", what);
	if (known)
		view_sandbox_done(&sb);
}

void service_set_late(struct service *s, enum client_kind kind, service_late_fn *fn, void *owner)
{
	s->late[kind].fn = fn;
	s->late[kind].owner = owner;
}

int service_new(struct loop *l, struct view *v, struct resolver *resolver, struct audit *a,
		struct service **ret)
{
	AUTO(service) struct service *s = calloc(1, sizeof(*s));
	int r;

	if (!s)
		return -ENOMEM;
	s->loop = l;
	s->view = v;
	s->resolver = resolver;
	s->audit = a;
	s->tallies = calloc(MARK_SANDBOX_MAX + 1, sizeof(*s->tallies));
	s->waits = calloc(WAITS_MAX, sizeof(*s->waits));
	if (!s->tallies || !s->waits)
		return -ENOMEM;
	r = wildcards_new(&s->wildcards);
	if (r < 0)
		return r;
	s->parked_end = &s->parked;
	s->park_tick.fn = service_on_park_tick;
	for (size_t i = 0; i < WAITS_MAX; i++) {
		s->waits[i].next = s->free_waits;
		s->free_waits = &s->waits[i];
	}
	*ret = STEAL(s);
	return 0;
}

void service_free(struct service *s)
{
	if (!s)
		return;
	for (size_t i = 0; s->waits && i < WAITS_MAX; i++)
		resolver_cancel(&s->waits[i].wait);
	loop_disarm(s->loop, &s->park_tick);
	wildcards_free(s->wildcards);
	free(s->tallies);
	free(s->waits);
	free(s);
}
