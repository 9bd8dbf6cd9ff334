/*
 * fuzz_git_answer.c - a git answer in pieces
 *
 * Whatever comes goes on, byte for byte and in order; what is held back is less than a packet; and
 * the error is a packet behind whole packets.
 */
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>

#include "gitproxy/front/git_answer.h"

struct seen {
	struct rd all;			/* what has not been passed on yet */
};

static void check_passed(struct seen *s, struct rd pass)
{
	struct rd same;

	if (!rd_take(&s->all, pass.n, &same) || !rd_eq(same, pass.p, pass.n))
		abort();
}

static void check_error(const struct git_answer *a)
{
	uint8_t text[GIT_ANSWER_ERROR];
	struct wr w = wr_of(text, sizeof(text));
	struct rd said;
	struct pkt pkt;

	if (!git_answer_error(a, REASON_UPSTREAM_UNREACHABLE, &w))
		return;
	said = wr_rd(&w);
	if (!wr_ok(&w) || a->raw || pkt_read(&said, &pkt) != PARSE_OK || !rd_done(&said))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static struct git_answer a;
	struct seen s = { .all = rd_of(data, n) };
	struct rd left = rd_of(data, n), piece;
	uint8_t how;

	if (!rd_u8(&left, &how))
		return 0;
	s.all = left;
	git_answer_init(&a, how & 1, how & 2);
	how = how >> 2 | 1;
	while (rd_left(&left)) {
		if (!rd_take(&left, left.n < how ? left.n : how, &piece))
			abort();
		check_passed(&s, git_answer_next(&a, piece));
		if (!a.raw && a.n - a.whole >= PKT_MAX)
			abort();
		check_error(&a);
	}
	check_passed(&s, git_answer_end(&a));
	if (rd_left(&s.all))
		abort();
	return 0;
}
