/*
 * test_tls_stream.c - the record layer in any pieces (threats B7, B12)
 */
#include "tests/unit/check.h"

#include "netd/inspect/tls_stream.h"
#include "tests/unit/make_hello.h"

enum { HELLO_ONLY = TLS_MAY_HANDSHAKE, NO_HELLO = TLS_MAY_CCS | TLS_MAY_ALERT | TLS_MAY_DATA,
       ALL = NO_HELLO | TLS_MAY_HANDSHAKE };

/* Feed in pieces of `step` bytes; where it stopped. */
static enum parse feed(struct tls_stream *s, const uint8_t *p, size_t n, size_t step, unsigned may,
		       size_t *ret_used)
{
	enum parse r = PARSE_MORE;
	size_t at = 0;

	while (r == PARSE_MORE && at < n) {
		size_t piece = n - at < step ? n - at : step;
		AUTO(mem) void *in = check_exact(p + at, piece);
		struct rd rd = rd_of(in, piece);

		r = tls_feed(s, &rd, may);
		at += piece - rd_left(&rd);
	}
	*ret_used = at;
	return r;
}

TEST(hello_in_any_pieces)
{
	static const size_t sizes[] = { 1, 2, 3, 4, 5, 7, 50, 16384 };

	for (size_t i = 0; i < ARRAY_SIZE(sizes) * ARRAY_SIZE(sizes); i++) {
		size_t record = sizes[i / ARRAY_SIZE(sizes)], step = sizes[i % ARRAY_SIZE(sizes)], used;
		struct tls_stream s = { 0 };
		uint8_t wire[2048], joined[2048], body[256];
		struct wr w = wr_of(wire, sizeof(wire)), j = wr_of(joined, sizeof(joined));
		struct wr b = wr_of(body, sizeof(body));
		struct rd got;

		make_client_hello(&w, W(GOOD_SNI), record);
		make_body(&b, W(GOOD_SNI));
		CHECK_EQ("whole", feed(&s, wire, w.n, step, HELLO_ONLY, &used), PARSE_OK);
		CHECK_EQ("all of it", used, w.n);
		CHECK_EQ("type", s.msg[0], TLS_CLIENT_HELLO);
		CHECK("ends with its record", tls_at_record_end(&s));
		CHECK_EQ("joined", tls_join(wr_rd(&w), &j, &got), PARSE_OK);
		CHECK("the same body", rd_eq(got, body, b.n));
	}
}

static const struct {
	const char *what, *wire;
	size_t n;
	unsigned may;
	enum parse want;
	bool seen;
} cases[] = {
	{ "nothing", W(""), HELLO_ONLY, PARSE_MORE, false },
	{ "half a record header", W("\x16\3\1\0"), HELLO_ONLY, PARSE_MORE, false },
	{ "a message of no bytes", W("\x16\3\1\0\4" "\1\0\0\0"), HELLO_ONLY, PARSE_OK, true },
	{ "another minor version", W("\x16\3\x7f\0\4" "\1\0\0\0"), HELLO_ONLY, PARSE_OK, true },
	{ "half a message", W("\x16\3\1\0\5" "\1\0\0\2x"), HELLO_ONLY, PARSE_MORE, true },
	{ "an empty record", W("\x16\3\1\0\0"), HELLO_ONLY, PARSE_BAD, true },
	{ "an empty record inside", W("\x16\3\1\0\1" "\1" "\x16\3\1\0\0"), HELLO_ONLY, PARSE_BAD, true },
	{ "a record of 16385", W("\x16\3\1\x40\1"), HELLO_ONLY, PARSE_BAD, true },
	{ "a record of 16384", W("\x16\3\1\x40\0"), HELLO_ONLY, PARSE_MORE, true },
	{ "a message of 16381 and header", W("\x16\3\1\0\4" "\1\0\x3f\xfd"), HELLO_ONLY, PARSE_BAD, true },
	{ "a message of 16 MiB", W("\x16\3\1\0\4" "\1\xff\xff\xff"), HELLO_ONLY, PARSE_BAD, true },
	{ "major version 2", W("\x16\2"), HELLO_ONLY, PARSE_BAD, false },
	{ "an SSLv2 hello", W("\x80\x2e\1\3\1"), HELLO_ONLY, PARSE_BAD, false },
	{ "SSH", W("SSH-2.0-"), HELLO_ONLY, PARSE_BAD, false },
	{ "HTTP", W("GET / HTTP/1.1\r\n"), HELLO_ONLY, PARSE_BAD, false },
	{ "WireGuard", W("\1\0\0\0"), HELLO_ONLY, PARSE_BAD, false },
	{ "an alert first", W("\x15\3\1\0\2\1\0"), HELLO_ONLY, PARSE_BAD, false },
	{ "data first", W("\x17\3\3\0\1x"), HELLO_ONLY, PARSE_BAD, false },
	{ "CCS first", W("\x14\3\3\0\1\1"), HELLO_ONLY, PARSE_BAD, false },
	{ "early data and CCS where they may be", W("\x14\3\3\0\1\1" "\x17\3\3\0\1x" "\x15\3\3\0\2\1\0"),
	  NO_HELLO, PARSE_MORE, true },
	{ "CCS of two bytes", W("\x14\3\3\0\2"), NO_HELLO, PARSE_BAD, true },
	{ "a handshake where none may be, at its first byte", W("\x17\3\3\0\1x" "\x16"), NO_HELLO, PARSE_BAD, true },
	{ "CCS, then a message", W("\x14\3\3\0\1\1" "\x16\3\1\0\4" "\1\0\0\0"), ALL, PARSE_OK, true },
	{ "data inside a message", W("\x16\3\1\0\1" "\1" "\x17\3\3\0\1x"), ALL, PARSE_BAD, true },
	{ "an unknown type", W("\x18\3\3\0\1x"), ALL, PARSE_BAD, false },
};

