/*
 * make_pkts.h - pkt-lines from text, for tests
 */
#ifndef UNIT_MAKE_PKTS_H
#define UNIT_MAKE_PKTS_H

#include "gitproxy/pkt.h"

#define SHA1_A "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define SHA1_B "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
#define SHA1_C "cccccccccccccccccccccccccccccccccccccccc"
#define SHA256_A SHA1_A "aaaaaaaaaaaaaaaaaaaaaaaa"

/*
 * Lines between bars. "0000", "0001", "0002" and all that begins with '!' go out as they are (the
 * latter without the '!'); every other one gets its length and a line feed.
 */
static inline void make_pkts(struct wr *w, const char *text)
{
	struct rd all = rd_str(text);

	while (rd_left(&all)) {
		struct rd line = rd_piece(&all, '|');
		uint8_t space[4096];
		struct wr data = wr_of(space, sizeof(space));

		if (rd_prefix(&line, "!") || rd_eq_str(line, "0000") || rd_eq_str(line, "0001") ||
		    rd_eq_str(line, "0002"))
			wr_rd_all(w, line);
		else if (wr_rd_all(&data, line) && wr_u8(&data, '\n'))
			pkt_write(w, wr_rd(&data));
		else
			abort();
	}
	if (!wr_ok(w))
		abort();
}

/* The same, with a NUL for each '@'. How many bytes. */
static inline size_t make_pkts_nul(const char *text, uint8_t *to, size_t cap)
{
	struct wr w = wr_of(to, cap);

	make_pkts(&w, text);
	for (size_t i = 0; i < w.n; i++)
		if (to[i] == '@')
			to[i] = 0;
	return w.n;
}

#endif
