/*
 * test_http_head.c - request heads with exactly one reading, and all the others (threats C4)
 */
#include "gitproxy/http_head.h"

#include "tests/unit/check.h"

#define GET "GET /a HTTP/1.1\r\n"
#define POST "POST /a HTTP/1.1\r\n"
#define HOST "Host: github.com\r\n"
#define END "\r\n"

static const struct {
	const char *what, *wire;
	size_t n;
	enum parse want;
} cases[] = {
	{ "the least", W(GET HOST END), PARSE_OK },
	{ "what follows is not ours", W(GET HOST END "GET /b"), PARSE_OK },
	{ "no space behind the colon", W(GET "Host:github.com\r\n" END), PARSE_OK },
	{ "tabs around a value", W(GET "Host:\tgithub.com \t\r\n" END), PARSE_OK },
	{ "empty value", W(GET HOST "X:\r\n" END), PARSE_OK },
	{ "bytes above 0x7f in an unread field", W(GET HOST "X: \xc3\xa9\r\n" END), PARSE_OK },
	{ "length", W(POST HOST "Content-Length: 5\r\n" END), PARSE_OK },
	{ "chunked", W(POST HOST "Transfer-Encoding: Chunked\r\n" END), PARSE_OK },
	{ "expect", W(POST HOST "Content-Length: 5\r\nExpect: 100-Continue\r\n" END), PARSE_OK },
	{ "two connection fields", W(GET HOST "Connection: x\r\nConnection: close\r\n" END),
	  PARSE_OK },
	{ "unknown method is the caller's to refuse", W("TRACE /a HTTP/1.1\r\n" HOST END),
	  PARSE_OK },

	{ "nothing", W(""), PARSE_MORE },
	{ "half a line", W("GET /a HT"), PARSE_MORE },
	{ "half a line end", W("GET /a HTTP/1.1\r"), PARSE_MORE },
	{ "no empty line", W(GET HOST), PARSE_MORE },
	{ "half an empty line", W(GET HOST "\r"), PARSE_MORE },

	{ "empty line first", W("\r\n" GET HOST END), PARSE_BAD },
	{ "bare line feeds", W("GET /a HTTP/1.1\nHost: github.com\n\n"), PARSE_BAD },
	{ "one bare line feed", W(GET "Host: github.com\n" END), PARSE_BAD },
	{ "bare carriage return", W(GET "Host: git\rhub.com\r\n" END), PARSE_BAD },
	{ "CR CR LF", W(GET "Host: github.com\r\r\n" END), PARSE_BAD },
	{ "NUL", W(GET "Host: git\0hub.com\r\n" END), PARSE_BAD },
	{ "escape", W(GET HOST "X: \x1b[31m\r\n" END), PARSE_BAD },
	{ "DEL", W(GET HOST "X: \x7f\r\n" END), PARSE_BAD },
	{ "TLS hello", W("\x16\x03\x01\x02\x00\x01\x00"), PARSE_BAD },
	{ "h2 preface", W("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), PARSE_BAD },
	{ "HTTP/1.0", W("GET /a HTTP/1.0\r\n" HOST END), PARSE_BAD },
	{ "HTTP/1.2", W("GET /a HTTP/1.2\r\n" HOST END), PARSE_BAD },
	{ "lower-case version", W("GET /a http/1.1\r\n" HOST END), PARSE_BAD },
	{ "no version", W("GET /a\r\n" HOST END), PARSE_BAD },
	{ "two spaces", W("GET  /a HTTP/1.1\r\n" HOST END), PARSE_BAD },
	{ "tab for a space", W("GET\t/a HTTP/1.1\r\n" HOST END), PARSE_BAD },
	{ "space at the end", W("GET /a HTTP/1.1 \r\n" HOST END), PARSE_BAD },
	{ "lower-case method", W("get /a HTTP/1.1\r\n" HOST END), PARSE_BAD },
	{ "mixed-case method", W("Post /a HTTP/1.1\r\n" HOST END), PARSE_BAD },
	{ "endless method", W("GETGETGETGETGETGET /a HTTP/1.1\r\n" HOST END), PARSE_BAD },
	{ "absolute form", W("GET https://github.com/a HTTP/1.1\r\n" HOST END), PARSE_BAD },
	{ "authority form", W("CONNECT github.com:443 HTTP/1.1\r\n" HOST END), PARSE_BAD },
	{ "asterisk form", W("OPTIONS * HTTP/1.1\r\n" HOST END), PARSE_BAD },
	{ "space in the target", W("GET /a b HTTP/1.1\r\n" HOST END), PARSE_BAD },
	{ "fragment in the target", W("GET /a#b HTTP/1.1\r\n" HOST END), PARSE_BAD },
	{ "high byte in the target", W("GET /\xc3\xa9 HTTP/1.1\r\n" HOST END), PARSE_BAD },
	{ "no host", W(GET END), PARSE_BAD },
	{ "empty host", W(GET "Host:\r\n" END), PARSE_BAD },
	{ "two hosts", W(GET HOST "Host: evil.example\r\n" END), PARSE_BAD },
	{ "two hosts, other case", W(GET HOST "hOST: github.com\r\n" END), PARSE_BAD },
	{ "space before the colon", W(GET "Host : github.com\r\n" END), PARSE_BAD },
	{ "folded line", W(GET HOST "X: a\r\n b\r\n" END), PARSE_BAD },
	{ "folded first line", W(GET " Host: github.com\r\n" END), PARSE_BAD },
	{ "no colon", W(GET HOST "nonsense\r\n" END), PARSE_BAD },
	{ "empty name", W(GET HOST ": x\r\n" END), PARSE_BAD },
	{ "name with a space", W(GET HOST "X Y: x\r\n" END), PARSE_BAD },
	{ "name with a high byte", W(GET HOST "X\xff: x\r\n" END), PARSE_BAD },

	{ "CL and TE", W(POST HOST "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n" END),
	  PARSE_BAD },
	{ "TE and CL", W(POST HOST "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n" END),
	  PARSE_BAD },
	{ "two lengths", W(POST HOST "Content-Length: 5\r\nContent-Length: 6\r\n" END), PARSE_BAD },
	{ "two equal lengths", W(POST HOST "Content-Length: 5\r\nContent-Length: 5\r\n" END),
	  PARSE_BAD },
	{ "list of lengths", W(POST HOST "Content-Length: 5, 5\r\n" END), PARSE_BAD },
	{ "plus", W(POST HOST "Content-Length: +5\r\n" END), PARSE_BAD },
	{ "minus", W(POST HOST "Content-Length: -5\r\n" END), PARSE_BAD },
	{ "hex", W(POST HOST "Content-Length: 0x5\r\n" END), PARSE_BAD },
	{ "leading zero", W(POST HOST "Content-Length: 05\r\n" END), PARSE_BAD },
	{ "empty length", W(POST HOST "Content-Length:\r\n" END), PARSE_BAD },
	{ "length with a space", W(POST HOST "Content-Length: 5 5\r\n" END), PARSE_BAD },
	{ "endless length", W(POST HOST "Content-Length: 9999999999999999999\r\n" END), PARSE_BAD },
	{ "xchunked", W(POST HOST "Transfer-Encoding: xchunked\r\n" END), PARSE_BAD },
	{ "chunked twice", W(POST HOST "Transfer-Encoding: chunked, chunked\r\n" END), PARSE_BAD },
	{ "two TE fields",
	  W(POST HOST "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n" END),
	  PARSE_BAD },
	{ "gzip, chunked", W(POST HOST "Transfer-Encoding: gzip, chunked\r\n" END), PARSE_BAD },
	{ "identity", W(POST HOST "Transfer-Encoding: identity\r\n" END), PARSE_BAD },
	{ "quoted", W(POST HOST "Transfer-Encoding: \"chunked\"\r\n" END), PARSE_BAD },
	{ "vertical tab",
	  W(POST HOST "Transfer-Encoding: \x0b"
		      "chunked\r\n" END),
	  PARSE_BAD },
	{ "GET with a body", W(GET HOST "Content-Length: 5\r\n" END), PARSE_BAD },
	{ "GET chunked", W(GET HOST "Transfer-Encoding: chunked\r\n" END), PARSE_BAD },
	{ "other expectation", W(POST HOST "Expect: 200-ok\r\n" END), PARSE_BAD },
	{ "two git-protocols",
	  W(GET HOST "Git-Protocol: version=2\r\nGit-Protocol: version=1\r\n" END), PARSE_BAD },
};

TEST(heads)
{
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		AUTO(mem) void *in = check_exact(cases[i].wire, cases[i].n);
		struct http_head h = { .length = 77 };
		size_t used = 77;

		CHECK_EQ(cases[i].what, http_head_parse(rd_of(in, cases[i].n), &h, &used),
			 cases[i].want);
		if (cases[i].want != PARSE_OK)
			CHECK("outputs are as they were", h.length == 77 && used == 77);
	}
}

TEST(every_cut_of_a_head_is_incomplete)
{
	static const char wire[] = POST HOST "Content-Length: 5\r\nConnection: close\r\n" END;

	for (size_t n = 0; n < sizeof(wire) - 1; n++) {
		AUTO(mem) void *in = check_exact(wire, n);
		struct http_head h;
		size_t used;

		CHECK_EQ("cut", http_head_parse(rd_of(in, n), &h, &used), PARSE_MORE);
	}
}

TEST(fields)
{
	static const char wire[] =
		"POST /a?b HTTP/1.1\r\nhost: github.com:443\r\nContent-TYPE: a/b \r\n"
		"Content-Length: 12\r\nConnection: keep-alive, Close\r\nAuthorization: x\r\n"
		"Expect: 100-continue\r\n\r\nbody";
	struct http_head h;
	size_t used;

	CHECK_EQ("whole", http_head_parse(rd_of(W(wire)), &h, &used), PARSE_OK);
	CHECK_EQ("body is not used", used, sizeof(wire) - 1 - 4);
	CHECK("target", rd_eq_str(h.target, "/a?b"));
	CHECK("host", rd_eq_str(h.field[HTTP_HOST], "github.com:443"));
	CHECK("type is trimmed", rd_eq_str(h.field[HTTP_CONTENT_TYPE], "a/b"));
	CHECK("authorization", http_has(&h, HTTP_AUTHORIZATION) && !http_has(&h, HTTP_UPGRADE));
	CHECK_EQ("method", h.method, HTTP_POST);
	CHECK_EQ("length", h.length, 12);
	CHECK("flags", h.close && h.expect_continue && h.framing == HTTP_LENGTH);
}

/* One byte, one field too many. */
TEST(limits)
{
	static char wire[HTTP_HEAD_MAX + 64];
	struct http_head h;
	struct wr w;
	size_t used;

	for (int extra = 0; extra < 2; extra++) {
		w = wr_of(wire, sizeof(wire));
		wr_str(&w, GET HOST);
		for (int i = 0; i < HTTP_FIELDS_MAX - 1 + extra; i++)
			wr_str(&w, "a: b\r\n");
		wr_str(&w, END);
		CHECK_EQ("fields", http_head_parse(wr_rd(&w), &h, &used),
			 extra ? PARSE_BAD : PARSE_OK);

		w = wr_of(wire, sizeof(wire));
		wr_str(&w, GET HOST "x: ");
		while (w.n < (size_t)HTTP_HEAD_MAX - 4 + (size_t)extra)
			wr_str(&w, "y");
		wr_str(&w, "\r\n" END);
		CHECK_EQ("bytes", http_head_parse(wr_rd(&w), &h, &used),
			 extra ? PARSE_BAD : PARSE_OK);

		w = wr_of(wire, sizeof(wire));
		wr_str(&w, "GET /");
		while (w.n < (size_t)HTTP_TARGET_MAX + 4 + (size_t)extra)
			wr_str(&w, "t");
		wr_str(&w, " HTTP/1.1\r\n" HOST END);
		CHECK_EQ("target", http_head_parse(wr_rd(&w), &h, &used),
			 extra ? PARSE_BAD : PARSE_OK);
	}
}

#define OK "HTTP/1.1 200 OK\r\n"

TEST(answers)
{
	static const struct { const char *what, *wire; size_t n; enum parse want; unsigned status; } rows[] = {
		{ "the least", W(OK END), PARSE_OK, 200 },
		{ "no phrase", W("HTTP/1.1 101 \r\n" END), PARSE_OK, 101 },
		{ "nor its blank", W("HTTP/1.1 204\r\n" END), PARSE_OK, 204 },
		{ "fields, and what follows", W("HTTP/1.1 599 a b\r\nA: \xc3\r\nB:\r\n" END "HTTP"), PARSE_OK, 599 },
		{ "nothing", W(""), PARSE_MORE, 0 }, { "half a line", W("HTTP/1.1 20"), PARSE_MORE, 0 },
		{ "no empty line", W(OK "A: b\r\n"), PARSE_MORE, 0 },
		{ "another version", W("HTTP/1.0 200 OK\r\n" END), PARSE_BAD, 0 },
		{ "h2", W("HTTP/2 200\r\n" END), PARSE_BAD, 0 }, { "no version", W("200 OK\r\n" END), PARSE_BAD, 0 },
		{ "two digits", W("HTTP/1.1 20 \r\n" END), PARSE_BAD, 0 },
		{ "four digits", W("HTTP/1.1 2000\r\n" END), PARSE_BAD, 0 },
		{ "too low", W("HTTP/1.1 099 x\r\n" END), PARSE_BAD, 0 },
		{ "too high", W("HTTP/1.1 600 x\r\n" END), PARSE_BAD, 0 },
		{ "letters", W("HTTP/1.1 2OO x\r\n" END), PARSE_BAD, 0 },
		{ "bare line feeds", W("HTTP/1.1 200 OK\n\n"), PARSE_BAD, 0 },
		{ "folded", W(OK "A: b\r\n c\r\n" END), PARSE_BAD, 0 },
		{ "space before the colon", W(OK "A : b\r\n" END), PARSE_BAD, 0 },
		{ "no colon", W(OK "A\r\n" END), PARSE_BAD, 0 }, { "no name", W(OK ": b\r\n" END), PARSE_BAD, 0 },
		{ "NUL", W(OK "A: \0\r\n" END), PARSE_BAD, 0 }, { "a request", W(GET HOST END), PARSE_BAD, 0 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		AUTO(mem) void *in = check_exact(rows[i].wire, rows[i].n);
		struct http_answer a = { 0 };
		size_t used = 0;

		CHECK_EQ(rows[i].what, http_answer_parse(rd_of(in, rows[i].n), &a, &used), rows[i].want);
		CHECK_EQ(rows[i].what, a.status, rows[i].status);
	}
}

TEST(what_of_an_answer)
{
	struct rd in = rd_str(OK "A: b\r\nC: d\r\n" END "body");
	struct http_answer a;
	size_t used;

	CHECK_EQ("parsed", http_answer_parse(in, &a, &used), PARSE_OK);
	CHECK_EQ("up to the body", used, in.n - 4);
	CHECK("its lines", rd_eq_str(a.lines, "A: b\r\nC: d\r\n"));
}

TEST(limits_of_an_answer)
{
	static char wire[HTTP_HEAD_MAX + 64];
	struct http_answer a;
	size_t used;

	for (int extra = 0; extra < 2; extra++) {
		struct wr w = wr_of(wire, sizeof(wire));

		wr_str(&w, OK);
		for (int i = 0; i < HTTP_FIELDS_MAX + extra; i++)
			wr_str(&w, "a: b\r\n");
		wr_str(&w, END);
		CHECK_EQ("fields", http_answer_parse(wr_rd(&w), &a, &used), extra ? PARSE_BAD : PARSE_OK);
		w = wr_of(wire, sizeof(wire));
		wr_str(&w, OK "x: ");
		while (w.n < (size_t)HTTP_HEAD_MAX - 4 + (size_t)extra)
			wr_str(&w, "y");
		wr_str(&w, "\r\n" END);
		CHECK_EQ("bytes", http_answer_parse(wr_rd(&w), &a, &used), extra ? PARSE_BAD : PARSE_OK);
	}
}
