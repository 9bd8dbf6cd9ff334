/*
 * fetch_request.h - a request of protocol v2 for a repository's objects or references
 *
 * Spec: gitprotocol-v2(5). Taken is what the mirror advertises: ls-refs with unborn, fetch with
 * shallow, wait-for-done and filter. All else is an error with a sentence.
 */
#ifndef GITPROXY_MIRROR_FETCH_REQUEST_H
#define GITPROXY_MIRROR_FETCH_REQUEST_H

#include "gitproxy/oid.h"

enum {
	FETCH_OIDS_MAX = 1 << 18,		/* wants, haves and shallows together */
	FETCH_PREFIXES_MAX = 1 << 12,
	FETCH_NOTS_MAX = 64,
	FETCH_TEXT_MAX = 1024,			/* a prefix, a filter, a name */
	FETCH_KEY = 32,				/* a domain, a generation, a key: SHA-256 */
};

enum fetch_command {
	FETCH_NOTHING,				/* a lone flush: the answer is empty */
	FETCH_LS_REFS,
	FETCH_OBJECTS,
};

enum fetch_flag {
	FETCH_DONE = 1 << 0,
	FETCH_THIN_PACK = 1 << 1,
	FETCH_NO_PROGRESS = 1 << 2,
	FETCH_INCLUDE_TAG = 1 << 3,
	FETCH_OFS_DELTA = 1 << 4,
	FETCH_WAIT_FOR_DONE = 1 << 5,
	FETCH_DEEPEN_RELATIVE = 1 << 6,
	FETCH_PEEL = 1 << 7,
	FETCH_SYMREFS = 1 << 8,
	FETCH_UNBORN = 1 << 9,
};

enum fetch_ids { FETCH_WANTS, FETCH_HAVES, FETCH_SHALLOWS, FETCH_IDS };
enum fetch_texts { FETCH_PREFIXES, FETCH_NOTS, FETCH_TEXTS };

struct fetch_ids_list { struct oid *oid; size_t n, cap; };	/* cap 0: borrowed */
struct fetch_text_list { struct rd *text; size_t n, cap; };	/* each borrowed from the body */

/* As parsed it is canonical: every list is sorted and has no equal entries. */
struct fetch_request {
	enum fetch_command command;
	enum object_format format;
	unsigned flags;
	struct fetch_ids_list ids[FETCH_IDS];
	struct fetch_text_list texts[FETCH_TEXTS];
	struct rd filter;		/* empty: none */
	uint32_t depth;			/* 0: none */
	uint64_t since;			/* 0: none */
};

struct fetch_error { char text[160]; };	/* a sentence without a full stop, fit for a terminal */

/*
 * The whole body, its gzip taken off; it must outlive *ret, which is for fetch_request_done() and
 * is empty when refused. ret_error is set only when refused. 0, -EBADMSG (refused), -ENOMEM.
 */
int fetch_request_parse(struct rd body, struct fetch_request *ret, struct fetch_error *ret_error);
void fetch_request_done(struct fetch_request *q);
/* Bring the lists of a request made by hand into their one order. */
void fetch_request_sort(struct fetch_request *q);

/* How many bytes fetch_request_write() needs at most. */
size_t fetch_request_bound(const struct fetch_request *q);
/* The request anew, in one way only: without agent and session-id. */
bool fetch_request_write(const struct fetch_request *q, struct wr *w);
/*
 * What equal answers have in common: the request, the security domain and, where it matters, the
 * generation of the references. 0, -ENOMEM, -EINVAL.
 */
int fetch_request_key(const struct fetch_request *q, const uint8_t domain[FETCH_KEY],
		      const uint8_t generation[FETCH_KEY], uint8_t ret_key[FETCH_KEY]);

/* ls-refs as the mirror asks it upstream. unborn: only where upstream advertised it. */
bool fetch_write_ls_refs(struct wr *w, enum object_format format, bool unborn);
/* A fetch that fills the mirror; the ids are borrowed, no fetch_request_done() is needed. */
struct fetch_request fetch_request_refresh(enum object_format format, struct oid *wants,
					   size_t n_wants, struct oid *haves, size_t n_haves);

#endif
