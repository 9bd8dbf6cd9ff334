/*
 * table.h - an intrusive hash table with a secret seed
 *
 * Nodes are embedded in their owners, which live in arrays that were allocated at start; the table
 * allocates nothing after table_init(). Keys are names that an attacker may choose (under a granted
 * wildcard), so the hash is seeded from the kernel at start.
 */
#ifndef DNS_TABLE_H
#define DNS_TABLE_H

#include <stddef.h>
#include <stdint.h>

#include "base/mem.h"

struct table_node {
	struct table_node *next;
	uint64_t hash;
};

struct table {
	struct table_node **buckets;	/* a power of two */
	size_t mask;
	uint64_t seed[2];
};

int table_init(struct table *t, size_t buckets); /* rounded up to a power of two; 0 or -errno */
void table_done(struct table *t);
/* Of n bytes and a number that belongs to the key. */
uint64_t table_hash(const struct table *t, const void *key, size_t n, uint64_t extra);
void table_put(struct table *t, struct table_node *node, uint64_t hash);
void table_remove(struct table *t, struct table_node *node);	/* harmless when it is not in */
/* Nodes with this hash, one after the other; NULL ends. The caller compares keys. */
struct table_node *table_first(const struct table *t, uint64_t hash);
struct table_node *table_next(const struct table_node *node);

#endif
