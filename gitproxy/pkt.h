/*
 * pkt.h - pkt-lines: the framing of git's protocols
 *
 * Spec: gitprotocol-common(5). Four hexadecimal digits count themselves and what follows; 0000,
 * 0001 and 0002 are packets of their own, 0004 is an empty line, 0003 and more than 65520 are
 * refused.
 */
#ifndef GITPROXY_PKT_H
#define GITPROXY_PKT_H

#include "base/bytes.h"

enum {
	PKT_HEAD = 4,
	PKT_MAX = 65520,			/* with its head */
	PKT_DATA_MAX = PKT_MAX - PKT_HEAD,
};

enum pkt_type { PKT_FLUSH, PKT_DELIM, PKT_RESPONSE_END, PKT_DATA };

struct pkt {
	enum pkt_type type;
	struct rd data;			/* PKT_DATA: borrowed, as it came, line feed included */
};

/* The first four bytes of a packet. False: malformed. ret_n: how many bytes of data follow. */
bool pkt_head(const uint8_t head[PKT_HEAD], enum pkt_type *ret_type, size_t *ret_n);
/* The next packet. PARSE_MORE and PARSE_BAD leave *io as it was. */
enum parse pkt_read(struct rd *io, struct pkt *ret);
/* The packet's text: its data without the one line feed at its end. */
struct rd pkt_text(const struct pkt *pkt);

/* False: it did not fit (sticky in the writer, as always), or is longer than a packet may be. */
bool pkt_write(struct wr *w, struct rd data);
/* Formatted text and a line feed. */
bool pkt_line(struct wr *w, const char *fmt, ...) PRINTF_LIKE(2, 3);
bool pkt_flush(struct wr *w);
bool pkt_delim(struct wr *w);

#endif
