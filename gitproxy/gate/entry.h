/*
 * entry.h - one entry of a pack: its head, its bytes, its delta
 */
#ifndef GITPROXY_GATE_ENTRY_H
#define GITPROXY_GATE_ENTRY_H

#include "gitproxy/gate/objects.h"

/* What stands in a pack: enum object_type, or one of these. */
enum { ENTRY_OFS_DELTA = 6, ENTRY_REF_DELTA = 7 };

struct entry_head {
	uint8_t type;
	uint64_t size;			/* inflated */
	uint64_t back;			/* OFS_DELTA: bytes from here to the base's entry */
	struct oid base;		/* REF_DELTA */
};

static inline bool entry_is_delta(uint8_t type) { return type >= ENTRY_OFS_DELTA; }

/* Moves the reader to the compressed bytes. PARSE_BAD: no type of today's, or it is cut. */
enum parse entry_head(struct rd *in, enum object_format format, struct entry_head *ret);
/* The longest there is: to write one. */
enum { ENTRY_HEAD_MAX = 16 };
bool entry_head_write(struct wr *w, enum object_type type, uint64_t size);

struct entry_delta { uint64_t base, result; };	/* bytes */
/* Moves the reader to the instructions. */
enum parse entry_delta(struct rd *in, struct entry_delta *ret);
/* Exactly to.cap bytes come out, and nothing is left. */
enum parse entry_patch(struct rd instructions, struct rd base, struct wr *to);

struct inflater;
int inflater_new(struct inflater **ret);
void inflater_free(struct inflater *z);
DEFINE_AUTO(inflater, struct inflater *, inflater_free)
/* A zlib stream of exactly n bytes at the beginning of `in`: ret_used are its own. Needs no room for n = 0. */
enum parse inflater_whole(struct inflater *z, struct rd in, uint8_t *to, size_t n, size_t *ret_used);

/* The same in pieces, however large. */
struct inflater_sink { bool (*piece)(struct inflater_sink *s, struct rd bytes); };
/* PARSE_MORE: the sink wanted no more. */
enum parse inflater_stream(struct inflater *z, struct rd in, uint64_t n, struct inflater_sink *sink, size_t *ret_used);

#endif
