/*
 * sandbox_elements.c - what the kernel holds for one sandbox
 *
 * Theory of operation: a list made from the sandbox and its profile, the same for putting and for
 * deleting. Identity comes last in it, and is deleted with everything else in one transaction: a
 * sandbox whose packets are let in always has its limits. The identity's note is "NAME PROFILE",
 * with "run" behind it for those of `cordon run`, by which a restarted netd knows it again.
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
enum { ELEMS_MAX = 7 };

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

static void add_limits(struct elems *l, const struct netd *n, const struct sandbox *s)
{
	const struct policy *p = profiles_policy(n->profiles, s->profile);
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
	snprintf(e->note, sizeof(e->note), "%s %s%s", s->name, profiles_name(n->profiles, s->profile),
		 s->run ? " run" : "");
}

static void list(struct elems *l, const struct netd *n, const struct sandbox *s)
{
	l->n = 0;
	add_limits(l, n, s);
	if (s->addr[0].family)
		add(l, s, MAP_NEIGHBOURS)->addr = s->addr[0];
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
