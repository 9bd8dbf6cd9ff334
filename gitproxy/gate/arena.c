/*
 * arena.c - memory that is given back all at once
 */
#include "gitproxy/gate/arena.h"

#include <stdlib.h>

enum { ARENA_CHUNK = 256 << 10 };

struct arena_chunk {
	struct arena_chunk *before;
	_Alignas(8) uint8_t bytes[];
};

static int more(struct arena *a, size_t n)
{
	size_t size = n > ARENA_CHUNK / 4 ? n : ARENA_CHUNK;
	struct arena_chunk *c = calloc(1, sizeof(*c) + size);

	if (!c)
		return 0;
	c->before = a->last;
	a->last = c;
	a->at = c->bytes;
	a->left = size;
	return 1;
}

void *arena_take(struct arena *a, size_t n)
{
	void *p;

	if (n > SIZE_MAX / 2)
		return NULL;
	n = (n + 7) & ~(size_t)7;
	if (n > a->left && !more(a, n))
		return NULL;
	p = a->at;
	a->at += n;
	a->left -= n;
	return p;
}

void arena_done(struct arena *a)
{
	while (a->last) {
		struct arena_chunk *c = a->last;

		a->last = c->before;
		free(c);
	}
	*a = (struct arena){ 0 };
}
