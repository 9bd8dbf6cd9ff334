/*
 * lfs_pointer.h - files that stand for an object of Git LFS
 *
 * Spec: github.com/git-lfs/git-lfs docs/spec.md.
 */
#ifndef GITPROXY_GATE_LFS_POINTER_H
#define GITPROXY_GATE_LFS_POINTER_H

#include "base/bytes.h"

/* bytes; of a longer file clients read so many, and take it for one all the same */
enum { LFS_POINTER_MAX = 1024 };

bool lfs_pointer(struct rd blob, uint8_t ret_sha256[32], uint64_t *ret_size);

#endif
