/*
 * lfs_hex.h - ids as text
 */
#ifndef GITPROXY_LFS_HEX_H
#define GITPROXY_LFS_HEX_H

#include "base/bytes.h"

/* Two digits for each byte, in lower case. */
void lfs_hex(struct wr *w, const uint8_t *p, size_t n);

#endif