TEST(records)
{
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		for (size_t step = 1; step <= 64; step *= 64) {
			struct tls_stream s = { 0 };
			size_t used;

			CHECK_EQ(cases[i].what, feed(&s, (const uint8_t *)cases[i].wire, cases[i].n, step,
						     cases[i].may, &used), cases[i].want);
			CHECK_EQ(cases[i].what, s.seen, cases[i].seen);
		}
}

TEST(several_messages)
{
	static const uint8_t wire[] = { 22, 3, 1, 0, 11, 1, 0, 0, 1, 'a', 2, 0, 0, 2, 'b', 'c' };
	struct rd in = rd_of(wire, sizeof(wire));
	struct tls_stream s = { 0 };

	CHECK_EQ("first", tls_feed(&s, &in, ALL), PARSE_OK);
	CHECK("not at the record's end", !tls_at_record_end(&s));
	tls_next_message(&s);
	CHECK_EQ("second", tls_feed(&s, &in, ALL), PARSE_OK);
	CHECK_EQ("its type", s.msg[0], 2);
	CHECK("at the record's end", tls_at_record_end(&s));
	CHECK_EQ("nothing left", rd_left(&in), 0);
}

TEST(fed_on_without_next_message)
{
	struct rd in = rd_of("\x16\3\1\0\5" "\1\0\0\0" "x", 10);
	struct tls_stream s = { 0 };

	CHECK_EQ("message", tls_feed(&s, &in, ALL), PARSE_OK);
	CHECK_EQ("misuse", tls_feed(&s, &in, ALL), PARSE_BAD);
}

static enum tls_answer answer(const uint8_t *p, size_t n, size_t step)
{
	enum tls_answer a = TLS_ANSWER_MORE;
	struct tls_stream s = { 0 };

	for (size_t at = 0; a == TLS_ANSWER_MORE && at < n; at += step) {
		struct rd in = rd_of(p + at, n - at < step ? n - at : step);

		a = tls_feed_answer(&s, &in);
	}
	return a;
}

TEST(answers)
{
	static const struct {
		const char *what, *first;	/* what comes before */
		size_t n;
		bool retry;
		enum tls_answer want;
	} rows[] = {
		{ "ServerHello", W(""), false, TLS_ANSWER_HELLO },
		{ "HelloRetryRequest", W(""), true, TLS_ANSWER_RETRY },
		{ "a warning first", W("\x15\3\3\0\2\1\x70"), false, TLS_ANSWER_HELLO },
		{ "CCS first", W("\x14\3\3\0\1\1"), false, TLS_ANSWER_HELLO },
		{ "a banner first", W("220 hello\r\n"), false, TLS_ANSWER_OTHER },
		{ "another message first", W("\x16\3\3\0\4\0\0\0\0"), false, TLS_ANSWER_OTHER },
		{ "a ServerHello without a random", W("\x16\3\3\0\6\2\0\0\2\3\3"), false, TLS_ANSWER_OTHER },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		for (size_t size = 1; size <= 10000; size *= 100) {
			uint8_t wire[1024];
			struct wr w = wr_of(wire, sizeof(wire));

			wr_put(&w, rows[i].first, rows[i].n);
			make_server_hello(&w, rows[i].retry, size);
			CHECK_EQ(rows[i].what, answer(wire, w.n, 1), rows[i].want);
			CHECK_EQ(rows[i].what, answer(wire, w.n, w.n), rows[i].want);
			CHECK_EQ("cut", answer(wire, rows[i].want == TLS_ANSWER_OTHER ? 0 : w.n - 1, 1),
				 TLS_ANSWER_MORE);
		}
}
