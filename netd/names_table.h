/*
 * names_table.h - the inside of struct names, for names*.c only
 */
#ifndef NETD_NAMES_TABLE_H
#define NETD_NAMES_TABLE_H

#include "netd/names.h"

enum { NAMES_CHUNK = 256 }; /* names or elements of one transaction, where it need not be one */

struct rest {
	uint32_t index;
	uint64_t until_ms;
};

struct names {
	const struct host_config *config;
	struct ruleset *rules;
	names_own_fn *own; /* NULL: only what the configuration knows is the host's */
	const struct host_addresses *own_addresses;
	struct name **by_index; /* pool_size() places */
	uint32_t size, cursor;
	struct name **bucket;
	size_t n_buckets, count;
	uint8_t *taken;	   /* a bit an index that had a name and is not given out again yet */
	struct rest *rest; /* those of them whose end is known, in its order: a ring */
	size_t rest_first, rest_n, rest_cap;
};

/* A real address that a name may have: the configuration allows it, and it is not the host's. */
bool names_usable(const struct names *t, const struct addr *a, bool private_ok);
/* A name with a given index. -ERANGE, -EEXIST (index or name), -ENOMEM. */
int names_insert(struct names *t, const char *text, uint32_t index, struct name **ret);
/* Out of the table, though still there: its owner is the caller, its index rests. */
void names_take_out(struct names *t, struct name *nm);

/* names_write.c: elements, into the transaction that is open. 0 or -errno. */
int names_write_name(struct names *t, const struct name *nm, bool put);
int names_write_grant(struct names *t, const struct name *nm, const struct name_grant *g, bool put);
/* In the place of nm->real[f], unless it is that. */
int names_write_real(struct names *t, const struct name *nm, int f, const struct addr *to);

/* A name as an element's comment, and back: only what such a comment can be. */
void names_note(const char *text, char note[RULESET_NOTE_MAX + 1]);
bool names_of_note(const char *note, char text[POLICY_NAME_MAX + 1]);

/* The order of struct name.grants, for qsort(). */
int names_grant_compare(const void *a, const void *b);

#endif
