/*
 * resolver.c - granted names and their pins: nothing is answered before netd has acknowledged
 *
 * Theory of operation: an entry is a (profile, name) that a policy allows. It goes
 *
 *	asking   a pass-through name: its real addresses are asked upstream (a proxied one skips
 *this) queued   the addresses that may be used are in a PIN, which waits for its turn to be sent
 *	pinning  netd has it, and writes the translation and the grants
 *	settled  PINNED came, or anything failed: everybody who waited gets the same outcome
 *
 * and stays settled until its TTL ends; then the next question begins again. Whoever asks meanwhile
 * waits for the same pin: there is no path from a question to an answer that goes around it. A
 * settled pin is used only by the profile id and policy object it was made for (a reload makes new
 * objects), and only while the connection to netd that acknowledged it lives (`generation`): a
 * restarted netd may have forgotten what it pinned.
 *
 * Bounds: entries and pins are arrays made at start. At most PINS_SENT_MAX are on their way, so
 * that the blocking send to netd finds room; one that netd has not answered is on its way even when
 * nobody waits for it any more. DEADLINE_MS is for all stages together; after it the answer is
 * SERVFAIL, never the address.
 */
#include "dns/resolver.h"

#include <errno.h>
#include <string.h>

#include "dns/table.h"
#include "policy/mark.h"

enum { ENTRIES_MAX = 16384, PINS_MAX = 512, PINS_SENT_MAX = 32, DEADLINE_MS = 4000, TICK_MS = 200,
       PROXIED_TTL = 300 };

enum stage { STAGE_EMPTY = 0, STAGE_ASKING, STAGE_QUEUED, STAGE_PINNING, STAGE_SETTLED };

struct outcome {				/* of a settled entry */
	enum { OUTCOME_FAILED = 0, OUTCOME_NXDOMAIN, OUTCOME_NODATA, OUTCOME_PINNED } kind;
	enum reason reason;			/* OUTCOME_FAILED */
	uint64_t expires_ms;
	uint16_t sandbox;			/* who asked first */
	bool has[2];				/* may A, AAAA be answered */
	struct addr synthetic[2];
	struct policy *policy;			/* a reference */
	const char *rule;			/* lives as long as the policy */
};

struct pin {					/* a PIN that is queued or on its way */
	struct msg_pin msg;
	struct entry *entry;			/* NULL: free */
	uint32_t sequence;
	struct pin *next;			/* of the queue */
};

struct entry {
	struct table_node by_name, by_index;
	struct resolver *owner;
	char name[MSG_NAME];
	uint16_t profile;
	uint32_t generation, index;
	enum stage stage;
	bool used, indexed, proxied, private_ok;
	uint64_t deadline_ms;
	struct pin *pin;			/* while queued or pinning */
	struct outcome outcome;
	struct upstream_wait ask;
	struct resolver_wait waits;		/* ring head */
	struct entry *busy_prev, *busy_next;	/* ring of those not settled */
};

struct resolver {
	struct loop *loop;
	struct upstream *upstream;
	struct view *view;
	struct pool pool;
	struct address_context addresses;
	struct table by_name, by_index;
	struct entry *entries;
	size_t hand;
	struct entry busy;			/* ring head */
	struct timer tick;
	struct pin *pins, *queue, **queue_end;
	unsigned sent;			/* and not answered; netd answers each */
	uint32_t sequence, generation;
};

/* ---- outcomes ---- */

const struct policy *outcome_policy(const struct outcome *o)
{
	return o->policy;
}

bool outcome_is_anothers(const struct outcome *o, uint16_t sandbox)
{
	return o->kind == OUTCOME_FAILED && o->sandbox != sandbox &&
	       (o->reason == REASON_WILDCARD_BUDGET_EXCEEDED ||
		(!o->sandbox && o->reason == REASON_NAME_NOT_ALLOWED));
}

bool outcome_pinned(const struct outcome *o)
{
	return o->kind == OUTCOME_PINNED;
}

uint64_t outcome_expires(const struct outcome *o)
{
	return o->expires_ms;
}

static uint32_t outcome_ttl(const struct outcome *o, uint64_t now_ms)
{
	uint64_t left = o->expires_ms > now_ms ? (o->expires_ms - now_ms) / 1000 : 0;

	return left > ANSWER_TTL_MAX ? ANSWER_TTL_MAX : left ? left : 1;
}

