/*
 * fake_ruleset.h - a kernel made of an array: elements, and transactions that happen whole or not at all
 *
 * The one test program that includes this defines collide(): whether two elements cannot both be there. As in
 * the kernel, putting such an element or deleting one that is not there spoils the transaction. fail_commit is
 * what the next commits answer, commits counts those that took effect, and elems[] is what is there.
 */
#ifndef UNIT_FAKE_RULESET_H
#define UNIT_FAKE_RULESET_H

#include <errno.h>
#include <string.h>

#include "nft/ruleset.h"

enum { ELEMS_MAX = 256 };
static struct ruleset_elem elems[ELEMS_MAX], staged[ELEMS_MAX];
static size_t n_elems, n_staged;
static unsigned commits;
static int fail_commit, staged_error;

static bool collide(const struct ruleset_elem *a, const struct ruleset_elem *b);

int ruleset_begin(struct ruleset *r)
{
	(void)r;
	memcpy(staged, elems, sizeof(elems));
	n_staged = n_elems;
	staged_error = 0;
	return 0;
}

int ruleset_put(struct ruleset *r, const struct ruleset_elem *e)
{
	(void)r;
	for (size_t i = 0; i < n_staged; i++)
		if (collide(&staged[i], e))
			staged_error = -EEXIST;
	if (n_staged == ELEMS_MAX)
		staged_error = -ENOSPC;
	else
		staged[n_staged++] = *e;
	return 0;
}

int ruleset_del(struct ruleset *r, const struct ruleset_elem *e)
{
	(void)r;
	for (size_t i = 0; i < n_staged; i++) {
		if (!collide(&staged[i], e) || staged[i].bits != e->bits)
			continue;
		staged[i] = staged[--n_staged];
		return 0;
	}
	staged_error = -ENOENT;
	return 0;
}

int ruleset_commit(struct ruleset *r)
{
	(void)r;
	if (fail_commit || staged_error)
		return fail_commit ? fail_commit : staged_error;
	memcpy(elems, staged, sizeof(elems));
	n_elems = n_staged;
	commits++;
	return 0;
}

void ruleset_abort(struct ruleset *r)
{
	(void)r;
}

int ruleset_each(struct ruleset *r, enum ruleset_map map, uint8_t family, ruleset_each_fn *fn, void *owner)
{
	int e = 0;

	(void)r;
	for (size_t i = 0; e >= 0 && i < n_elems; i++)
		if (elems[i].map == map && elems[i].addr.family == family)
			e = fn(owner, &elems[i]);
	return e;
}

#endif
