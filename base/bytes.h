/*
 * bytes.h - the bounded cursor and writer: the only way hostile bytes are read
 *
 * Theory of operation: a reader (struct rd) is a window on somebody else's bytes. Every getter
 * checks the bound, and a getter that fails empties the reader and marks it failed (sticky), zeroes
 * its output and returns false; so a parser may check once at the end or at every step, with the
 * same result. A nested length gives a child reader which cannot see past it. Passed by value, a
 * failed parse never moves the caller's reader. A writer (struct wr) fills a fixed buffer; overflow
 * is sticky and nothing is written past the end. Integers are network order unless the name says
 * le.
 *
 * Parsers return enum parse. Its zero is PARSE_BAD, so a forgotten assignment refuses.
 */
#ifndef BASE_BYTES_H
#define BASE_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/types.h>

#include "base/mem.h"

enum parse { PARSE_BAD = 0, PARSE_MORE, PARSE_OK };

struct rd {
	const uint8_t *p;	/* borrowed */
	size_t n;		/* bytes left */
	bool failed;		/* sticky */
};

struct wr {
	uint8_t *p;		/* borrowed: start of the buffer */
	size_t n;		/* bytes written */
	size_t cap;
	bool failed;		/* sticky: something did not fit */
};

static inline struct rd rd_of(const void *p, size_t n) { return (struct rd){ p, n, false }; }
/* Our own strings only. */
static inline struct rd rd_str(const char *s) { return rd_of(s, strlen(s)); }
static inline size_t rd_left(const struct rd *r) { return r->n; }
/* True when everything was read and nothing failed. */
static inline bool rd_done(const struct rd *r) { return !r->failed && r->n == 0; }
static inline bool rd_ok(const struct rd *r) { return !r->failed; }

static inline bool rd_fail(struct rd *r)
{
	*r = (struct rd){ NULL, 0, true };
	return false;
}

/* The next n bytes as a child reader; the parent moves past them. */
MUST_CHECK static inline bool rd_take(struct rd *r, size_t n, struct rd *ret_child)
{
	*ret_child = (struct rd){ 0 };
	if (r->failed || n > r->n)
		return rd_fail(r);
	*ret_child = rd_of(r->p, n);
	if (n) {
		r->p += n;
		r->n -= n;
	}
	return true;
}

MUST_CHECK static inline bool rd_skip(struct rd *r, size_t n)
{
	struct rd gone;

	return rd_take(r, n, &gone);
}

/* Copy exactly n bytes out. */
MUST_CHECK static inline bool rd_copy(struct rd *r, void *ret_to, size_t n)
{
	struct rd c;

	if (n)
		memset(ret_to, 0, n);
	if (!rd_take(r, n, &c))
		return false;
	if (n)
		memcpy(ret_to, c.p, n);
	return true;
}

/* Big-endian unsigned of 1 to 8 bytes. */
MUST_CHECK static inline bool rd_uint(struct rd *r, size_t width, uint64_t *ret_v)
{
	struct rd c;

	*ret_v = 0;
	if (width > 8)
		return rd_fail(r);
	if (!rd_take(r, width, &c))
		return false;
	for (size_t i = 0; i < width; i++)
		*ret_v = *ret_v << 8 | c.p[i];
	return true;
}

#define RD_GETTER(name, type, width) \
	MUST_CHECK static inline bool name(struct rd *r, type *ret_v) \
	{ uint64_t v; bool ok = rd_uint(r, width, &v); *ret_v = (type)v; return ok; }
RD_GETTER(rd_u8, uint8_t, 1)
RD_GETTER(rd_u16, uint16_t, 2)
RD_GETTER(rd_u24, uint32_t, 3)
RD_GETTER(rd_u32, uint32_t, 4)
RD_GETTER(rd_u64, uint64_t, 8)
#undef RD_GETTER

/* A vector: a length of `width` bytes, then that many bytes as a child (TLS, DNS style). */
MUST_CHECK static inline bool rd_vec(struct rd *r, size_t width, struct rd *ret_child)
{
	uint64_t n;

	*ret_child = (struct rd){ 0 };
	if (!rd_uint(r, width, &n))
		return false;
	if (n > r->n)
		return rd_fail(r);
	return rd_take(r, (size_t)n, ret_child);
}

/* Bytes up to, without, the first `stop`; the stop itself is consumed. False if there is none. */
MUST_CHECK static inline bool rd_until(struct rd *r, uint8_t stop, struct rd *ret_child)
{
	const uint8_t *at = r->n ? memchr(r->p, stop, r->n) : NULL;

	*ret_child = (struct rd){ 0 };
	if (r->failed || !at)
		return rd_fail(r);
	return rd_take(r, (size_t)(at - r->p), ret_child) && rd_skip(r, 1);
}

