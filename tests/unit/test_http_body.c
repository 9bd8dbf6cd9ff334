/*
 * test_http_body.c - framing and gzip of request bodies (threats C4, C5)
 */
#include "gitproxy/front/http_body.h"

#include "tests/unit/check.h"

#define GZIP_HELLO                                                                                 \
	"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03\xcb\x48\xcd\xc9\xc9\x07\x00\x86\xa6\x10\x36\x05" \
	"\x00\x00\x00"

static const struct {
	const char *what, *wire;
	size_t n;
	const char *body, *rest;	/* body NULL: refused; rest NULL: incomplete */
} chunked[] = {
	{ "nothing in it", W("0\r\n\r\n"), "", "" },
	{ "one chunk", W("5\r\nhello\r\n0\r\n\r\n"), "hello", "" },
	{ "two chunks", W("2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n"), "hello", "" },
	{ "hex and leading zeros", W("0000000A\r\n0123456789\r\n000\r\n\r\n"), "0123456789", "" },
	{ "next request", W("0\r\n\r\nGET"), "", "GET" },
	{ "cut in the size", W("5"), "", NULL },
	{ "cut in the data", W("5\r\nhel"), "hel", NULL },
	{ "cut before the end", W("5\r\nhello\r\n0\r\n"), "hello", NULL },
	{ "extension", W("5;a=b\r\nhello\r\n0\r\n\r\n"), NULL, NULL },
	{ "extension of the last", W("0;a\r\n\r\n"), NULL, NULL },
	{ "space behind the size", W("5 \r\nhello\r\n0\r\n\r\n"), NULL, NULL },
	{ "space before the size", W(" 5\r\nhello\r\n0\r\n\r\n"), NULL, NULL },
	{ "plus", W("+5\r\nhello\r\n0\r\n\r\n"), NULL, NULL },
	{ "0x", W("0x5\r\nhello\r\n0\r\n\r\n"), NULL, NULL },
	{ "no size", W("\r\nhello\r\n0\r\n\r\n"), NULL, NULL },
	{ "nine digits", W("000000005\r\nhello\r\n0\r\n\r\n"), NULL, NULL },
	{ "bare line feed", W("5\nhello\n0\n\n"), NULL, NULL },
	{ "data too long", W("5\r\nhelloo\r\n0\r\n\r\n"), NULL, NULL },
	{ "data too short", W("5\r\nhell\r\n0\r\n\r\n"), NULL, NULL },
	{ "trailers are dropped", W("1\r\na\r\n0\r\nX: y\r\nHost: evil\r\nZ:\r\n\r\nGET"), "a", "GET" },
	{ "a request for a trailer", W("0\r\nGET / HTTP/1.1\r\n\r\n"), NULL, NULL },
	{ "trailer without an end", W("0\r\nX: y\r\n"), "", NULL },
	{ "trailer without a name", W("0\r\n: y\r\n\r\n"), NULL, NULL },
	{ "trailer without a colon", W("0\r\nX\r\n\r\n"), NULL, NULL },
	{ "space before its colon", W("0\r\nX : y\r\n\r\n"), NULL, NULL },
	{ "folded trailer", W("0\r\nX: y\r\n z\r\n\r\n"), NULL, NULL },
	{ "trailer with a bare line feed", W("0\r\nX: y\n\r\n"), NULL, NULL },
	{ "trailer with a bare carriage return", W("0\r\nX: y\rz\r\n\r\n"), NULL, NULL },
	{ "trailer with a NUL", W("0\r\nX: \0\r\n\r\n"), NULL, NULL },
	{ "not a number", W("zz\r\n"), NULL, NULL },
};

/* Feed `step` bytes at a time; what comes out goes to w. */
static enum parse feed(struct http_body *b, const void *wire, size_t n, size_t step, struct wr *w,
		       struct rd *ret_rest)
{
	const uint8_t *p = wire;
	struct rd data, rest = { 0 };
	enum parse r = PARSE_MORE;

	for (size_t at = 0; at < n && !b->done; at += step) {
		rest = rd_of(p + at, n - at < step ? n - at : step);
		while (!b->done) {
			r = http_body_next(b, &rest, &data);
			wr_rd_all(w, data);
			if (r != PARSE_OK)
				break;
		}
		if (r == PARSE_BAD)
			return r;
		if (b->done)
			*ret_rest = rd_of(rest.p, (size_t)(p + n - rest.p));
	}
	return r;
}

TEST(chunks)
{
	for (size_t step = 1; step < 9; step++)
		for (size_t i = 0; i < ARRAY_SIZE(chunked); i++) {
			AUTO(mem) void *in = check_exact(chunked[i].wire, chunked[i].n);
			struct http_head h = { .framing = HTTP_CHUNKED };
			uint8_t out[64];
			struct wr w = wr_of(out, sizeof(out));
			struct http_body b;
			struct rd rest = { 0 };
			enum parse r;

			http_body_init(&b, &h);
			r = feed(&b, in, chunked[i].n, step, &w, &rest);
			CHECK_EQ(chunked[i].what, r == PARSE_BAD, !chunked[i].body);
			CHECK_EQ(chunked[i].what, b.done, chunked[i].rest != NULL);
			if (chunked[i].body)
				CHECK(chunked[i].what, rd_eq_str(wr_rd(&w), chunked[i].body));
			if (chunked[i].rest)
				CHECK(chunked[i].what, rd_eq_str(rest, chunked[i].rest));
		}
}

