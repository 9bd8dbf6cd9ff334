/*
 * sandbox_elements.c - what the kernel holds for one sandbox
 *
 * Theory of operation: a list made from the sandbox and its profile, the same for putting and for
 * deleting. Identity comes last in it, and is deleted with everything else in one transaction: a
 * sandbox whose packets are let in always has its limits. The identity's note is "NAME PROFILE",
 * with words behind it for those of `cordon run` and those that may ask a DHCP server, by which a
 * restarted netd knows it again. The other elements follow from that: after a restart they are
 * compared with what they should be, one map after the other, so that the copy stays small.
 */
#include "netd/sandbox_elements.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "netd/profiles.h"
#include "policy/mark.h"

/*
 * Queries that reach the resolver, as a multiple of those that it answers: what is somewhat too much it
 * refuses with an answer, a flood ends in the kernel.
 */
enum { QUERIES_FACTOR = 4, QUERIES_MIN = 100 };
enum { LIMITS = 3, ELEMS_MAX = LIMITS + 4 };
enum { CHUNK = 128 }; /* sandboxes, or elements, of one transaction */

struct elems {
	struct ruleset_elem e[ELEMS_MAX];
	size_t n;
};

static struct ruleset_elem *add(struct elems *l, const struct sandbox *s, enum ruleset_map map)
{
	struct ruleset_elem *e = &l->e[l->n++];

	*e = (struct ruleset_elem){ .map = map };
	snprintf(e->interface, sizeof(e->interface), "%s", s->interface);
	memcpy(e->mac, s->mac, sizeof(e->mac));
	return e;
}

static void add_limit(struct elems *l, const struct sandbox *s, enum ruleset_map map, uint32_t limit)
{
	struct ruleset_elem *e = add(l, s, map);

	e->mark = s->id;
	e->limit = limit;
}

static void add_limits(struct elems *l, const struct profiles *profiles, const struct sandbox *s)
{
	const struct policy *p = profiles_policy(profiles, s->profile);
	const struct policy_limits *m = p ? policy_limits(p) : NULL;
	uint64_t queries = m ? (uint64_t)m->dns_queries_per_second * QUERIES_FACTOR : 0;

	/* Without a policy the limits are of a value that nobody may open anything with. */
	add_limit(l, s, MAP_NEW_FLOWS, m ? m->new_connections_per_second : 1);
	add_limit(l, s, MAP_FLOWS, m ? m->connections : 1);
	queries = queries < QUERIES_MIN ? QUERIES_MIN : queries;
	add_limit(l, s, MAP_DNS_QUERIES, queries < UINT32_MAX ? (uint32_t)queries : UINT32_MAX);
}

static void add_identity(struct elems *l, const struct netd *n, const struct sandbox *s, int i)
{
	struct ruleset_elem *e;

	if (!s->addr[i].family)
		return;
	e = add(l, s, MAP_IDENTITY);
	e->addr = s->addr[i];
	e->mark = mark_of(s->profile, s->id);
	snprintf(e->note, sizeof(e->note), "%s %s%s%s", s->name,
		 profiles_name(n->profiles, s->profile), s->run ? " " SANDBOX_NOTE_RUN : "",
		 s->dhcp ? " " SANDBOX_NOTE_DHCP : "");
}

static void list(struct elems *l, const struct netd *n, const struct sandbox *s)
{
	l->n = 0;
	add_limits(l, n->profiles, s);
	if (s->addr[0].family)
		add(l, s, MAP_NEIGHBOURS)->addr = s->addr[0];
	if (s->dhcp)
		add(l, s, MAP_DHCP);
	for (int i = 0; i < 2; i++)
		add_identity(l, n, s, i);
}

int sandbox_elements_put(struct netd *n, const struct sandbox *s)
{
	struct elems l;
	int r = 0;

	list(&l, n, s);
	for (size_t i = 0; r >= 0 && i < l.n; i++)
		r = ruleset_put(n->rules, &l.e[i]);
	return r;
}

static int del(struct netd *n, const struct ruleset_elem *e, size_t count)
{
	int r = ruleset_begin(n->rules);

	for (size_t i = 0; r >= 0 && i < count; i++)
		r = ruleset_del(n->rules, &e[i]);
	if (r >= 0)
		return ruleset_commit(n->rules);
	ruleset_abort(n->rules);
	return r;
}

/* When one is missing, each on its own: it must not keep the others. */
int sandbox_elements_del(struct netd *n, const struct sandbox *s)
{
	struct elems l;
	int worst;

	list(&l, n, s);
	worst = del(n, l.e, l.n);
	if (worst != -ENOENT)
		return worst;
	worst = 0;
	for (size_t i = 0; i < l.n; i++) {
		int r = del(n, &l.e[i], 1);

		if (r < 0 && r != -ENOENT)
			worst = r;
	}
	return worst;
}

/* ---- a reload ---- */

static bool limits_differ(const struct elems *a, const struct elems *b)
{
	for (size_t i = 0; i < LIMITS; i++)
		if (a->e[i].limit != b->e[i].limit)
			return true;
	return false;
}

/* Deleted and put under the same key, in the transaction that is open. */
static int limits_put(struct netd *n, const struct elems *e)
{
	int r = 0;

	for (size_t i = 0; r >= 0 && i < LIMITS; i++)
		r = ruleset_del(n->rules, &e->e[i]);
	for (size_t i = 0; r >= 0 && i < LIMITS; i++)
		r = ruleset_put(n->rules, &e->e[i]);
	return r;
}

/* From this sandbox on, as many as one transaction may have. Moves *at. */
static int limits_chunk(struct netd *n, const struct profiles *from, const struct profiles *to,
			struct sandbox **at)
{
	size_t changed = 0;
	int r = ruleset_begin(n->rules);

