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

static bool digit(struct rd *text, unsigned *ret)
{
	uint8_t c;

	if (!rd_u8(text, &c))
		return false;
	if (c >= '0' && c <= '9')
		*ret = c - '0';
	else if (c >= 'a' && c <= 'f')
		*ret = c - 'a' + 10;
	else if (c >= 'A' && c <= 'F')
		*ret = c - 'A' + 10;
	else
		return false;
	return true;
}

bool oid_parse(struct rd text, enum object_format format, struct oid *ret)
{
	struct oid oid = { 0 };
	unsigned high, low;

	if (rd_left(&text) != 2 * oid_size(format))
		return false;
	for (size_t i = 0; i < oid_size(format); i++) {
		if (!digit(&text, &high) || !digit(&text, &low))
			return false;
		oid.byte[i] = (uint8_t)(high << 4 | low);
	}
	*ret = oid;
	return true;
}

bool oid_write(struct wr *w, const struct oid *oid, enum object_format format)
{
	static const char hex[] = "0123456789abcdef";
	uint8_t *to = wr_room(w, 2 * oid_size(format));

	for (size_t i = 0; to && i < oid_size(format); i++) {
		to[2 * i] = (uint8_t)hex[oid->byte[i] >> 4];
		to[2 * i + 1] = (uint8_t)hex[oid->byte[i] & 15];
	}
	return to != NULL;
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