TEST(trailers_have_a_limit)
{
	for (size_t over = 0; over < 2; over++) {
		struct http_head h = { .framing = HTTP_CHUNKED };
		uint8_t text[3 + HTTP_TRAILER_MAX + 2];
		struct wr w = wr_of(text, sizeof(text));
		struct http_body b;
		struct rd data, in;

		wr_str(&w, "0\r\nX:");
		while (w.n < 3 + HTTP_TRAILER_MAX - 3 + over)
			wr_str(&w, "y");
		wr_str(&w, "\r\n\r\n");
		in = wr_rd(&w);
		http_body_init(&b, &h);
		CHECK("built", wr_ok(&w));
		CHECK_EQ("limit", http_body_next(&b, &in, &data), over ? PARSE_BAD : PARSE_OK);
	}
}

TEST(refusal_is_sticky)
{
	struct http_head h = { .framing = HTTP_CHUNKED };
	struct rd bad = rd_str("x"), good = rd_str("0\r\n\r\n"), data;
	struct http_body b;

	http_body_init(&b, &h);
	CHECK_EQ("bad", http_body_next(&b, &bad, &data), PARSE_BAD);
	CHECK_EQ("still bad", http_body_next(&b, &good, &data), PARSE_BAD);
}

TEST(length)
{
	struct http_head h = { .framing = HTTP_LENGTH, .length = 5 };
	struct rd in = rd_str("helloGET"), data;
	struct http_body b;

	http_body_init(&b, &h);
	CHECK_EQ("data", http_body_next(&b, &in, &data), PARSE_OK);
	CHECK("exactly the body", rd_eq_str(data, "hello") && rd_eq_str(in, "GET") && b.done);
	h = (struct http_head){ 0 };
	http_body_init(&b, &h);
	CHECK("no body is done at once", b.done);
}

static const struct {
	const char *what, *wire;
	size_t n;
	enum parse want;
	bool complete;
} gzips[] = {
	{ "hello", W(GZIP_HELLO), PARSE_MORE, true },
	{ "truncated trailer", GZIP_HELLO, sizeof(GZIP_HELLO) - 2, PARSE_MORE, false },
	{ "truncated data", GZIP_HELLO, 12, PARSE_MORE, false },
	{ "nothing", W(""), PARSE_MORE, false },
	{ "trailing garbage", W(GZIP_HELLO "x"), PARSE_BAD, false },
	{ "second member", W(GZIP_HELLO GZIP_HELLO), PARSE_BAD, false },
	{ "not gzip", W("0032want 0123"), PARSE_BAD, false },
	{ "zlib instead", W("\x78\x9c\xcb\x48\xcd\xc9\xc9\x07\x00\x06\x2c\x02\x15"), PARSE_BAD,
	  false },
	{ "wrong checksum",
	  W("\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03\xcb\x48\xcd\xc9\xc9\x07\x00\x87\xa6\x10\x36"
	    "\x05\x00\x00\x00"),
	  PARSE_BAD, false },
};

TEST(gzip)
{
	for (size_t i = 0; i < ARRAY_SIZE(gzips); i++) {
		AUTO(mem) void *p = check_exact(gzips[i].wire, gzips[i].n);
		struct rd in = rd_of(p, gzips[i].n);
		struct http_gzip g;
		uint8_t out[64];
		struct wr w = wr_of(out, sizeof(out));

		CHECK_EQ(gzips[i].what, http_gzip_init(&g), 0);
		CHECK_EQ(gzips[i].what, http_gzip_next(&g, &in, &w), gzips[i].want);
		CHECK_EQ(gzips[i].what, http_gzip_complete(&g), gzips[i].complete);
		if (gzips[i].complete)
			CHECK(gzips[i].what, rd_eq_str(wr_rd(&w), "hello"));
		http_gzip_done(&g);
	}
}

/* The writer's size bounds what comes out of one call; input is kept for the next. */
TEST(gzip_in_small_windows)
{
	struct rd in = rd_of(W(GZIP_HELLO));
	char all[16];
	struct wr out = wr_of(all, sizeof(all));
	struct http_gzip g;
	unsigned calls = 0;
	enum parse r;

	CHECK_EQ("init", http_gzip_init(&g), 0);
	do {
		char two[2];
		struct wr w = wr_of(two, sizeof(two));

		r = http_gzip_next(&g, &in, &w);
		wr_rd_all(&out, wr_rd(&w));
	} while (r == PARSE_OK && ++calls < 10);
	CHECK("text", rd_eq_str(wr_rd(&out), "hello"));
	CHECK("complete", http_gzip_complete(&g));
	http_gzip_done(&g);
}
