/*
 * oid.h - object ids
 */
#ifndef GITPROXY_OID_H
#define GITPROXY_OID_H

#include "base/bytes.h"

enum object_format { OBJECT_SHA1, OBJECT_SHA256 };

enum { OID_MAX = 32, OID_HEX_MAX = 2 * OID_MAX };

struct oid {
	uint8_t byte[OID_MAX];		/* an id of SHA-1 ends in zeros */
};

size_t oid_size(enum object_format format);	/* in bytes */
const char *object_format_name(enum object_format format);
/* Exactly one id in hexadecimal. */
bool oid_parse(struct rd text, enum object_format format, struct oid *ret);
/* Without a NUL. */
bool oid_write(struct wr *w, const struct oid *oid, enum object_format format);
/* For qsort(). */
int oid_compare(const void *a, const void *b);
/* Sort; of equal ones keep one. Returns how many are left. */
size_t oid_sort_unique(struct oid *oids, size_t n);

#endif
