/*
 * names_restore.c - what the kernel's maps still hold of names after a restart
 *
 * Theory of operation: the kernel is the database. Elements of the names maps carry the name as
 * their note and the index as their key, so that synthetic addresses which clients cached keep
 * their meaning; real addresses and grants are joined to them. What belongs to no name or to no
 * profile is deleted. Whether the policy still gives the rest is for names_rebase() afterwards.
 */
#include "netd/names_table.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "policy/mark.h"

struct reader {
	struct names *t;
	const struct profiles *p;
	struct ruleset_elem *stray; /* belong to nothing we know */
	size_t n, cap;
};

static int stray(struct reader *rd, const struct ruleset_elem *e)
{
	struct ruleset_elem *more;

	if (rd->n == rd->cap) {
		more = reallocarray(rd->stray, rd->cap ? rd->cap * 2 : 16, sizeof(*more));
		if (!more)
			return -ENOMEM;
		rd->stray = more;
		rd->cap = rd->cap ? rd->cap * 2 : 16;
	}
	rd->stray[rd->n++] = *e;
	return 0;
}

static struct name *elem_owner(const struct reader *rd, const struct ruleset_elem *e)
{
	uint32_t index;

	return pool_index(&rd->t->config->pool, &e->addr, &index) ? names_at(rd->t, index) : NULL;
}

static int read_name(void *owner, const struct ruleset_elem *e)
{
	struct reader *rd = owner;
	char text[POLICY_NAME_MAX + 1];
	struct name *nm;
	uint32_t index;

	if (!names_of_note(e->note, text) ||
	    !pool_index(&rd->t->config->pool, &e->addr, &index) ||
	    names_insert(rd->t, text, index, &nm) < 0)
		return stray(rd, e);
	nm->in_kernel = nm->known = true; /* parts get it with their snapshot */
	if (index >= rd->t->cursor)
		rd->t->cursor = index + 1 < rd->t->size ? index + 1 : POOL_FIRST_NAME;
	return 0;
}

static int read_name6(void *owner, const struct ruleset_elem *e)
{
	return elem_owner(owner, e) ? 0 : stray(owner, e);
}

static int read_real(void *owner, const struct ruleset_elem *e)
{
	struct name *nm = elem_owner(owner, e);

	if (!nm)
		return stray(owner, e);
	nm->real[e->addr.family == 6] = e->real;
	return 0;
}

static int read_grant(void *owner, const struct ruleset_elem *e)
{
	struct reader *rd = owner;
	struct name *nm = elem_owner(rd, e);
	struct name_grant *more;

	if (!nm || !*profiles_name(rd->p, mark_profile(e->mark)))
		return stray(rd, e);
	more = reallocarray(nm->grants, nm->n_grants + 1, sizeof(*more));
	if (!more)
		return -ENOMEM;
	nm->grants = more;
	nm->grants[nm->n_grants++] = (struct name_grant){ mark_profile(e->mark), e->addr.family,
							  e->proto, e->port, e->action };
	return 0;
}

static int delete_strays(struct reader *rd)
{
	int r = 0;

	for (size_t done = 0; r >= 0 && done < rd->n;) {
		r = ruleset_begin(rd->t->rules);
		for (size_t i = 0; r >= 0 && i < NAMES_CHUNK && done < rd->n; i++, done++)
			r = ruleset_del(rd->t->rules, &rd->stray[done]);
		if (r < 0)
			ruleset_abort(rd->t->rules);
		else
			r = ruleset_commit(rd->t->rules);
	}
	return r;
}

int names_read_back(struct names *t, const struct profiles *p)
{
	static const struct {
		enum ruleset_map map;
		uint8_t family;
		ruleset_each_fn *fn;
	} steps[] = {
		{ MAP_NAMES, 4, read_name },   { MAP_NAMES, 6, read_name6 },
		{ MAP_REAL, 4, read_real },    { MAP_REAL, 6, read_real },
		{ MAP_GRANTS, 4, read_grant }, { MAP_GRANTS, 6, read_grant },
	};
	struct reader rd = { .t = t, .p = p };
	int r = 0;

	for (size_t i = 0; r >= 0 && i < ARRAY_SIZE(steps); i++)
		r = ruleset_each(t->rules, steps[i].map, steps[i].family, steps[i].fn, &rd);
	for (struct name *nm = names_after(t, 0); nm; nm = names_after(t, nm->index))
		if (nm->n_grants)
			qsort(nm->grants, nm->n_grants, sizeof(*nm->grants), names_grant_compare);
	if (r >= 0)
		r = delete_strays(&rd);
	free(rd.stray);
	return r;
}
