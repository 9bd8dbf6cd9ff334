/*
 * lfs.h - an object of Git LFS as the parts speak of it
 *
 * Spec: git-lfs docs/spec.md (pointers: oid is SHA-256 of the object's bytes, size their number).
 */
#ifndef GITPROXY_LFS_H
#define GITPROXY_LFS_H

#include <stdint.h>

enum { LFS_OID = 32 };

struct lfs_object {
	uint8_t oid[LFS_OID];
	uint64_t size;
};

#endif
