/*
 * pack.h - a client's pack: its entries and its objects
 *
 * Errors of all functions here: 0, or -EBADMSG: it is malformed; -EFBIG: it is beyond a limit;
 * -ENOENT: it leans on an object that neither it nor the repository has (pack.missing); other
 * -errno: this host failed. pack.why says more, for people.
 */
#ifndef GITPROXY_GATE_PACK_H
#define GITPROXY_GATE_PACK_H

#include <pthread.h>

#include "gitproxy/gate/entry.h"

enum {
	PACK_THREADS = 2,
	PACK_LARGE = 16 << 20,		/* blobs beyond are read in pieces; one at a time is held */
	PACK_WHOLE_MAX = 256 << 20,	/* of what a delta leans on, or makes */
	PACK_HELD_MAX = 768 << 20,	/* of all that is held at a time */
	PACK_DEPTH_MAX = 4096,		/* deltas on deltas; git makes 4095 at most */
	PACK_NONE = UINT32_MAX
};

struct pack_entry {
	uint64_t at;			/* where it begins */
	uint64_t size;			/* of the object, in bytes */
	uint64_t stored;		/* of what is inflated: the object, or a delta's instructions */
	uint32_t data;			/* from `at` to the compressed bytes */
	uint32_t crc;			/* of all its bytes, as the index has it */
	uint32_t first, next;		/* entries whose base this is, by offset; and a list's next */
	uint32_t weight;		/* how many lean on it, over any number of steps, it included */
	uint16_t depth;
	uint8_t kind;			/* as stored: enum object_type, ENTRY_* */
	uint8_t type;			/* enum object_type, when it is known */
	bool done;
};

/*
 * A delta whose base is named by its id. Of all that name one base, the first tells where they end, and
 * whether they are taken.
 */
struct pack_lean { struct oid base; uint32_t entry, end; bool taken; };

/* What reads objects of the repository that the push goes to, for any thread. -ENOENT, -EFBIG, -errno; heap bytes. */
struct pack_outside {
	int (*read)(struct pack_outside *o, const struct oid *oid, uint64_t max, enum object_type *ret_type,
		    uint8_t **ret_bytes, size_t *ret_n);
};

struct pack_spec {
	int fd;				/* borrowed */
	enum object_format format;
	uint32_t max_objects;
	uint64_t max_inflated;
	struct pack_outside *outside;	/* NULL: there is nothing outside */
};

struct pack_added { struct oid oid; enum object_type type; };

struct pack {
	struct pack_spec spec;
	struct rd file;			/* mapped */
	uint32_t n;
	struct pack_entry *entry;	/* in the order of the file */
	struct oid *oid;		/* by entry */
	struct pack_lean *lean;		/* sorted by base */
	uint32_t n_lean;
	struct pack_added *added;	/* what it leans on outside */
	uint32_t n_added;
	uint64_t inflated;		/* of all objects */
	struct oid trailer, missing;
	const char *why;
	/* while objects are read */
	uint64_t held;
	uint32_t seen;
	int failed;
	pthread_mutex_t large;
};

/* Everything but the objects' ids: the trailer, each entry's place, what leans on what. */
int pack_open(const struct pack_spec *spec, struct pack *ret);
void pack_done(struct pack *p);

/* Who sees the objects. All return 0 or -errno, which ends the reading. */
struct pack_visitor {
	/* Each object once, whole, from the thread of this number. */
	int (*object)(struct pack_visitor *v, unsigned thread, const struct oid *oid, enum object_type type,
		      struct rd bytes);
	/* A blob of more than PACK_LARGE instead. */
	int (*begin)(struct pack_visitor *v, unsigned thread, const struct oid *oid, uint64_t size);
	int (*piece)(struct pack_visitor *v, unsigned thread, struct rd bytes);
	int (*end)(struct pack_visitor *v, unsigned thread);
	/* From thread 0, now and then. May be NULL. */
	int (*progress)(struct pack_visitor *v, uint32_t done, uint32_t total);
};
/* Fills in ids, types, and what was added. Of the visitor, progress() alone is used. */
int pack_ids(struct pack *p, struct pack_visitor *v);
/* Then: all objects. */
int pack_show(struct pack *p, struct pack_visitor *v);

int pack_fail(struct pack *p, int err, const char *why);

#endif
