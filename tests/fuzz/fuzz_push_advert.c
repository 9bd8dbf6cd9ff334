/*
 * fuzz_push_advert.c - what is passed on of an advertisement is one again, says the same, and hides .have
 */
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>

#include "gitproxy/mirror/push_advert.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	size_t cap = push_advert_bound(rd_of(data, n));
	AUTO(mem) uint8_t *out = malloc(cap);
	struct wr w = wr_of(out, cap);
	struct push_advert a, b;

	if (push_advert_parse(rd_of(data, n), &a) != PARSE_OK)
		return 0;
	if (!push_advert_write(&w, &a) || memmem(w.p, w.n, " .have", 6))
		abort();
	if (push_advert_parse(wr_rd(&w), &b) != PARSE_OK || a.n_refs != b.n_refs || a.format != b.format)
		abort();
	return 0;
}
