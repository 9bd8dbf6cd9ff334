/*
 * table.c - an intrusive hash table with a secret seed
 *
 * Theory of operation: chained buckets. The hash folds 128-bit products of eight bytes at a time
 * with two secret words, so that names which collide cannot be found from outside without the seed;
 * it is not meant to withstand somebody who can read our timings to the nanosecond.
 */
#include "dns/table.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>

int table_init(struct table *t, size_t buckets)
{
	size_t n = 16;

	*t = (struct table){ 0 };
	while (n < buckets)
		n *= 2;
	if (getrandom(t->seed, sizeof(t->seed), 0) != sizeof(t->seed))
		return -EIO;
	t->buckets = calloc(n, sizeof(*t->buckets));
	t->mask = n - 1;
	return t->buckets ? 0 : -ENOMEM;
}

void table_done(struct table *t)
{
	free(t->buckets);
	*t = (struct table){ 0 };
}

static uint64_t fold(uint64_t a, uint64_t b)
{
	unsigned __int128 product = (unsigned __int128)a * b;

	return (uint64_t)product ^ (uint64_t)(product >> 64);
}

uint64_t table_hash(const struct table *t, const void *key, size_t n, uint64_t extra)
{
	const uint8_t *p = key;
	uint64_t h = fold(t->seed[0] ^ extra, t->seed[1] ^ n), word;

	for (; n; p += n < 8 ? n : 8, n -= n < 8 ? n : 8) {
		word = 0;
		memcpy(&word, p, n < 8 ? n : 8);
		h = fold(h ^ word ^ t->seed[0], t->seed[1] | 1);
	}
	return h;
}

void table_put(struct table *t, struct table_node *node, uint64_t hash)
{
	struct table_node **at = &t->buckets[hash & t->mask];

	node->hash = hash;
	node->next = *at;
	*at = node;
}

void table_remove(struct table *t, struct table_node *node)
{
	struct table_node **at = &t->buckets[node->hash & t->mask];

	while (*at && *at != node)
		at = &(*at)->next;
	if (*at)
		*at = node->next;
	node->next = NULL;
}

static struct table_node *same_hash(struct table_node *node, uint64_t hash)
{
	while (node && node->hash != hash)
		node = node->next;
	return node;
}

struct table_node *table_first(const struct table *t, uint64_t hash)
{
	return same_hash(t->buckets[hash & t->mask], hash);
}

struct table_node *table_next(const struct table_node *node)
{
	return same_hash(node->next, node->hash);
}
