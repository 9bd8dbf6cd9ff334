/*
 * shares.c - places that all sandboxes share, so that none of them gets all
 *
 * Theory of operation: while there is plenty a sandbox may take what it likes; the fuller the pool, the
 * smaller the part that one of them may have of it, and what it has already counts. So two greedy
 * ones, or ten, leave room for whoever has little. Nothing is taken back.
 * Invariants: allocates nothing, takes no lock; the owner's protects it.
 */
#include "gitproxy/shares.h"

#include <stddef.h>

#include "base/mem.h"

/* Of a pool that is filled less than `below` eighths, a sandbox may have one `part`-th. */
static const struct { uint32_t below, part; } rules[] = {
	{ 4, 1 }, { 6, 8 }, { 8, 32 },
};

bool shares_take(struct shares *s, uint16_t sandbox)
{
	for (size_t i = 0; i < ARRAY_SIZE(rules); i++) {
		if (8 * s->taken >= rules[i].below * s->max)
			continue;
		if (rules[i].part * s->of[sandbox] >= s->max)
			return false;
		s->of[sandbox]++;
		s->taken++;
		return true;
	}
	return false;
}

void shares_give(struct shares *s, uint16_t sandbox)
{
	s->of[sandbox]--;
	s->taken--;
}
