/*
 * names_table.h - the inside of struct names, for names.c, names_plan.c and names_restore.c only
 */
#ifndef NETD_NAMES_TABLE_H
#define NETD_NAMES_TABLE_H

#include "netd/names.h"

enum { NAMES_CHUNK = 256 }; /* names or elements of one transaction, where it need not be one */

struct names {
	const struct host_config *config;
	struct ruleset *rules;
	names_own_fn *own; /* NULL: only what the configuration knows is the host's */
	const struct host_addresses *own_addresses;
	struct name **by_index; /* pool_size() places */
	uint32_t size, cursor;
	struct name **bucket;
	size_t n_buckets, count;
};

/* A real address that a name may have: the configuration allows it, and it is not the host's. */
bool names_usable(const struct names *t, const struct addr *a, bool private_ok);
/* A name with a given index. -ERANGE, -EEXIST (index or name), -ENOMEM. */
int names_insert(struct names *t, const char *text, uint32_t index, struct name **ret);
/* The order of struct name.grants, for qsort(). */
int names_grant_compare(const void *a, const void *b);

#endif
