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
	struct rd all = rd_str(text), line;

	while (rd_left(&all)) {
		if (!memchr(all.p, '|', all.n)) {
			line = all;
			all = rd_of(NULL, 0);
		} else if (!rd_until(&all, '|', &line)) {
			abort();
		}
		if (rd_prefix(&line, "!") || rd_eq_str(line, "0000") || rd_eq_str(line, "0001") ||
		    rd_eq_str(line, "0002"))
			wr_rd_all(w, line);
		else
			pkt_line(w, "%.*s", (int)line.n, (const char *)line.p);
	}
	if (!wr_ok(w))
		abort();
}

#endif
