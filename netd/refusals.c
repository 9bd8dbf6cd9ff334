/*
 * refusals.c - the kernel's exact counts of refused packets, and what of them the log has told
 *
 * Theory of operation: the ruleset counts each refused packet under (reason, sandbox, interface) and logs
 * at most a hundred a second of each. What was logged is counted here under the same key. Ten seconds
 * after a packet was logged the kernel's counts are read, and the difference, which a flood or a full
 * buffer makes, becomes one audit line with its count: so the counts of the audit log add up to the
 * kernel's. Without refusals nothing is read. The table is as large as refusals have reasons and places;
 * at PLACES_MAX it takes no more, and `lost` says so.
 */
#include "netd/refusals.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "netd/nflog.h"
#include "netd/profiles.h"
#include "netd/registry.h"

enum { COLLECT_MS = 10000, PLACES_MAX = 1 << 18, BUCKETS = 4096 };

/* Where packets were refused, and why. */
struct place {
	struct place *next;
	enum reason reason;
	uint16_t sandbox;
	char interface[16];
	uint64_t packets;	/* the kernel's count, as last read */
	uint64_t told;		/* of these, what the audit log has or what was there before us */
	uint64_t logged;	/* since the last reading */
};

struct refusals {
	struct netd *n;
	struct timer collect;
	struct place *bucket[BUCKETS];
	size_t count;
	bool first;		/* the first reading: nothing of it is news */
	bool full;
};

static size_t hash_of(enum reason reason, uint16_t sandbox, const char *interface)
{
	uint32_t h = 0x811c9dc5u ^ (uint32_t)reason << 16 ^ sandbox;

	for (; *interface; interface++)
		h = (h ^ (uint8_t)*interface) * 0x01000193u;
	return (h ^ h >> 15) % BUCKETS;
}

static struct place *place_of(struct refusals *f, enum reason reason, uint16_t sandbox, const char *interface)
{
	struct place **at = &f->bucket[hash_of(reason, sandbox, interface)], *p;

	for (p = *at; p; p = p->next)
		if (p->reason == reason && p->sandbox == sandbox && !strcmp(p->interface, interface))
			return p;
	p = f->count < PLACES_MAX ? calloc(1, sizeof(*p)) : NULL;
	if (!p) {
		f->full = true;
		return NULL;
	}
	p->reason = reason;
	p->sandbox = sandbox;
	snprintf(p->interface, sizeof(p->interface), "%s", interface);
	p->next = *at;
	*at = p;
	f->count++;
	return p;
}

void refusals_logged(struct refusals *f, enum reason reason, uint16_t sandbox, const char *interface)
{
	struct place *p = place_of(f, reason, sandbox, interface);

	if (p)
		p->logged++;
	if (!f->collect.due_ms)
		loop_arm(f->n->loop, &f->collect, COLLECT_MS);
}

static int on_count(void *owner, const struct ruleset_refused *c)
{
	struct refusals *f = owner;
	struct place *p = place_of(f, c->reason, c->sandbox, c->interface);

	if (!p)
		return 0;
	p->packets += c->packets;	/* a source may be refused by IP and by ARP: two counters */
	if (f->first)
		p->told = p->packets;
	return 0;
}

/* A source that was not accepted has no sandbox, but its link may have one. */
static const struct sandbox *sandbox_of(const struct netd *n, const struct place *p)
{
	return p->sandbox ? registry_by_id(n->registry, p->sandbox)
			  : registry_by_interface(n->registry, p->interface);
}

/* The line has no addresses: packets of one place, to anywhere. */
static void tell(struct netd *n, const struct place *p, uint64_t count)
{
	const struct sandbox *s = sandbox_of(n, p);
	uint16_t profile = s ? s->profile : 0;
	const struct policy *policy = profiles_policy(n->profiles, profile);
	enum reason reason = p->reason == REASON_SOURCE_SPOOFED && !s ? REASON_INTERFACE_UNREGISTERED : p->reason;
	struct audit_head h = { .event = "flow",
				.sandbox = s ? s->name : "",
				.profile = profiles_name(n->profiles, profile),
				.decision = "deny",
				.reason = reason_text(reason),
				.rule = "default",
				.policy = policy ? policy_sha256(policy) : "" };
	struct audit_line l;

	audit_begin(&l, &h);
	audit_str(&l, "interface", p->interface);
	audit_str(&l, "what", "more than was logged one by one");
	audit_u64(&l, "count", count);
	audit_put(n->audit, &l);
}

static void settle(struct refusals *f, struct place *p)
{
	uint64_t known;

	if (p->told > p->packets)
		p->told = 0;					/* deleted and counted anew */
	known = p->told + p->logged;
	if (p->packets > known)
		tell(f->n, p, p->packets - known);
	/* What was logged while the kernel was being read is ahead of its count. */
	p->logged = known > p->packets ? known - p->packets : 0;
	p->told = p->packets;
}

