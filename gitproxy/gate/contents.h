/*
 * contents.h - the secrets in what a push brings
 */
#ifndef GITPROXY_GATE_CONTENTS_H
#define GITPROXY_GATE_CONTENTS_H

#include "gitproxy/gate/gate_ipc.h"
#include "gitproxy/gate/objects.h"
#include "gitproxy/gate/pack.h"
#include "gitproxy/scan/exceptions.h"
#include "gitproxy/scan/scan.h"

enum { CONTENTS_HITS_MAX = 4096 };	/* kept; what comes more is counted */

struct contents_hit {
	const struct scan_rule *rule;
	struct oid object;		/* zero: none */
	uint64_t line, column;		/* 0: none */
	uint32_t index;			/* of the command or option */
	uint8_t place, weight;		/* enum gate_place; enum gate_weight: HELD or ACCEPTED yet */
	char fingerprint[SCAN_FINGERPRINT_MAX];
};

struct contents;
/* All borrowed; exceptions NULL: none. 0 or -errno. */
int contents_new(const struct scan *engine, enum object_format format, const struct scan_exceptions *x,
		 struct contents **ret);
void contents_free(struct contents *c);
DEFINE_AUTO(contents, struct contents *, contents_free)

/* From the thread of this number (below PACK_THREADS). What fails is remembered. */
void contents_object(struct contents *c, unsigned thread, const struct oid *oid, enum object_type type,
		     struct rd bytes);
/* The same in pieces: a blob, or (oid NULL) an LFS object. */
void contents_begin(struct contents *c, unsigned thread, const struct oid *oid);
void contents_piece(struct contents *c, unsigned thread, struct rd bytes);
void contents_end(struct contents *c, unsigned thread);
/* A ref's name, a push option. */
void contents_text(struct contents *c, enum gate_place place, uint32_t index, struct rd text);

/* ---- then, from one thread ---- */

/* Not all was scanned to its end. */
bool contents_failed(const struct contents *c);
/* More was found than is kept. */
bool contents_cut(const struct contents *c);
/* Accepted ones are there once for each fingerprint; contents_accepted() is how many there were. */
struct contents_hit *contents_hits(struct contents *c, size_t *ret_n);
uint64_t contents_accepted(const struct contents *c);
/* Is the same secret under the same rule in these bytes? */
bool contents_has(struct contents *c, enum object_type type, struct rd bytes, const struct contents_hit *hit);
/* Is there any in it (or is that not known)? */
bool contents_any(struct contents *c, struct rd text);

#endif
