/*
 * pkt_stream.h - pkt-lines that come in pieces
 */
#ifndef GITPROXY_PKT_STREAM_H
#define GITPROXY_PKT_STREAM_H

#include "gitproxy/pkt.h"

struct pkt_stream {			/* zeroed */
	size_t n;
	uint8_t held[PKT_MAX];		/* of a packet that is not whole */
};

/*
 * The next packet of what is held and *io, which moves on. PARSE_MORE: *io is used up. Its data are borrowed from
 * either until the next call.
 */
enum parse pkt_stream_next(struct pkt_stream *s, struct rd *io, struct pkt *ret);

#endif