void outcome_answer(const struct outcome *o, uint16_t qtype, uint64_t now_ms, struct answer *ret)
{
	int six = qtype == DNS_AAAA;

	switch (o->kind) {
	case OUTCOME_FAILED:
		answer_refuse(o->reason, o->rule, ret);
		return;
	case OUTCOME_NXDOMAIN:
		answer_nxdomain(ANSWER_TTL_NEGATIVE, ret);
		return;
	case OUTCOME_NODATA:
		answer_nodata(ANSWER_TTL_NEGATIVE, ret);
		return;
	case OUTCOME_PINNED:
		if (o->has[six])
			answer_address(&o->synthetic[six], outcome_ttl(o, now_ms), ret);
		else
			answer_nodata(ANSWER_TTL_NEGATIVE, ret);
		return;
	}
	answer_refuse(REASON_INTERNAL_ERROR, "default", ret);
}

/* ---- entries ---- */

static uint64_t index_hash(struct resolver *r, uint16_t profile, uint32_t index)
{
	return table_hash(&r->by_index, &index, sizeof(index), profile);
}

static uint64_t name_hash(struct resolver *r, uint16_t profile, const char *name)
{
	return table_hash(&r->by_name, name, strlen(name), profile);
}

static bool entry_busy(const struct entry *e)
{
	return e->stage == STAGE_ASKING || e->stage == STAGE_QUEUED || e->stage == STAGE_PINNING;
}

/* Settled under this policy and this connection, and not too old. */
static bool entry_fresh(const struct entry *e, const struct policy *p, uint64_t now_ms)
{
	return e->stage == STAGE_SETTLED && e->generation == e->owner->generation &&
	       e->outcome.policy == p && e->outcome.expires_ms > now_ms;
}

static struct entry *entry_find(struct resolver *r, uint16_t profile, const char *name,
				uint64_t hash)
{
	struct table_node *n = table_first(&r->by_name, hash);

	for (; n; n = table_next(n)) {
		struct entry *e = container_of(n, struct entry, by_name);

		if (e->profile == profile && !strcmp(e->name, name))
			return e;
	}
	return NULL;
}

static void entry_forget_outcome(struct entry *e)
{
	if (e->indexed)
		table_remove(&e->owner->by_index, &e->by_index);
	e->indexed = false;
	policy_unref(e->outcome.policy);
	e->outcome = (struct outcome){ .kind = OUTCOME_FAILED,
				       .reason = REASON_INTERNAL_ERROR,
				       .rule = "default" };
}

static struct entry *entry_evict(struct resolver *r)
{
	for (size_t i = 0; i < 2 * ENTRIES_MAX; i++) {
		struct entry *e = &r->entries[r->hand];

		r->hand = (r->hand + 1) % ENTRIES_MAX;
		if (e->stage == STAGE_EMPTY)
			return e;
		if (entry_busy(e) || e->waits.next != &e->waits)
			continue;
		if (e->used) {
			e->used = false;
			continue;
		}
		entry_forget_outcome(e);
		table_remove(&r->by_name, &e->by_name);
		e->stage = STAGE_EMPTY;
		return e;
	}
	return NULL;
}

static upstream_fn entry_on_upstream;

static struct entry *entry_new(struct resolver *r, uint16_t profile, const char *name,
			       uint64_t hash)
{
	struct entry *e = entry_evict(r);

	if (!e)
		return NULL;
	*e = (struct entry){ .owner = r, .profile = profile, .stage = STAGE_SETTLED };
	if (!msg_text_set(e->name, sizeof(e->name), name)) {
		e->stage = STAGE_EMPTY;
		return NULL;
	}
	e->waits.prev = e->waits.next = &e->waits;
	e->busy_prev = e->busy_next = e;
	e->ask.fn = entry_on_upstream;
	table_put(&r->by_name, &e->by_name, hash);
	return e;
}

static void busy_put(struct entry *e)
{
	struct entry *head = &e->owner->busy;

	e->busy_prev = head->busy_prev;
	e->busy_next = head;
	e->busy_prev->busy_next = e;
	head->busy_prev = e;
}

