/*
 * fuzz_advert.c - upstream's capabilities: what is taken can be said again, and is the same then
 */
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>
#include <string.h>

#include "gitproxy/mirror/advert.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	uint8_t text[ADVERT_MAX];
	struct wr w = wr_of(text, sizeof(text));
	struct advert a, ours, again;

	if (advert_parse(rd_of(data, n), &a) != PARSE_OK)
		return 0;
	ours = advert_common(&a);
	if (!advert_write(&w, &ours) || advert_parse(wr_rd(&w), &again) != PARSE_OK)
		abort();
	if (again.format != a.format || again.filter != a.filter || again.shallow != a.shallow ||
	    again.unborn != a.unborn || again.wait_for_done != a.wait_for_done)
		abort();
	return 0;
}
