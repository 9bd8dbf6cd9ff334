/*
 * pkt.c - pkt-lines: the framing of git's protocols
 *
 * Theory of operation: a reader that hands out slices of the caller's bytes and a writer into the
 * caller's buffer. Either kind of hexadecimal digit is taken, as git does; only small ones are
 * written. Streams that are not kept whole in memory use pkt_head() and follow the length
 * themselves. Allocates nothing, keeps no state.
 * Spec: gitprotocol-common(5). Fuzzed by tests/fuzz/fuzz_pkt.c.
 */
#include "gitproxy/pkt.h"

#include <stdarg.h>
#include <stdio.h>

bool pkt_head(const uint8_t head[PKT_HEAD], enum pkt_type *ret_type, size_t *ret_n)
{
	static const enum pkt_type special[] = { PKT_FLUSH, PKT_DELIM, PKT_RESPONSE_END };
	size_t n = 0;

	for (size_t i = 0; i < PKT_HEAD; i++) {
		int d = hex_digit(head[i]);

		if (d < 0)
			return false;
		n = n << 4 | (unsigned)d;
	}
	if ((n >= ARRAY_SIZE(special) && n < PKT_HEAD) || n > PKT_MAX)
		return false;
	*ret_type = n < PKT_HEAD ? special[n] : PKT_DATA;
	*ret_n = n < PKT_HEAD ? 0 : n - PKT_HEAD;
	return true;
}

enum parse pkt_read(struct rd *io, struct pkt *ret)
{
	struct rd at = *io, data;
	uint8_t head[PKT_HEAD];
	enum pkt_type type;
	size_t n;

	if (!rd_ok(io))
		return PARSE_BAD;
	if (rd_left(&at) < PKT_HEAD)
		return PARSE_MORE;
	if (!rd_copy(&at, head, PKT_HEAD) || !pkt_head(head, &type, &n))
		return PARSE_BAD;
	if (!rd_take(&at, n, &data))
		return PARSE_MORE;
	*ret = (struct pkt){ .type = type, .data = data };
	*io = at;
	return PARSE_OK;
}

struct rd pkt_text(const struct pkt *pkt)
{
	struct rd all = pkt->data, text;

	if (!rd_left(&all) || all.p[all.n - 1] != '\n')
		return all;
	return rd_take(&all, all.n - 1, &text) ? text : all;
}

static bool head_write(struct wr *w, size_t n)
{
	const uint8_t size[PKT_HEAD / 2] = { (uint8_t)(n >> 8), (uint8_t)n };

	return wr_hex(w, size, sizeof(size));
}

bool pkt_write(struct wr *w, struct rd data)
{
	if (data.failed || data.n > PKT_DATA_MAX)
		return !(w->failed = true);
	return head_write(w, data.n + PKT_HEAD) && wr_rd_all(w, data);
}

bool pkt_line(struct wr *w, const char *fmt, ...)
{
	char text[PKT_DATA_MAX / 16];
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (n < 0 || (size_t)n >= sizeof(text))
		return !(w->failed = true);
	text[n] = '\n';				/* in the NUL's place */
	return pkt_write(w, rd_of(text, (size_t)n + 1));
}

bool pkt_flush(struct wr *w)
{
	return head_write(w, 0);
}

bool pkt_delim(struct wr *w)
{
	return head_write(w, 1);
}
