/*
 * packet.h - one IPv4 or IPv6 packet with a TCP segment in it, taken apart
 */
#ifndef INSPECT_PACKET_H
#define INSPECT_PACKET_H

#include "base/addr.h"
#include "base/bytes.h"

enum { TCP_FIN = 0x01, TCP_SYN = 0x02, TCP_RST = 0x04, TCP_ACK = 0x10, TCP_URG = 0x20 };

struct segment {
	uint32_t seq, ack;	/* ack is 0 without TCP_ACK */
	uint8_t flags;		/* of the enum above; others are cut off */
	struct rd data;		/* borrowed from the packet */
};

struct packet {
	struct addr src, dst;
	uint16_t sport, dport;
	struct segment seg;
};

/*
 * The whole packet, from its IP header on. PARSE_OK, or PARSE_BAD for everything that is not a complete,
 * unfragmented TCP packet with plain headers; never PARSE_MORE. RFC 791, RFC 8200, RFC 9293 s3.1.
 */
enum parse packet_parse(struct rd in, struct packet *ret);

#endif
