/*
 * ids.h - a table of object ids, numbered as they came
 */
#ifndef GITPROXY_GATE_IDS_H
#define GITPROXY_GATE_IDS_H

#include "gitproxy/oid.h"

enum { IDS_NONE = UINT32_MAX, IDS_MAX = 1 << 30 };

struct ids {
	uint8_t *bytes;			/* of all, one behind the other */
	uint32_t *slots;		/* number + 1; 0: free */
	uint32_t n, cap;
	unsigned bits;			/* of a slot's number */
	size_t size;			/* bytes of one */
	uint64_t seed[OID_MAX / sizeof(uint64_t)];
};

int ids_init(struct ids *t, enum object_format format, size_t room);	/* 0 or -errno */
void ids_done(struct ids *t);
/* Its number, or IDS_NONE. Any thread, while nobody adds. */
uint32_t ids_find(const struct ids *t, const uint8_t *id);
/* Its number, new or not. 0 or -errno. */
int ids_add(struct ids *t, const uint8_t *id, uint32_t *ret);
struct oid ids_at(const struct ids *t, uint32_t i);

#endif
