/*
 * index.h - a pack's index, version 2: to be read, and to be made
 */
#ifndef GITPROXY_GATE_INDEX_H
#define GITPROXY_GATE_INDEX_H

#include "gitproxy/gate/pack.h"

struct index {				/* of a file, or of bytes of ours; borrowed */
	struct rd oids, offsets, large;
	const uint8_t *fanout;
	uint32_t n;
	enum object_format format;
};

enum parse index_open(struct rd file, enum object_format format, struct index *ret);
/* Where its entry begins. False: it has none. */
bool index_find(const struct index *x, const struct oid *oid, uint64_t *ret_at);

/* An object as an index lists it. */
struct index_row { struct oid oid; uint64_t at; uint32_t crc; uint8_t type; };
/* The pack's, sorted; -EBADMSG when an id comes twice. Heap, with room for p->n_added more. */
int index_rows(struct pack *p, struct index_row **ret);
void index_sort(struct index_row *rows, size_t n);
/* As a file has it; heap. 0 or -ENOMEM. */
int index_make(const struct index_row *rows, uint32_t n, enum object_format format, const struct oid *trailer,
	       uint8_t **ret, size_t *ret_n);

#endif