static void tell_full(struct refusals *f)
{
	struct audit_head h = { .event = "lost", .decision = "" };
	struct audit_line l;

	f->full = false;
	audit_begin(&l, &h);
	audit_str(&l, "what", "counts of refused packets: too many interfaces");
	audit_aggregate(f->n->audit, "lost counts", &l);
}

void refusals_collect(struct refusals *f)
{
	int r;

	for (size_t i = 0; i < BUCKETS; i++)
		for (struct place *p = f->bucket[i]; p; p = p->next)
			p->packets = 0;
	r = ruleset_refused_each(f->n->rules, on_count, f);
	if (r < 0) {
		log_line(LOG_WARN, "event=refusals_not_read errno=%d", -r);
		return;
	}
	nflog_drain(f->n->nflog);				/* what is counted has been logged by now */
	for (size_t i = 0; i < BUCKETS; i++)
		for (struct place *p = f->bucket[i]; p; p = p->next)
			settle(f, p);
	if (f->full)
		tell_full(f);
}

static void on_collect(struct loop *l, struct timer *t)
{
	(void)l;
	refusals_collect(container_of(t, struct refusals, collect));
}

/* The place of one reason, where there is one. */
static struct place **known_place(struct refusals *f, enum reason reason, uint16_t sandbox, const char *interface)
{
	struct place **at = &f->bucket[hash_of(reason, sandbox, interface)], *p;

	while ((p = *at) && (p->reason != reason || p->sandbox != sandbox || strcmp(p->interface, interface)))
		at = &p->next;
	return at;
}

/* Those of the sandbox, or of its interface (sandbox 0). False: there are none. */
static bool begin_anew(struct refusals *f, uint16_t sandbox, const char *interface)
{
	bool any = false;

	for (int reason = 0; reason < REASON_COUNT; reason++) {
		struct place *p = *known_place(f, (enum reason)reason, sandbox, interface);

		if (p)
			p->packets = 0;
		any |= p != NULL;
	}
	return any;
}

/* Told and dropped. */
static void drop(struct refusals *f, uint16_t sandbox, const char *interface)
{
	for (int reason = 0; reason < REASON_COUNT; reason++) {
		struct place **at = known_place(f, (enum reason)reason, sandbox, interface), *p = *at;

		if (!p)
			continue;
		settle(f, p);
		*at = p->next;
		free(p);
		f->count--;
	}
}

static void forget(struct refusals *f, uint16_t sandbox, const char *interface)
{
	int r;

	if (!begin_anew(f, sandbox, interface))
		return;		/* the first packet of each place is logged: no place, no counts */
	r = ruleset_refused_of(f->n->rules, sandbox, interface, on_count, f);
	nflog_drain(f->n->nflog);			/* what is counted has been logged by now */
	drop(f, sandbox, interface);
	if (r >= 0)
		r = ruleset_refused_forget(f->n->rules, sandbox, interface);
	if (r < 0)
		log_line(LOG_WARN, "event=refusals_not_forgotten sandbox=%u interface=%s errno=%d", sandbox,
			 interface, -r);
}

/* By key: others' counts are neither read nor touched, however many there are. */
void refusals_forget(struct refusals *f, const struct sandbox *s)
{
	const struct sandbox *first = registry_by_interface(f->n->registry, s->interface);

	forget(f, s->id, s->interface);
	if (first == s && !registry_next_on(s))
		forget(f, 0, s->interface);		/* sources that were not accepted there */
}

void refusals_each(struct refusals *f, refusals_fn *fn, void *owner)
{
	for (size_t i = 0; i < BUCKETS; i++)
		for (const struct place *p = f->bucket[i]; p; p = p->next) {
			const struct sandbox *s = sandbox_of(f->n, p);

			fn(owner, s ? s->id : 0, p->reason, p->packets);
		}
}

int refusals_new(struct netd *n, struct refusals **ret)
{
	AUTO(refusals) struct refusals *f = calloc(1, sizeof(*f));
	int r;

	if (!f)
		return -ENOMEM;
	f->n = n;
	f->collect.fn = on_collect;
	f->first = true;
	r = ruleset_refused_each(n->rules, on_count, f);
	if (r < 0)
		return r;
	f->first = false;
	*ret = STEAL(f);
	return 0;
}

void refusals_free(struct refusals *f)
{
	if (!f)
		return;
	loop_disarm(f->n->loop, &f->collect);
	for (size_t i = 0; i < BUCKETS; i++)
		for (struct place *p = f->bucket[i], *next; p; p = next) {
			next = p->next;
			free(p);
		}
	free(f);
}
