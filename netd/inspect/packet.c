/*
 * packet.c - IPv4 and IPv6 headers, then TCP
 *
 * Theory of operation: the kernel has checked checksums and connection state and has reassembled what
 * was fragmented; the ruleset has dropped IP options and extension headers. This parser repeats what
 * costs nothing: anything but version, plain header, TCP and a length that fits is refused. A
 * packet that was cut while it was copied is shorter than its length field says: refused.
 * Invariants: allocates nothing; the result borrows from the input. Fuzzed by fuzz_flow (as a whole
 * packet) and through every test of the flow.
 */
#include "netd/inspect/packet.h"

#include <netinet/in.h>

enum { IPV4_HEADER = 20, IPV6_HEADER = 40, TCP_HEADER = 20, IPV4_FRAGMENT = 0x3fff };

static bool ipv4_header(struct rd *in, struct packet *p, struct rd *ret_payload)
{
	uint8_t version, tos, ttl, proto;
	uint16_t total, id, fragment, sum;

	p->src.family = p->dst.family = 4;
	if (!rd_u8(in, &version) || !rd_u8(in, &tos) || !rd_u16(in, &total) || !rd_u16(in, &id) ||
	    !rd_u16(in, &fragment) || !rd_u8(in, &ttl) || !rd_u8(in, &proto) || !rd_u16(in, &sum) ||
	    !rd_copy(in, p->src.b, 4) || !rd_copy(in, p->dst.b, 4))
		return false;
	if (version != 0x45 || (fragment & IPV4_FRAGMENT) || proto != IPPROTO_TCP || total < IPV4_HEADER)
		return false;
	return rd_take(in, total - IPV4_HEADER, ret_payload);	/* what follows is padding */
}

static bool ipv6_header(struct rd *in, struct packet *p, struct rd *ret_payload)
{
	uint32_t flow;
	uint16_t length;
	uint8_t next, hops;

	p->src.family = p->dst.family = 6;
	if (!rd_u32(in, &flow) || !rd_u16(in, &length) || !rd_u8(in, &next) || !rd_u8(in, &hops) ||
	    !rd_copy(in, p->src.b, 16) || !rd_copy(in, p->dst.b, 16))
		return false;
	return next == IPPROTO_TCP && rd_take(in, length, ret_payload);
}

static bool tcp_header(struct rd in, struct packet *p)
{
	struct segment *s = &p->seg;
	uint16_t window, sum, urgent;
	uint8_t offset, flags;
	size_t header;

	if (!rd_u16(&in, &p->sport) || !rd_u16(&in, &p->dport) || !rd_u32(&in, &s->seq) ||
	    !rd_u32(&in, &s->ack) || !rd_u8(&in, &offset) || !rd_u8(&in, &flags) || !rd_u16(&in, &window) ||
	    !rd_u16(&in, &sum) || !rd_u16(&in, &urgent))
		return false;
	header = (size_t)(offset >> 4) * 4;
	if (header < TCP_HEADER || !rd_skip(&in, header - TCP_HEADER))
		return false;
	s->flags = flags & (TCP_FIN | TCP_SYN | TCP_RST | TCP_ACK | TCP_URG);
	if (!(s->flags & TCP_ACK))
		s->ack = 0;
	s->data = in;
	return true;
}

enum parse packet_parse(struct rd in, struct packet *ret)
{
	struct packet p = { 0 };
	struct rd payload = { 0 }, peek = in;
	uint8_t first;
	bool ok;

	if (!rd_u8(&peek, &first))
		return PARSE_BAD;
	ok = first >> 4 == 4 ? ipv4_header(&in, &p, &payload) :
	     first >> 4 == 6 ? ipv6_header(&in, &p, &payload) : false;
	if (!ok || !tcp_header(payload, &p))
		return PARSE_BAD;
	*ret = p;
	return PARSE_OK;
}
