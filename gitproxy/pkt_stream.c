/*
 * pkt_stream.c - pkt-lines that come in pieces
 *
 * Theory of operation: a packet that is whole in what came is a slice of it. Of one that is not, the parts are
 * held: first its head, then as many bytes as that says, never more.
 * Spec: gitprotocol-common(5). Fuzzed by tests/fuzz/fuzz_push_request.c.
 */
#include "gitproxy/pkt_stream.h"

/* Until `want` bytes are held. */
static enum parse hold(struct pkt_stream *s, struct rd *io, size_t want)
{
	size_t n = s->n < want ? want - s->n : 0;
	struct rd part;

	n = n < rd_left(io) ? n : rd_left(io);
	if (want > sizeof(s->held) || !rd_take(io, n, &part))
		return PARSE_BAD;
	if (part.n)
		memcpy(s->held + s->n, part.p, part.n);
	s->n += part.n;
	return s->n < want ? PARSE_MORE : PARSE_OK;
}

enum parse pkt_stream_next(struct pkt_stream *s, struct rd *io, struct pkt *ret)
{
	enum pkt_type type;
	struct rd all;
	enum parse r;
	size_t n;

	if (!s->n) {
		r = pkt_read(io, ret);
		if (r != PARSE_MORE || !rd_left(io))
			return r;
	}
	r = hold(s, io, PKT_HEAD);
	if (r != PARSE_OK)
		return r;
	if (!pkt_head(s->held, &type, &n))
		return PARSE_BAD;
	r = hold(s, io, PKT_HEAD + n);
	if (r != PARSE_OK)
		return r;
	all = rd_of(s->held, s->n);
	s->n = 0;
	return pkt_read(&all, ret);
}
