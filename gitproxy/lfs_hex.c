/*
 * lfs_hex.c - ids as text
 */
#include "gitproxy/lfs_hex.h"

void lfs_hex(struct wr *w, const uint8_t *p, size_t n)
{
	static const char digits[] = "0123456789abcdef";

	for (size_t i = 0; i < n; i++) {
		wr_u8(w, (uint8_t)digits[p[i] >> 4]);
		wr_u8(w, (uint8_t)digits[p[i] & 15]);
	}
}
