/*
 * http_body.h - the body of a request: its framing taken off, then its gzip
 *
 * Spec: RFC 9112 s6-s7 (chunk extensions refused, trailers checked and dropped), RFC 1952 (one
 * member).
 */
#ifndef GITPROXY_FRONT_HTTP_BODY_H
#define GITPROXY_FRONT_HTTP_BODY_H

#include <zlib.h>

#include "base/bytes.h"
#include "gitproxy/http_head.h"

enum { HTTP_CHUNK_DIGITS_MAX = 8, HTTP_TRAILER_MAX = 4096 /* bytes of all of them */ };

enum http_chunk_state { CHUNK_SIZE, CHUNK_SIZE_LF, CHUNK_DATA, CHUNK_CR, CHUNK_LF, CHUNK_LAST,
			CHUNK_LAST_LF, TRAILER_NAME, TRAILER_VALUE, TRAILER_LF };

struct http_body {			/* embedded; no release needed */
	enum http_framing framing;
	enum http_chunk_state state;
	uint64_t left;			/* of the body (HTTP_LENGTH) or of the chunk */
	unsigned digits;
	size_t trailer;			/* bytes seen of it */
	bool done, failed;
};

void http_body_init(struct http_body *b, const struct http_head *h);
/*
 * Move *io forward. PARSE_OK with data (a slice of *io), or with an empty slice and b->done: the
 * body is complete and *io begins with the next request. PARSE_MORE: *io is used up. PARSE_BAD:
 * sticky.
 */
enum parse http_body_next(struct http_body *b, struct rd *io, struct rd *ret_data);

/* gzip of exactly one member; the caller bounds what comes out. */
struct http_gzip {
	z_stream z;
	bool open, done, failed;
};
int http_gzip_init(struct http_gzip *g);	/* 0 or -ENOMEM */
void http_gzip_done(struct http_gzip *g);
/*
 * Inflate into w until it is full or *io is used up. PARSE_OK: w is full, empty it and call again.
 * PARSE_MORE: *io is used up. PARSE_BAD: not gzip, damaged, or bytes behind the end.
 */
enum parse http_gzip_next(struct http_gzip *g, struct rd *io, struct wr *w);
bool http_gzip_complete(const struct http_gzip *g);	/* its trailer was seen and was right */

#endif
