/*
 * lfs.h - objects of Git LFS: held back when they are uploaded, sent upstream with the push that needs them
 */
#ifndef GITPROXY_MIRROR_LFS_H
#define GITPROXY_MIRROR_LFS_H

#include "gitproxy/lfs.h"
#include "gitproxy/mirror_ipc.h"
#include "policy/reason.h"

struct depot;

/* A push that was judged clean. All borrowed. */
struct lfs_push {
	struct depot *depot;
	const struct mirror_serve *serve;	/* whose it is: sandbox, domain, ticket, host and repository */
	const struct lfs_object *objects;	/* that pointers of its new blobs name; may repeat */
	size_t n;
	/* Called at least every five seconds while upstream is waited for. NULL: nobody is to be kept awake. */
	void (*tick)(void *owner);
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