static void busy_remove(struct entry *e)
{
	e->busy_prev->busy_next = e->busy_next;
	e->busy_next->busy_prev = e->busy_prev;
	e->busy_prev = e->busy_next = e;
}

/* ---- pins ---- */

static struct pin *pin_new(struct resolver *r, struct entry *e)
{
	for (size_t i = 0; i < PINS_MAX; i++)
		if (!r->pins[i].entry) {
			r->pins[i] = (struct pin){ .entry = e, .sequence = ++r->sequence };
			return &r->pins[i];
		}
	return NULL;
}

static void pin_dequeue(struct resolver *r, struct pin *p)
{
	struct pin **at = &r->queue;

	while (*at && *at != p)
		at = &(*at)->next;
	if (!*at)
		return;
	*at = p->next;
	if (r->queue_end == &p->next)
		r->queue_end = at;
	p->next = NULL;
}

static void pin_free(struct resolver *r, struct pin *p)
{
	if (p->entry->stage != STAGE_PINNING)
		pin_dequeue(r, p);
	p->entry->pin = NULL;
	p->entry = NULL;
}

/* ---- the ways of an entry ---- */

/*
 * Everybody who waits gets the outcome. A callback must not ask again: it would wait here, and get
 * this outcome for its answer.
 */
static void entry_settle(struct entry *e, uint32_t ttl_ms)
{
	struct resolver_wait *w;

	upstream_cancel(&e->ask);
	if (e->pin)
		pin_free(e->owner, e->pin);
	busy_remove(e);
	e->stage = STAGE_SETTLED;
	e->outcome.expires_ms = loop_now(e->owner->loop) + ttl_ms;
	while ((w = e->waits.next) != &e->waits) {
		resolver_cancel(w);
		w->fn(w, &e->outcome);
	}
}

static void entry_fail(struct entry *e, enum reason reason)
{
	e->outcome.kind = OUTCOME_FAILED;
	e->outcome.reason = reason;
	entry_settle(e, UPSTREAM_TTL_FAILED * 1000);
}

static void pins_send(struct resolver *r)
{
	struct pin *p;

	while ((p = r->queue) && r->sent < PINS_SENT_MAX) {
		if (view_send(r->view, MSG_PIN, p->sequence, &p->msg) < 0)
			return;		/* lost: resolver_lost() comes next; or it is tried again */
		pin_dequeue(r, p);
		p->entry->stage = STAGE_PINNING;
		r->sent++;
	}
}

static uint8_t usable(struct entry *e, const struct addr *from, uint8_t n, struct addr *to)
{
	uint8_t kept = 0;

	for (uint8_t i = 0; i < n; i++)
		if (address_usable(&from[i], &e->owner->addresses, e->private_ok))
			to[kept++] = from[i];
	return kept;
}

/* Queue the PIN. `a` is NULL for a name that is only proxied. */
static void entry_pin(struct entry *e, const struct upstream_answer *a)
{
	struct resolver *r = e->owner;
	struct pin *p = pin_new(r, e);

	if (!p) {
		entry_fail(e, REASON_INTERNAL_ERROR);
		return;
	}
	e->pin = p;
	e->stage = STAGE_QUEUED;
	p->msg.profile = e->profile;
	p->msg.sandbox = e->outcome.sandbox;
	p->msg.ttl = a ? a->ttl : PROXIED_TTL;
	msg_text_set(p->msg.name, sizeof(p->msg.name), e->name);
	if (a) {
		p->msg.n4 = usable(e, a->a4, a->n4, p->msg.a4);
		p->msg.n6 = usable(e, a->a6, a->n6, p->msg.a6);
		if (!p->msg.n4 && !p->msg.n6) {
			entry_fail(e, REASON_REBINDING_BLOCKED);
			return;
		}
	}
	*r->queue_end = p;
	r->queue_end = &p->next;
	pins_send(r);
}

static void entry_on_upstream(struct upstream_wait *w, const struct upstream_answer *a)
{
	struct entry *e = container_of(w, struct entry, ask);

	switch (a->status) {
	case UPSTREAM_UNREACHABLE:
		entry_fail(e, REASON_RESOLVER_UNREACHABLE);
		return;
	case UPSTREAM_NXDOMAIN:
	case UPSTREAM_NODATA:
		e->outcome.kind =
			a->status == UPSTREAM_NXDOMAIN ? OUTCOME_NXDOMAIN : OUTCOME_NODATA;
		entry_settle(e, a->ttl * 1000);
		return;
	case UPSTREAM_ADDRESSES:
		entry_pin(e, a);
		return;
	}
	entry_fail(e, REASON_INTERNAL_ERROR);
}

