/*
 * fuzz_answer_check.c - answers to a fetch: whole or in pieces, the judgement and the pack's bytes
 * are the same, and so is what is settled, but that pieces of a pack may have passed before its
 * header was seen to be none; the first two bytes choose the object format and the pieces
 */
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>

#include "gitproxy/mirror/answer_check.h"

struct run {
	struct answer_check a;
	uint64_t pack;
};

static int on_pack(struct answer_check *a, struct rd bytes)
{
	container_of(a, struct run, a)->pack += bytes.n;
	return 0;
}

static enum answer run(struct run *r, enum object_format format, struct rd all, size_t step)
{
	struct rd piece;

	*r = (struct run){ 0 };
	if (answer_check_init(&r->a, format, on_pack) < 0)
		abort();
	while (rd_take(&all, all.n < step ? all.n : step, &piece) && piece.n) {
		answer_check_feed(&r->a, piece);
		if (r->a.settled > r->a.fed)
			abort();
	}
	return answer_check_end(&r->a);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static struct run whole, pieces;
	enum object_format format;
	enum answer x, y;

	if (n < 2)
		return 0;
	format = data[0] & 1 ? OBJECT_SHA256 : OBJECT_SHA1;
	x = run(&whole, format, rd_of(data + 2, n - 2), n);
	y = run(&pieces, format, rd_of(data + 2, n - 2), 1 + data[1] % 13);
	if (x != y || whole.a.settled > pieces.a.settled || whole.a.remote != pieces.a.remote ||
	    whole.a.said_n != pieces.a.said_n)
		abort();
	if (x != ANSWER_FAILED && whole.a.settled != pieces.a.settled)
		abort();
	if (x == ANSWER_PACK && (whole.pack != pieces.pack || whole.a.settled != n - 2))
		abort();
	answer_check_done(&whole.a);
	answer_check_done(&pieces.a);
	return 0;
}
