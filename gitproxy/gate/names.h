/*
 * names.h - names of tree entries, each kept once and numbered
 */
#ifndef GITPROXY_GATE_NAMES_H
#define GITPROXY_GATE_NAMES_H

#include "base/bytes.h"
#include "gitproxy/gate/arena.h"

enum { NAMES_MAX = 1 << 28 };

struct names {
	struct rd *text;
	uint32_t *slots;		/* number + 1; 0: free */
	uint32_t n, n_slots;
	uint64_t seed[2];
	struct arena arena;
};

int names_init(struct names *t);
void names_done(struct names *t);
int names_add(struct names *t, struct rd name, uint32_t *ret);	/* 0 or -errno */

#endif
