/*
 * fuzz_gate_entry.c - an entry's head, and a delta over a base: nothing is read or written outside, and what is
 * taken is what it says
 *
 * Input: a byte (hash), a byte (length of the base), the base, then a head, or the instructions of a delta.
 */
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>

#include "gitproxy/gate/entry.h"

enum { RESULT_MAX = 1 << 16 };

static void head(struct rd in, enum object_format format)
{
	uint8_t again[ENTRY_HEAD_MAX];
	struct wr w = wr_of(again, sizeof(again));
	struct entry_head h, back;
	struct rd r;

	if (entry_head(&in, format, &h) != PARSE_OK)
		return;
	if (!h.type || h.type == 5 || h.type > ENTRY_REF_DELTA || (h.type == ENTRY_OFS_DELTA && !h.back))
		abort();
	if (entry_is_delta(h.type))
		return;
	if (!entry_head_write(&w, (enum object_type)h.type, h.size))
		abort();
	r = wr_rd(&w);
	if (entry_head(&r, format, &back) != PARSE_OK || back.type != h.type || back.size != h.size || rd_left(&r))
		abort();
}

static void patch(struct rd in, struct rd base)
{
	AUTO(mem) uint8_t *to = NULL;
	struct entry_delta d;
	struct wr w;

	if (entry_delta(&in, &d) != PARSE_OK || d.result > RESULT_MAX)
		return;
	to = malloc(d.result ? d.result : 1);
	w = wr_of(to, d.result);
	if (entry_patch(in, base, &w) == PARSE_OK && w.n != d.result)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct rd in = rd_of(data, n), base;
	AUTO(mem) uint8_t *copy = NULL, *rest = NULL;
	uint8_t format;

	if (!rd_u8(&in, &format) || !rd_vec(&in, 1, &base))
		return 0;
	copy = malloc(base.n ? base.n : 1);
	rest = malloc(in.n ? in.n : 1);
	if (base.n)
		memcpy(copy, base.p, base.n);
	if (in.n)
		memcpy(rest, in.p, in.n);
	head(rd_of(rest, in.n), format & 1 ? OBJECT_SHA256 : OBJECT_SHA1);
	patch(rd_of(rest, in.n), rd_of(copy, base.n));
	return 0;
}
