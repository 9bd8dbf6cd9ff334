/*
 * arena.h - memory that is given back all at once
 */
#ifndef GITPROXY_GATE_ARENA_H
#define GITPROXY_GATE_ARENA_H

#include <stddef.h>
#include <stdint.h>

struct arena_chunk;
struct arena { struct arena_chunk *last; uint8_t *at; size_t left; };

void *arena_take(struct arena *a, size_t n);	/* zeroed, aligned to 8; NULL: no memory */
void arena_done(struct arena *a);

#endif
