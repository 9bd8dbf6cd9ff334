/*
 * fuzz_bytes_escape.c - whatever bytes come in, what goes out is printable, whole and bounded
 *
 * The first two bytes choose the cut and the size of the output; the rest is the input.
 */
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>

#include "base/bytes.h"

static void expect(bool ok)
{
	if (!ok)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct rd r = rd_of(data, n);
	uint8_t max, room;
	size_t len, cap;

	if (!rd_u8(&r, &max) || !rd_u8(&r, &room))
		return 0;
	cap = room & 1 ? 4 * (size_t)max + 4 : room;
	AUTO(mem) char *out = malloc(cap ? cap : 1);

	if (!out)
		return 0;
	out[0] = 0;
	len = bytes_escape(r, max, out, cap);
	expect(len == strlen(out) && (!cap || len < cap));
	for (size_t i = 0; i < len; i++)
		expect((uint8_t)out[i] >= 0x20 && (uint8_t)out[i] != 0x7f);
	/* An output of the promised size holds everything, and whoever cuts says so. */
	if (cap == 4 * (size_t)max + 4 && r.n > max)
		expect(len >= 3 && !memcmp(out + len - 3, "...", 3));
	return 0;
}
