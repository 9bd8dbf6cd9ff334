/*
 * fuzz_tls_stream.c - any bytes as a TLS stream: the same in one piece and in many
 *
 * The first byte chooses the types that may come, the second the size of the pieces.
 */
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>

#include "netd/inspect/tls_stream.h"

static void expect(bool ok)
{
	if (!ok)
		abort();
}

/* To the first message's end; how many bytes that took. */
static enum parse feed(struct tls_stream *s, struct rd in, size_t step, unsigned may, size_t *ret_used)
{
	enum parse r = PARSE_MORE;
	size_t all = rd_left(&in);

	while (r == PARSE_MORE && rd_left(&in)) {
		struct rd piece, rest;

		if (!rd_take(&in, rd_left(&in) < step ? rd_left(&in) : step, &piece))
			abort();
		rest = piece;
		r = tls_feed(s, &rest, may);
		expect(r != PARSE_MORE || !rd_left(&rest));
		all -= rd_left(&rest);
	}
	*ret_used = all - rd_left(&in);
	return r;
}

static enum tls_answer answer(struct rd in, size_t step)
{
	enum tls_answer a = TLS_ANSWER_MORE;
	struct tls_stream s = { 0 };

	while (a == TLS_ANSWER_MORE && rd_left(&in)) {
		struct rd piece;

		if (!rd_take(&in, rd_left(&in) < step ? rd_left(&in) : step, &piece))
			abort();
		a = tls_feed_answer(&s, &piece);
	}
	return a;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct tls_stream whole = { 0 }, pieces = { 0 };
	struct rd in = rd_of(data, n);
	size_t used_whole, used_pieces;
	uint8_t may, step;
	enum parse p;

	if (!rd_u8(&in, &may) || !rd_u8(&in, &step) || !step)
		return 0;
	p = feed(&whole, in, SIZE_MAX, may & 15, &used_whole);
	expect(p == feed(&pieces, in, step, may & 15, &used_pieces));
	expect(whole.seen == pieces.seen);
	expect(answer(in, SIZE_MAX) == answer(in, step));
	if (p == PARSE_BAD)
		return 0;
	expect(used_whole == used_pieces && whole.msg_n == pieces.msg_n);
	expect(!memcmp(whole.msg, pieces.msg, sizeof(whole.msg)));
	if (p == PARSE_OK && tls_at_record_end(&whole)) {
		AUTO(mem) uint8_t *to = malloc(n);
		struct wr joined = wr_of(to, n);
		struct rd body;

		expect(tls_join(rd_of(in.p, used_whole), &joined, &body) == PARSE_OK);
		expect(rd_left(&body) + 4 == whole.msg_n);
	}
	return 0;
}
