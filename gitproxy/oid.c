/*
 * oid.c - object ids
 *
 * Theory of operation: 40 or 64 hexadecimal digits, by the repository's object format, never one
 * where the other belongs. Kept as bytes, so that what is compared and hashed does not depend on
 * how a client spelled it.
 */
#include "gitproxy/oid.h"

#include <stdlib.h>

size_t oid_size(enum object_format format)
{
	return format == OBJECT_SHA256 ? 32 : 20;
}

const char *object_format_name(enum object_format format)
{
	return format == OBJECT_SHA256 ? "sha256" : "sha1";
}

bool oid_parse(struct rd text, enum object_format format, struct oid *ret)
{
	struct oid oid = { 0 };
	uint8_t high, low;

	if (rd_left(&text) != 2 * oid_size(format))
		return false;
	for (size_t i = 0; i < oid_size(format); i++) {
		if (!rd_u8(&text, &high) || !rd_u8(&text, &low) || hex_digit(high) < 0 || hex_digit(low) < 0)
			return false;
		oid.byte[i] = (uint8_t)(hex_digit(high) << 4 | hex_digit(low));
	}
	*ret = oid;
	return true;
}

bool oid_write(struct wr *w, const struct oid *oid, enum object_format format)
{
	return wr_hex(w, oid->byte, oid_size(format));
}

int oid_compare(const void *a, const void *b)
{
	return memcmp(a, b, sizeof(struct oid));
}

size_t oid_sort_unique(struct oid *oids, size_t n)
{
	size_t kept = 0;

	if (n)
		qsort(oids, n, sizeof(*oids), oid_compare);
	for (size_t i = 0; i < n; i++)
		if (!kept || oid_compare(&oids[kept - 1], &oids[i]))
			oids[kept++] = oids[i];
	return kept;
}
