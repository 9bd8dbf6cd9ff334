/*
 * lfs_store.h - objects of Git LFS that were brought, until a push takes them upstream
 *
 * An object belongs to who brought it: one sandbox, for one security domain. Files, so that many take no more
 * than disk. Nothing outlives the process.
 */
#ifndef GITPROXY_MIRROR_LFS_STORE_H
#define GITPROXY_MIRROR_LFS_STORE_H

#include <stdbool.h>

#include "gitproxy/lfs.h"
#include "gitproxy/mirror_ipc.h"

enum {
	LFS_HOLD_MS = 3600 * 1000,	/* from when it was brought, or last brought again */
	LFS_HELD_MAX = 65536, LFS_HELD_EACH = 16384
};

struct lfs_owner { uint16_t sandbox; const struct mirror_domain *domain; };

struct lfs_store;
/* Files go into this folder, which is swept of what an earlier process left. 0 or -errno. */
int lfs_store_new(const char *mirrors, uint64_t max_bytes, struct lfs_store **ret);
/* With all that is held; nothing may be on its way. NULL is fine. */
void lfs_store_free(struct lfs_store *s);

/* One that is on its way: room for it is taken. Nobody finds it. */
struct lfs_coming;
/* 0; -ENOSPC: no room, for this sandbox or at all; -errno. *ret_fd is borrowed, for reading and writing. */
int lfs_store_begin(struct lfs_store *s, const struct lfs_owner *o, const struct lfs_object *x,
		    struct lfs_coming **ret, int *ret_fd);
/* It is whole and clean: it is held from now on. */
void lfs_store_keep(struct lfs_store *s, struct lfs_coming *c /* takes */);
/* It is not. */
void lfs_store_drop(struct lfs_store *s, struct lfs_coming *c /* takes; NULL is fine */);

/* The file of one that this owner has, to be closed; -ENOENT: it has none. */
int lfs_store_open(struct lfs_store *s, const struct lfs_owner *o, const struct lfs_object *x);
uint64_t lfs_store_bytes(struct lfs_store *s);	/* held and on their way */
/* Upstream has it: it is not held any more. */
void lfs_store_done(struct lfs_store *s, const struct lfs_owner *o, const struct lfs_object *x);

#endif
