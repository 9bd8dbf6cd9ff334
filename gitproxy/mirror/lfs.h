/*
 * lfs.h - objects of Git LFS: held back when they are uploaded, sent upstream with the push that needs them
 */
#ifndef GITPROXY_MIRROR_LFS_H
#define GITPROXY_MIRROR_LFS_H

#include "gitproxy/lfs.h"
#include "gitproxy/mirror_ipc.h"
#include "policy/reason.h"

struct lfs_store;

/* A push that was judged clean. All borrowed. */
struct lfs_push {
	struct lfs_store *store;
	const struct mirror_serve *serve;	/* whose it is: sandbox and domain */
	int keeper;				/* the verdict's socket, which permits the push */
	uint64_t total_ms;			/* for each object */
	const struct lfs_object *objects;	/* that pointers of its new blobs name; may repeat */
	size_t n;
	/* Called before each object that is sent; false: nobody waits any more. NULL: nobody is told. */
	bool (*tick)(void *owner, size_t done, size_t all);
	void *owner;
};
/*
 * See that upstream has each of them before a reference needs it: what it lacks is uploaded from what this
 * sandbox had brought for this repository, and only when all of that is there. REASON_NONE: it has them all.
 * Otherwise the push is refused for the reason, and ret_text (never empty then) tells people which object and
 * what to do. Without objects nothing is asked of anybody. Blocks; thread-safe.
 */
enum reason lfs_push(const struct lfs_push *p, char ret_text[MIRROR_DETAIL]);

#endif
