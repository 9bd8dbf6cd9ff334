/*
 * http_body.c - the body of a request: its framing taken off, then its gzip
 *
 * Theory of operation: two incremental decoders that the request loop chains. The framing decoder
 * hands out slices of the input and stops exactly at the end of the body, so that a pipelined
 * request behind it is parsed as what it is. Chunk sizes are 1 to 8 hexadecimal digits and CR LF;
 * extensions and bare line feeds are refused: peers are known to disagree about both. Trailers must
 * be field lines, at most HTTP_TRAILER_MAX bytes in all, and are dropped here (RFC 9110 s6.5.1
 * allows it): what comes behind a body that was judged by its head must not add to that head, and
 * nobody behind us can merge what is not there. The gzip decoder takes one member and refuses bytes
 * behind it; its output goes into the caller's bounded writer, which is what stops a bomb.
 * Fuzzed by tests/fuzz/fuzz_http_body.c.
 */
#include "gitproxy/front/http_body.h"

#include <errno.h>

void http_body_init(struct http_body *b, const struct http_head *h)
{
	*b = (struct http_body){ .framing = h->framing, .state = CHUNK_SIZE };
	b->left = h->framing == HTTP_LENGTH ? h->length : 0;
	b->done = h->framing == HTTP_NO_BODY || (h->framing == HTTP_LENGTH && !h->length);
}

static bool size_byte(struct http_body *b, uint8_t c)
{
	int d = hex_digit(c);

	if (d >= 0) {
		b->left = b->left << 4 | (unsigned)d;
		return ++b->digits <= HTTP_CHUNK_DIGITS_MAX;
	}
	if (c != '\r' || !b->digits)
		return false;
	b->state = CHUNK_SIZE_LF;
	return true;
}

static bool expect_byte(struct http_body *b, uint8_t c, uint8_t want, enum http_chunk_state next)
{
	b->state = next;
	return c == want;
}

/* Lines "Name: value" (RFC 9112 s7.1.2), or the CR of the empty one that ends the body. */
static bool trailer_byte(struct http_body *b, uint8_t c)
{
	bool begins = b->state == CHUNK_LAST;

	if (++b->trailer > HTTP_TRAILER_MAX)
		return false;
	if (begins && c == '\r')
		return expect_byte(b, c, '\r', CHUNK_LAST_LF);
	if (b->state == TRAILER_LF)
		return expect_byte(b, c, '\n', CHUNK_LAST);
	if (b->state == TRAILER_VALUE) {
		b->state = c == '\r' ? TRAILER_LF : TRAILER_VALUE;
		return c == '\r' || http_line_byte(c);
	}
	b->state = !begins && c == ':' ? TRAILER_VALUE : TRAILER_NAME;
	return b->state == TRAILER_VALUE || http_token_byte(c);
}

/* One byte of what is not data. */
static bool chunk_byte(struct http_body *b, uint8_t c)
{
	switch (b->state) {
	case CHUNK_SIZE:
		return size_byte(b, c);
	case CHUNK_SIZE_LF:
		return expect_byte(b, c, '\n', b->left ? CHUNK_DATA : CHUNK_LAST);
	case CHUNK_CR:
		return expect_byte(b, c, '\r', CHUNK_LF);
	case CHUNK_LF:
		b->digits = 0;
		return expect_byte(b, c, '\n', CHUNK_SIZE);
	case CHUNK_LAST:
	case TRAILER_NAME:
	case TRAILER_VALUE:
	case TRAILER_LF:
		return trailer_byte(b, c);
	case CHUNK_LAST_LF:
		b->done = c == '\n';
		return b->done;
	case CHUNK_DATA:
		break;
	}
	return false;
}

/* As much of the data as is there. */
static enum parse data_slice(struct http_body *b, struct rd *io, struct rd *ret_data)
{
	size_t n = b->left < io->n ? (size_t)b->left : io->n;

	if (!n)
		return PARSE_MORE;
	if (!rd_take(io, n, ret_data))
		return PARSE_BAD;
	b->left -= n;
	if (b->left)
		return PARSE_OK;
	if (b->framing == HTTP_CHUNKED)
		b->state = CHUNK_CR;
	else
		b->done = true;
	return PARSE_OK;
}

static enum parse chunked_next(struct http_body *b, struct rd *io, struct rd *ret_data)
{
	uint8_t c;

	while (!b->done && b->state != CHUNK_DATA) {
		if (!rd_left(io))
			return PARSE_MORE;
		if (!rd_u8(io, &c) || !chunk_byte(b, c))
			return PARSE_BAD;
	}
	return b->done ? PARSE_OK : data_slice(b, io, ret_data);
}

enum parse http_body_next(struct http_body *b, struct rd *io, struct rd *ret_data)
{
	enum parse r = PARSE_BAD;

	*ret_data = (struct rd){ 0 };
	if (b->failed)
		return PARSE_BAD;
	if (b->done)
		return PARSE_OK;
	if (b->framing == HTTP_CHUNKED)
		r = chunked_next(b, io, ret_data);
	else if (b->framing == HTTP_LENGTH)
		r = data_slice(b, io, ret_data);
	b->failed = r == PARSE_BAD;
	return r;
}

int http_gzip_init(struct http_gzip *g)
{
	*g = (struct http_gzip){ 0 };
	if (inflateInit2(&g->z, 16 + MAX_WBITS) != Z_OK) /* 16: a gzip header and nothing else */
		return -ENOMEM;
	g->open = true;
	return 0;
}

void http_gzip_done(struct http_gzip *g)
{
	if (g->open)
		inflateEnd(&g->z);
	g->open = false;
}

/* One call of inflate(); false when the stream is damaged. */
static bool inflate_step(struct http_gzip *g, struct rd *io, struct wr *w)
{
	size_t in = io->n < (1u << 20) ? io->n : 1u << 20, room = w->cap - w->n;
	int r;

	if (room > 1u << 20)
		room = 1u << 20;
	g->z.next_in = (Bytef *)(uintptr_t)io->p;		/* zlib lacks the const */
	g->z.avail_in = (uInt)in;
	g->z.next_out = w->p + w->n;
	g->z.avail_out = (uInt)room;
	r = inflate(&g->z, Z_NO_FLUSH);
	w->n += room - g->z.avail_out;
	if (!rd_skip(io, in - g->z.avail_in))
		return false;
	g->done = r == Z_STREAM_END;
	return r == Z_OK || r == Z_STREAM_END || r == Z_BUF_ERROR;
}

enum parse http_gzip_next(struct http_gzip *g, struct rd *io, struct wr *w)
{
	while (!g->failed && !g->done) {
		size_t had_in = io->n, had_out = w->n;

		if (w->n == w->cap)
			return PARSE_OK;
		g->failed = !g->open || !inflate_step(g, io, w);
		if (!g->failed && had_in == io->n && had_out == w->n)
			return PARSE_MORE;		/* it needs input, and there is none */
	}
	g->failed |= rd_left(io) > 0;
	return g->failed ? PARSE_BAD : PARSE_MORE;
}

bool http_gzip_complete(const struct http_gzip *g)
{
	return g->open && g->done && !g->failed;
}
