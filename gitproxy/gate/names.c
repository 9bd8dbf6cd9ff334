/*
 * names.c - names of tree entries, each kept once and numbered
 *
 * Theory of operation: a hash table whose hash depends on numbers drawn when it is made, since the
 * names are a client's: each step folds a product with one of them, so which names meet is not known without it.
 * Kept names do not move.
 */
#include "gitproxy/gate/names.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/random.h>

static uint64_t hash(const struct names *t, struct rd name)
{
	uint64_t h = t->seed[0] ^ name.n;

	while (name.n) {
		unsigned __int128 product;
		uint64_t v = 0;
		size_t n = name.n < 8 ? name.n : 8;

		memcpy(&v, name.p, n);
		product = (unsigned __int128)(h ^ v) * t->seed[1];
		h = (uint64_t)product ^ (uint64_t)(product >> 64);
		name.p += n;
		name.n -= n;
	}
	return h ^ h >> 32;
}

static uint32_t look(const struct names *t, struct rd name)
{
	uint32_t s = (uint32_t)hash(t, name) & (t->n_slots - 1);

	while (t->slots[s] && !rd_eq(t->text[t->slots[s] - 1], name.p, name.n))
		s = (s + 1) & (t->n_slots - 1);
	return s;
}

static int grow(struct names *t, uint32_t n_slots)
{
	uint32_t *slots = calloc(n_slots, sizeof(*slots));
	struct rd *text = realloc(t->text, n_slots / 2 * sizeof(*text));

	t->text = text ? text : t->text;
	if (!slots || !text || n_slots > NAMES_MAX) {
		free(slots);
		return -ENOMEM;
	}
	free(t->slots);
	t->slots = slots;
	t->n_slots = n_slots;
	for (uint32_t i = 0; i < t->n; i++)
		slots[look(t, text[i])] = i + 1;
	return 0;
}

int names_init(struct names *t)
{
	*t = (struct names){ 0 };
	if (getrandom(t->seed, sizeof(t->seed), 0) != sizeof(t->seed))
		return -EIO;
	t->seed[1] |= 1;
	return grow(t, 1024);
}

void names_done(struct names *t)
{
	free(t->text);
	free(t->slots);
	arena_done(&t->arena);
	*t = (struct names){ 0 };
}

int names_add(struct names *t, struct rd name, uint32_t *ret)
{
	uint32_t s = look(t, name);
	uint8_t *copy;
	int r;

	if (!t->slots[s]) {
		if (t->n == t->n_slots / 2) {
			r = grow(t, 2 * t->n_slots);
			if (r < 0)
				return r;
			s = look(t, name);
		}
		copy = arena_take(&t->arena, name.n + 1);
		if (!copy)
			return -ENOMEM;
		memcpy(copy, name.p, name.n);
		t->text[t->n] = rd_of(copy, name.n);
		t->slots[s] = ++t->n;
	}
	*ret = t->slots[s] - 1;
	return 0;
}
