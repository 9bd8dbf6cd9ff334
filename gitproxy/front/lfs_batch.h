/*
 * lfs_batch.h - a client's batch request, and our answer to it
 *
 * Spec: git-lfs docs/api/batch.md. The transfer is "basic", the hash SHA-256; there is no other here.
 */
#ifndef GITPROXY_FRONT_LFS_BATCH_H
#define GITPROXY_FRONT_LFS_BATCH_H

#include "gitproxy/lfs_json.h"

#define LFS_TYPE "application/vnd.git-lfs+json"
enum {
	LFS_BODY_MAX = 1 << 20,		/* of a request: a thousand objects take a tenth of it */
	LFS_BASE_MAX = 1024,
	LFS_ENTRY_MAX = LFS_BASE_MAX * 2 + 1024	/* of one object in our answer */
};

struct lfs_batch {
	bool upload;
	size_t n;
	struct lfs_object *object;	/* owned: n of them, in the client's order */
};
/* PARSE_OK, or PARSE_BAD with nothing in *ret (also when there is no memory). */
enum parse lfs_batch_read(struct rd body, struct lfs_batch *ret);
void lfs_batch_done(struct lfs_batch *b);

/*
 * What the client is told. `base`: the repository's URL as the client knows it, ours, in front of
 * "/info/lfs": at most LFS_BASE_MAX bytes, none of which JSON would escape.
 */
void lfs_batch_write(struct wr *w, const char *base, bool upload, const struct lfs_offer *o, size_t n);

#endif