static void entry_begin(struct entry *e, const struct view_sandbox *s,
			const struct name_decision *d)
{
	struct resolver *r = e->owner;

	entry_forget_outcome(e);
	e->outcome.policy = policy_ref(s->policy);
	e->outcome.rule = d->rule;
	e->outcome.sandbox = s->id;
	e->private_ok = d->private_ok;
	e->proxied = d->proxied;
	e->generation = r->generation;
	e->deadline_ms = loop_now(r->loop) + DEADLINE_MS;
	e->stage = STAGE_ASKING;
	busy_put(e);
	if (!r->tick.due_ms)
		loop_arm(r->loop, &r->tick, TICK_MS);
	if (e->proxied)
		entry_pin(e, NULL);
	else
		upstream_ask(r->upstream, e->name, &e->ask);
}

static void entry_landed(struct entry *e, const struct msg_pinned *m)
{
	struct resolver *r = e->owner;
	uint32_t ttl = e->pin->msg.ttl;

	if (m->reason != REASON_NONE) {
		entry_fail(e, m->reason < REASON_COUNT ? m->reason : REASON_INTERNAL_ERROR);
		return;
	}
	if (m->index < POOL_FIRST_NAME || m->index >= pool_size(&r->pool)) {
		entry_fail(e, REASON_INTERNAL_ERROR);
		return;
	}
	e->index = m->index;
	e->outcome.kind = OUTCOME_PINNED;
	e->outcome.has[0] = m->has4;
	e->outcome.has[1] = m->has6;
	e->outcome.synthetic[0] = pool_addr4(&r->pool, m->index);
	e->outcome.synthetic[1] = pool_addr6(&r->pool, m->index);
	table_put(&r->by_index, &e->by_index, index_hash(r, e->profile, e->index));
	e->indexed = true;
	entry_settle(e, ttl * 1000);
}

int resolver_pinned(struct resolver *r, const struct ipc_in *in)
{
	const struct msg_pinned *m = msg_body(in, MSG_PINNED);

	if (!m)
		return -EPROTO;
	if (r->sent)
		r->sent--;
	for (size_t i = 0; i < PINS_MAX; i++) {
		struct pin *p = &r->pins[i];

		if (p->entry && p->entry->stage == STAGE_PINNING &&
		    p->sequence == in->head.sequence) {
			entry_landed(p->entry, m);
			break;				/* not found: it came after the deadline */
		}
	}
	pins_send(r);
	return 0;
}

/* Of whatever profile: a settled pin of it answers nobody any more. One on its way is netd's to judge. */
int resolver_name_gone(struct resolver *r, const struct ipc_in *in)
{
	const struct msg_name *m = msg_body(in, MSG_NAME_GONE);

	if (!m || !msg_text_ok(m->name, sizeof(m->name)))
		return -EPROTO;
	for (uint16_t profile = 1; profile <= MARK_PROFILE_MAX; profile++) {
		struct entry *e = entry_find(r, profile, m->name, name_hash(r, profile, m->name));

		if (e && e->stage == STAGE_SETTLED)
			entry_forget_outcome(e);
	}
	return 0;
}

void resolver_lost(struct resolver *r)
{
	struct entry *e;

	r->generation++;
	while ((e = r->busy.busy_next) != &r->busy)
		entry_fail(e, REASON_INTERNAL_ERROR);
	r->sent = 0;
}

static void resolver_on_tick(struct loop *l, struct timer *t)
{
	struct resolver *r = container_of(t, struct resolver, tick);
	uint64_t now = loop_now(l);
	struct entry *e;

	/* The ring is in the order of deadlines. */
	while ((e = r->busy.busy_next) != &r->busy && e->deadline_ms <= now)
		entry_fail(e, e->stage == STAGE_ASKING ? REASON_RESOLVER_UNREACHABLE
						       : REASON_INTERNAL_ERROR);
	pins_send(r);
	if (r->busy.busy_next != &r->busy)
		loop_arm(l, t, TICK_MS);
}

