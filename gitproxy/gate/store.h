/*
 * store.h - objects by id, out of packs with an index and out of loose files
 *
 * One thread at a time.
 */
#ifndef GITPROXY_GATE_STORE_H
#define GITPROXY_GATE_STORE_H

#include "gitproxy/gate/index.h"

struct store;
/*
 * Those of a repository, given its git directory; NULL: none yet. `beyond`, borrowed, is asked for what
 * an entry here leans on that is not here; NULL: nobody. 0 or -errno.
 */
int store_new(const char *git_dir, enum object_format format, struct store *beyond, struct store **ret);
void store_free(struct store *s);
DEFINE_AUTO(store, struct store *, store_free)
/* One more pack, with the index of its bytes; both borrowed. 0 or -errno. */
int store_add(struct store *s, struct rd pack, const struct index *index);

int store_has(struct store *s, const struct oid *oid);	/* 1, 0 or -errno */
int store_type(struct store *s, const struct oid *oid, enum object_type *ret);	/* 0, -ENOENT or -errno */
/*
 * The bytes are good until the next read from this store, or from one beyond which it is. -ENOENT, -EFBIG: more
 * than max bytes; -EBADMSG: it is damaged; -errno.
 */
int store_read(struct store *s, const struct oid *oid, uint64_t max, enum object_type *ret_type, struct rd *ret_bytes);

/* loose.c: an object that is a file, whole; heap. */
int loose_read(const char *git_dir, const struct oid *oid, enum object_format format, uint64_t max,
	       enum object_type *ret_type, uint8_t **ret, size_t *ret_n);
bool loose_has(const char *git_dir, const struct oid *oid, enum object_format format);

#endif
