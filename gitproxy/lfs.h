/*
 * lfs.h - an object of Git LFS as the parts speak of it
 *
 * Spec: git-lfs docs/spec.md (pointers: oid is SHA-256 of the object's bytes, size their number).
 */
#ifndef GITPROXY_LFS_H
#define GITPROXY_LFS_H

#include <stdint.h>

enum {
	LFS_OID = 32,
	LFS_HEX = 2 * LFS_OID,
	LFS_LINK = 16,			/* bytes of what makes a link ours: random, and good for one sandbox */
	LFS_LINK_HEX = 2 * LFS_LINK,
	LFS_BATCH_MAX = 1000,		/* objects asked for at once; git-lfs asks for 100 */
	LFS_SIZE_BITS = 48		/* no object is larger than that */
};
#define LFS_SIZE_MAX (UINT64_C(1) << LFS_SIZE_BITS)

struct lfs_object {
	uint8_t oid[LFS_OID];
	uint64_t size;
};

/* What becomes of an object that a batch asked for. */
enum lfs_result {
	LFS_NONE = 0,
	LFS_LINKED,			/* it may be had, or brought, by the link */
	LFS_THERE,			/* upload: upstream has it */
	LFS_MISSING,			/* download: upstream does not have it */
	LFS_REFUSED,			/* upstream said another error */
	LFS_SIZE_DIFFERS,		/* upstream knows it by another size */
	LFS_TOO_LARGE,			/* for the policy, or for what is held back of this sandbox */
	LFS_RESULTS
};
struct lfs_offer {
	struct lfs_object object;
	uint32_t result;		/* enum lfs_result */
	uint32_t life_s;		/* of the link */
	uint8_t link[LFS_LINK];
};

#endif