/* ---- questions ---- */

bool resolver_lookup(struct resolver *r, const struct view_sandbox *s, const char *name,
		     uint16_t qtype, struct answer *ret)
{
	struct entry *e = entry_find(r, s->profile, name, name_hash(r, s->profile, name));
	uint64_t now = loop_now(r->loop);

	if (!e || !entry_fresh(e, s->policy, now) || outcome_is_anothers(&e->outcome, s->id))
		return false;
	e->used = true;
	outcome_answer(&e->outcome, qtype, now, ret);
	return true;
}

bool resolver_fresh(struct resolver *r, const struct view_sandbox *s, const char *name,
		    uint64_t *ret_until_ms)
{
	struct entry *e = entry_find(r, s->profile, name, name_hash(r, s->profile, name));

	if (!e || !entry_fresh(e, s->policy, loop_now(r->loop)))
		return false;
	*ret_until_ms = e->outcome.expires_ms;
	return true;
}

bool resolver_wait(struct resolver *r, const struct view_sandbox *s, const char *name,
		   const struct name_decision *d, struct resolver_wait *w)
{
	uint64_t hash = name_hash(r, s->profile, name);
	struct entry *e = entry_find(r, s->profile, name, hash);

	if (!e)
		e = entry_new(r, s->profile, name, hash);
	if (!e)
		return false;
	e->used = true;
	w->prev = e->waits.prev;
	w->next = &e->waits;
	w->prev->next = w;
	e->waits.prev = w;
	if (!entry_busy(e))
		entry_begin(e, s, d);
	return true;
}

void resolver_cancel(struct resolver_wait *w)
{
	if (!w->next)
		return;
	w->prev->next = w->next;
	w->next->prev = w->prev;
	w->prev = w->next = NULL;
}

const char *resolver_name_of(struct resolver *r, const struct view_sandbox *s,
			     const struct addr *synthetic)
{
	struct table_node *n;
	uint32_t index;

	if (!pool_index(&r->pool, synthetic, &index))
		return NULL;
	if (index == POOL_CORDON_INTERNAL)
		return CORDON_INTERNAL;
	n = table_first(&r->by_index, index_hash(r, s->profile, index));
	for (; n; n = table_next(n)) {
		struct entry *e = container_of(n, struct entry, by_index);

		if (e->profile == s->profile && e->index == index &&
		    e->generation == r->generation && e->outcome.policy == s->policy)
			return e->name;
	}
	return NULL;
}

struct addr resolver_internal(const struct resolver *r, uint8_t family)
{
	return family == 6 ? pool_addr6(&r->pool, POOL_CORDON_INTERNAL) :
			     pool_addr4(&r->pool, POOL_CORDON_INTERNAL);
}

int resolver_new(struct loop *l, const struct host_config *c, struct upstream *u, struct view *v,
		 struct resolver **ret)
{
	AUTO(resolver) struct resolver *r = calloc(1, sizeof(*r));
	int e;

	if (!r)
		return -ENOMEM;
	r->loop = l;
	r->upstream = u;
	r->view = v;
	r->pool = c->pool;
	r->addresses = host_config_site(c).addresses;
	r->busy.busy_prev = r->busy.busy_next = &r->busy;
	r->queue_end = &r->queue;
	r->tick.fn = resolver_on_tick;
	r->entries = calloc(ENTRIES_MAX, sizeof(*r->entries));
	r->pins = calloc(PINS_MAX, sizeof(*r->pins));
	if (!r->entries || !r->pins)
		return -ENOMEM;
	e = table_init(&r->by_name, ENTRIES_MAX);
	if (e == 0)
		e = table_init(&r->by_index, ENTRIES_MAX);
	if (e < 0)
		return e;
	*ret = STEAL(r);
	return 0;
}

/* Without answers to those who wait: they are freed by their owner, before this. */
void resolver_free(struct resolver *r)
{
	if (!r)
		return;
	for (size_t i = 0; r->entries && i < ENTRIES_MAX; i++) {
		upstream_cancel(&r->entries[i].ask);
		policy_unref(r->entries[i].outcome.policy);
	}
	loop_disarm(r->loop, &r->tick);
	table_done(&r->by_name);
	table_done(&r->by_index);
	free(r->entries);
	free(r->pins);
	free(r);
}
