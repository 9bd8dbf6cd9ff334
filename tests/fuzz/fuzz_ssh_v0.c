/*
 * fuzz_ssh_v0.c - a server's advertisement in v0, and a request that is translated for it: the answer is
 * packets that end with a flush. The input: an advertisement, a byte 0xff, a request.
 */
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>

#include "gitproxy/keeper/ssh_v0.h"
#include "gitproxy/pkt.h"

static void check_refs(const struct v0_advert *a, struct rd body)
{
	size_t cap = v0_refs_bound(a);
	uint8_t *to = malloc(cap);
	struct wr w = wr_of(to, cap);
	struct pkt pkt = { .type = PKT_DATA };
	struct rd text;

	if (to && v0_answer_refs(a, body, &w)) {
		for (text = wr_rd(&w); rd_left(&text);)
			if (pkt.type != PKT_DATA || pkt_read(&text, &pkt) != PARSE_OK)
				abort();
		if (pkt.type != PKT_FLUSH)
			abort();
	}
	free(to);
}

static void check_fetch(const struct v0_advert *a, struct rd body)
{
	size_t cap = body.n + 1024;
	uint8_t *to = malloc(cap);
	struct wr w = wr_of(to, cap);

	if (to && v0_write_fetch(a, body, &w) && !memmem(w.p, w.n, "0009done\n", 9))
		abort();
	free(to);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct rd body = rd_of(data, n), advert;
	struct v0_advert a;

	if (!rd_until(&body, 0xff, &advert) || v0_advert_parse(advert, &a) != PARSE_OK)
		return 0;
	switch (v0_command_of(body)) {
	case V0_LS_REFS:
		check_refs(&a, body);
		break;
	case V0_FETCH:
		check_fetch(&a, body);
		break;
	case V0_BAD:
		break;
	}
	return 0;
}
