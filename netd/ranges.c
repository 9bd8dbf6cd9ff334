/*
 * ranges.c - addresses that profiles grant without a name: the maps of ranges
 *
 * Theory of operation: what the maps should hold follows from the policies alone (no pin, no real
 * address), so nothing is remembered: the kernel's elements are read, compared with what the
 * policies give, and the difference is one transaction. The same call serves the start, a reload
 * and a refill. Deletions come first: an interval map takes no range that overlaps one that is
 * there, and one that grew or shrank overlaps itself. Of a range that was taken away, the part that
 * another one grants anew keeps its flows.
 * Invariants: ranges of one policy do not overlap under one key (policy/ranges.c).
 */
#include "netd/ranges.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "policy/mark.h"

struct elems {
	struct ruleset_elem *e;
	size_t n, cap;
};

static void elems_done(struct elems *l)
{
	free(l->e);
}

static int elems_push(struct elems *l, const struct ruleset_elem *e)
{
	struct ruleset_elem *more;

	if (l->n == l->cap) {
		more = reallocarray(l->e, l->cap ? l->cap * 2 : 16, sizeof(*more));
		if (!more)
			return -ENOMEM;
		l->e = more;
		l->cap = l->cap ? l->cap * 2 : 16;
	}
	l->e[l->n++] = *e;
	return 0;
}

static int elem_order(const void *va, const void *vb)
{
	const struct ruleset_elem *a = va, *b = vb;
	const long fields[][2] = {
		{ a->addr.family, b->addr.family },
		{ a->mark, b->mark },
		{ a->proto, b->proto },
		{ a->port, b->port },
		{ a->bits, b->bits },
		{ a->action, b->action },
	};

	for (size_t i = 0; i < ARRAY_SIZE(fields); i++)
		if (fields[i][0] != fields[i][1])
			return fields[i][0] < fields[i][1] ? -1 : 1;
	return memcmp(a->addr.b, b->addr.b, sizeof(a->addr.b));
}

static void elems_sort(struct elems *l)
{
	if (l->n)
		qsort(l->e, l->n, sizeof(*l->e), elem_order);
}

/* ---- what there is, and what there should be ---- */

static int on_elem(void *owner, const struct ruleset_elem *e)
{
	return elems_push(owner, e);
}

static int elems_of_kernel(struct ruleset *rules, struct elems *l)
{
	int r = ruleset_each(rules, MAP_RANGES, 4, on_elem, l);

	if (r >= 0)
		r = ruleset_each(rules, MAP_RANGES, 6, on_elem, l);
	elems_sort(l);
	return r;
}

static int elems_of_profile(const struct policy *policy, uint16_t id, struct elems *l)
{
	size_t n;
	const struct policy_range *ranges = policy_ranges(policy, &n);
	int r = 0;

	for (size_t i = 0; r >= 0 && i < n; i++) {
		struct ruleset_elem e = { .map = MAP_RANGES,
					  .addr = ranges[i].prefix.addr,
					  .bits = ranges[i].prefix.bits,
					  .mark = mark_of(id, 0),
					  .proto = ranges[i].proto,
					  .port = ranges[i].port,
					  .action = GRANT_FORWARD };

		_Static_assert(POLICY_RANGE_RULE <= sizeof(e.note), "a rule is a note");
		memcpy(e.note, ranges[i].rule, POLICY_RANGE_RULE);
		r = elems_push(l, &e);
	}
	return r;
}

static int elems_of_policies(const struct profiles *p, struct elems *l)
{
	int r = 0;

	for (uint16_t id = 1; r >= 0 && id <= MARK_PROFILE_MAX; id++) {
		const struct policy *policy = profiles_policy(p, id);

		if (policy)
			r = elems_of_profile(policy, id, l);
	}
	elems_sort(l);
	return r;
}

/* ---- the difference ---- */

/* Call fn for what is in `a` and not in `b`; returns how many, or what fn failed with. */
typedef int elem_fn(void *owner, const struct ruleset_elem *e);
static int elems_minus(const struct elems *a, const struct elems *b, elem_fn *fn, void *owner)
{
	int n = 0;

	for (size_t i = 0, j = 0; i < a->n; i++) {
		int r;

		while (j < b->n && elem_order(&b->e[j], &a->e[i]) < 0)
			j++;
		if (j < b->n && !elem_order(&b->e[j], &a->e[i]))
			continue;
		r = fn(owner, &a->e[i]);
		if (r < 0)
			return r;
		n++;
	}
	return n;
}

static int elem_ignore(void *owner, const struct ruleset_elem *e)
{
	(void)owner;
	(void)e;
	return 0;
}

static int elem_del(void *owner, const struct ruleset_elem *e)
{
	return ruleset_del(owner, e);
}

static int elem_put(void *owner, const struct ruleset_elem *e)
{
	return ruleset_put(owner, e);
}

static struct flow_key elem_key(const struct ruleset_elem *e)
{
	return (struct flow_key){ .profile = mark_profile(e->mark),
				  .proto = e->proto,
				  .port = e->port,
				  .to = { e->addr, e->bits } };
}

static int elem_lost(void *owner, const struct ruleset_elem *e)
{
	flows_lost(owner, elem_key(e));
	return 0;
}

static int elem_kept(void *owner, const struct ruleset_elem *e)
{
	flows_kept(owner, elem_key(e));
	return 0;
}

static int write_difference(struct ruleset *rules, const struct elems *have,
			    const struct elems *want)
{
	int r = ruleset_begin(rules);

	if (r < 0)
		return r;
	r = elems_minus(have, want, elem_del, rules);
	if (r >= 0)
		r = elems_minus(want, have, elem_put, rules);
	if (r >= 0)
		return ruleset_commit(rules);
	ruleset_abort(rules);
	return r;
}

static int bring_into_line(struct ruleset *rules, const struct elems *have,
			   const struct elems *want, struct flow_list *lost)
{
	int r = 0;

	if (elems_minus(have, want, elem_ignore, NULL) ||
	    elems_minus(want, have, elem_ignore, NULL))
		r = write_difference(rules, have, want);
	if (r < 0 || !lost)
		return r;
	elems_minus(have, want, elem_lost, lost);
	elems_minus(want, have, elem_kept, lost);
	return 0;
}

int ranges_rebase(struct ruleset *rules, const struct profiles *p, struct flow_list *lost)
{
	struct elems have = { 0 }, want = { 0 };
	int r = elems_of_kernel(rules, &have);

	if (r >= 0)
		r = elems_of_policies(p, &want);
	if (r >= 0)
		r = bring_into_line(rules, &have, &want, lost);
	elems_done(&have);
	elems_done(&want);
	return r;
}