static inline bool rd_has(struct rd r, uint8_t c) { return r.n && memchr(r.p, c, r.n); }

/* Bytes up to the first `stop`, which is consumed; where there is none, all that is left. */
static inline struct rd rd_piece(struct rd *r, uint8_t stop)
{
	struct rd piece;
	bool ok = rd_has(*r, stop) ? rd_until(r, stop, &piece) : rd_take(r, r->n, &piece);

	return ok ? piece : *r;
}

static inline bool byte_is_blank(uint8_t c) { return c == ' ' || c == '\t' || c == '\r'; }

/* Without blanks at both ends, and without the CR of a line's end. */
static inline struct rd rd_trim(struct rd r)
{
	while (r.n && byte_is_blank(r.p[0]) && rd_skip(&r, 1))
		;
	while (r.n && byte_is_blank(r.p[r.n - 1]))
		r.n--;
	return r;
}

static inline bool rd_eq(struct rd r, const void *p, size_t n)
{
	return !r.failed && r.n == n && (!n || !memcmp(r.p, p, n));
}
static inline bool rd_eq_str(struct rd r, const char *s) { return rd_eq(r, s, strlen(s)); }
/* Case folded for ASCII only. */
bool rd_eq_nocase(struct rd r, const char *s);
/* If r starts with s, consume it. Otherwise r is left as it was (no failure). */
static inline bool rd_prefix(struct rd *r, const char *s)
{
	size_t n = strlen(s);

	return !r->failed && r->n >= n && !memcmp(r->p, s, n) && rd_skip(r, n);
}
/* The value of a hexadecimal digit of either case; -1: it is none. */
static inline int hex_digit(uint8_t c)
{
	return c >= '0' && c <= '9' ? c - '0' :
	       c >= 'a' && c <= 'f' ? c - 'a' + 10 :
	       c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}
/* 2 * n digits as n bytes; in lower case, so that what is compared as text has one spelling. */
MUST_CHECK bool rd_hex(struct rd *r, void *ret_to, size_t n);

static inline struct wr wr_of(void *p, size_t cap) { return (struct wr){ p, 0, cap, false }; }
static inline bool wr_ok(const struct wr *w) { return !w->failed; }
static inline struct rd wr_rd(const struct wr *w) { return rd_of(w->p, w->failed ? 0 : w->n); }

/* Room for n bytes, or NULL (sticky). */
static inline uint8_t *wr_room(struct wr *w, size_t n)
{
	if (w->failed || n > w->cap - w->n) {
		w->failed = true;
		return NULL;
	}
	w->n += n;
	return w->p + (w->n - n);
}

static inline bool wr_put(struct wr *w, const void *p, size_t n)
{
	uint8_t *to = wr_room(w, n);

	if (to && n)
		memcpy(to, p, n);
	return to != NULL;
}
static inline bool wr_rd_all(struct wr *w, struct rd r) { return wr_put(w, r.p, r.n); }
static inline bool wr_str(struct wr *w, const char *s) { return wr_put(w, s, strlen(s)); }

static inline bool wr_uint(struct wr *w, size_t width, uint64_t v)
{
	uint8_t *to = width <= 8 ? wr_room(w, width) : NULL;

	if (!to)
		return !(w->failed = true);
	for (size_t i = 0; i < width; i++)
		to[i] = (uint8_t)(v >> 8 * (width - 1 - i));
	return true;
}
static inline bool wr_u8(struct wr *w, uint8_t v) { return wr_uint(w, 1, v); }
static inline bool wr_u16(struct wr *w, uint16_t v) { return wr_uint(w, 2, v); }
static inline bool wr_u32(struct wr *w, uint32_t v) { return wr_uint(w, 4, v); }
/* 2 * n digits, in lower case. */
bool wr_hex(struct wr *w, const void *p, size_t n);
/* The same as a string of ours: `to` has room for 2 * n + 1. */
void bytes_hex(const void *p, size_t n, char *to);
bool wr_fmt(struct wr *w, const char *fmt, ...) PRINTF_LIKE(2, 3);
bool wr_decimal(struct wr *w, uint64_t v);

/*
 * Peer bytes made fit for a log or a terminal: C0, C1, DEL and bytes that are not UTF-8 become
 * \xNN, backslash and quote are escaped as in JSON, cut at `max` input bytes with "..." appended.
 * Always NUL-terminated; returns the length written. `out` of 4 * max + 4 bytes always suffices.
 */
size_t bytes_escape(struct rd in, size_t max, char *out, size_t cap);

#endif
