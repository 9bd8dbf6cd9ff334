/*
 * fuzz_pkt.c - pkt-lines: what was read is written as the same packets
 */
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>

#include "gitproxy/pkt.h"

static bool write_back(struct wr *w, const struct pkt *pkt)
{
	switch (pkt->type) {
	case PKT_FLUSH:
		return pkt_flush(w);
	case PKT_DELIM:
		return pkt_delim(w);
	case PKT_RESPONSE_END:
		return wr_str(w, "0002");
	case PKT_DATA:
		return pkt_write(w, pkt->data);
	}
	return false;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static uint8_t buf[1 << 17];
	struct wr w = wr_of(buf, sizeof(buf));
	struct rd in = rd_of(data, n), again;
	struct pkt pkt, same;

	if (n > sizeof(buf))
		return 0;
	while (pkt_read(&in, &pkt) == PARSE_OK) {
		w.n = 0;
		if (!write_back(&w, &pkt))
			abort();
		again = wr_rd(&w);
		if (pkt_read(&again, &same) != PARSE_OK || !rd_done(&again) ||
		    same.type != pkt.type || !rd_eq(same.data, pkt.data.p, pkt.data.n) ||
		    pkt_text(&pkt).n > pkt.data.n)
			abort();
	}
	return 0;
}