	for (; r >= 0 && *at && changed < CHUNK; *at = registry_after(n->registry, (*at)->id)) {
		struct elems was = { .n = 0 }, is = { .n = 0 };

		add_limits(&was, from, *at);
		add_limits(&is, to, *at);
		if ((*at)->state != SANDBOX_OPEN || !limits_differ(&was, &is))
			continue;
		changed++;
		r = limits_put(n, &is);
	}
	if (r >= 0 && changed)
		return ruleset_commit(n->rules);
	ruleset_abort(n->rules);
	return r;
}

static int limits_walk(struct netd *n, const struct profiles *from, const struct profiles *to)
{
	struct sandbox *at = registry_after(n->registry, 0);
	int r = 0;

	while (r >= 0 && at)
		r = limits_chunk(n, from, to, &at);
	return r;
}

int sandbox_limits_replace(struct netd *n, const struct profiles *from, const struct profiles *to)
{
	int r = limits_walk(n, from, to);

	if (r < 0)
		limits_walk(n, to, from);
	return r;
}

/* ---- a restart ---- */

struct held { /* of one map */
	struct ruleset_elem *e;
	size_t n, cap;
};

static int hold(void *owner, const struct ruleset_elem *e)
{
	struct held *h = owner;
	struct ruleset_elem *more;

	if (h->n == h->cap) {
		more = reallocarray(h->e, h->cap ? h->cap * 2 : 64, sizeof(*more));
		if (!more)
			return -ENOMEM;
		h->e = more;
		h->cap = h->cap ? h->cap * 2 : 64;
	}
	h->e[h->n++] = *e;
	return 0;
}

/* By key: notes and values do not matter. */
static int key_compare(const void *va, const void *vb)
{
	const struct ruleset_elem *a = va, *b = vb;
	int c = (a->mark > b->mark) - (a->mark < b->mark);

	if (!c)
		c = strncmp(a->interface, b->interface, sizeof(a->interface));
	if (!c)
		c = memcmp(a->mac, b->mac, sizeof(a->mac));
	return c ? c : memcmp(a->addr.b, b->addr.b, sizeof(a->addr.b));
}

/* What a map does not key is left empty in both, so that both compare alike. */
static void key_only(struct ruleset_elem *e)
{
	struct ruleset_elem key = { .map = e->map, .limit = e->limit };

	if (e->map == MAP_NEIGHBOURS || e->map == MAP_DHCP) {
		memcpy(key.interface, e->interface, sizeof(key.interface));
		memcpy(key.mac, e->mac, sizeof(key.mac));
		key.addr = e->addr;
	} else {
		key.mark = e->mark;
	}
	*e = key;
}

static int wanted(struct netd *n, enum ruleset_map map, struct held *ret)
{
	int r = 0;

	REGISTRY_EACH (n->registry, s) {
		struct elems l;

		list(&l, n, s);
		for (size_t i = 0; r >= 0 && i < l.n; i++)
			if (l.e[i].map == map)
				r = hold(ret, &l.e[i]);
	}
	return r;
}

static void in_order(struct held *h)
{
	for (size_t i = 0; i < h->n; i++)
		key_only(&h->e[i]);
	if (h->n)
		qsort(h->e, h->n, sizeof(*h->e), key_compare);
}

/* One change after the other, in transactions of a bounded size. */
struct change {
	struct netd *n;
	size_t pending;
	int r;
};

static void change(struct change *c, const struct ruleset_elem *e, bool put)
{
	if (c->r >= 0 && !c->pending)
		c->r = ruleset_begin(c->n->rules);
	if (c->r >= 0)
		c->r = put ? ruleset_put(c->n->rules, e) : ruleset_del(c->n->rules, e);
	c->pending++;
}

static void changes_commit(struct change *c)
{
	if (c->pending && c->r >= 0)
		c->r = ruleset_commit(c->n->rules);
	else if (c->pending)
		ruleset_abort(c->n->rules);
	c->pending = 0;
}

/* Both are in order. */
static int bring_into_line(struct netd *n, const struct held *is, const struct held *want)
{
	struct change c = { .n = n };

	for (size_t i = 0, k = 0; c.r >= 0 && (i < is->n || k < want->n);) {
		int order = i == is->n ? 1 : k == want->n ? -1 : key_compare(&is->e[i], &want->e[k]);

		if (order < 0 || (order == 0 && is->e[i].limit != want->e[k].limit))
			change(&c, &is->e[i], false);
		if (order > 0 || (order == 0 && is->e[i].limit != want->e[k].limit))
			change(&c, &want->e[k], true);
		i += order <= 0;
		k += order >= 0;
		if (c.pending >= CHUNK)
			changes_commit(&c);
	}
	changes_commit(&c);
	return c.r;
}

int sandbox_elements_reconcile(struct netd *n)
{
	static const enum ruleset_map maps[] = { MAP_NEW_FLOWS, MAP_FLOWS, MAP_DNS_QUERIES,
						 MAP_NEIGHBOURS, MAP_DHCP };
	int r = 0;

	for (size_t i = 0; r >= 0 && i < ARRAY_SIZE(maps); i++) {
		struct held is = { .n = 0 }, want = { .n = 0 };

		r = ruleset_each(n->rules, maps[i], 4, hold, &is);
		if (r >= 0)
			r = wanted(n, maps[i], &want);
		in_order(&is);
		in_order(&want);
		if (r >= 0)
			r = bring_into_line(n, &is, &want);
		free(is.e);
		free(want.e);
	}
	return r;
}
