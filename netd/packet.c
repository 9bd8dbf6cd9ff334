/*
 * packet.c - what a refused packet was
 *
 * Theory of operation: input is the start of a packet that the ruleset refused, so it is the worst
 * a sandbox can send: cut, with lying lengths, in any protocol. Only what is needed to name it in
 * the audit log is read. IPv6 extension headers are followed up to PACKET_EXTENSIONS_MAX of them.
 * Invariants: allocates nothing, keeps no state. A packet that is no first fragment has no ports:
 * what stands in their place is the sender's choice. Spec: RFC 791 s3.1, RFC 8200 s4. Fuzzed by
 * tests/fuzz/fuzz_packet.c.
 */
#include "netd/packet.h"

#include <netinet/in.h>
#include <stdio.h>

enum {
	PACKET_EXTENSIONS_MAX = 8,
	FRAGMENT_OFFSET = 0x1fff,
	PROTO_SCTP = 132,
	PROTO_DCCP = 33,
	PROTO_UDPLITE = 136,
	PROTO_HIP = 139,
	PROTO_SHIM6 = 140,
	PROTO_MOBILITY = 135
};

static enum parse parse_ports(struct rd in, struct packet *p)
{
	switch (p->proto) {
	case IPPROTO_TCP:
	case IPPROTO_UDP:
	case PROTO_SCTP:
	case PROTO_DCCP:
	case PROTO_UDPLITE:
		p->has_ports = rd_u16(&in, &p->sport) && rd_u16(&in, &p->dport);
		if (!p->has_ports)
			p->sport = p->dport = 0;
		return p->has_ports ? PARSE_OK : PARSE_MORE;
	default:
		return PARSE_OK;
	}
}

static enum parse parse4(struct rd in, uint8_t first, struct packet *p)
{
	size_t options = (size_t)(first & 15) * 4;
	uint16_t fragment;

	p->saddr.family = p->daddr.family = 4;
	if (options < 20 || !rd_skip(&in, 5) || !rd_u16(&in, &fragment) || !rd_skip(&in, 1) ||
	    !rd_u8(&in, &p->proto) || !rd_skip(&in, 2) || !rd_copy(&in, p->saddr.b, 4) ||
	    !rd_copy(&in, p->daddr.b, 4))
		return PARSE_BAD;
	if (fragment & FRAGMENT_OFFSET)
		return PARSE_OK;
	if (!rd_skip(&in, options - 20))
		return PARSE_MORE;
	return parse_ports(in, p);
}

/* Moves past one extension header. PARSE_OK: there was one; PARSE_BAD: there is none (any more). */
static enum parse skip_extension(struct rd *in, struct packet *p, bool *ret_later)
{
	uint8_t next, units;
	uint16_t offset;
	size_t n;

	switch (p->proto) {
	case IPPROTO_HOPOPTS:
	case IPPROTO_ROUTING:
	case IPPROTO_DSTOPTS:
	case PROTO_MOBILITY:
	case PROTO_HIP:
	case PROTO_SHIM6:
	case IPPROTO_AH:
	case IPPROTO_FRAGMENT:
		break;
	default:
		return PARSE_BAD;
	}
	if (!rd_u8(in, &next) || !rd_u8(in, &units))
		return PARSE_MORE;
	n = p->proto == IPPROTO_AH ? ((size_t)units + 2) * 4 : ((size_t)units + 1) * 8;
	if (p->proto == IPPROTO_FRAGMENT) {
		if (!rd_u16(in, &offset) || !rd_skip(in, 4))
			return PARSE_MORE;
		*ret_later = (offset >> 3) != 0;
	} else if (n < 8 || !rd_skip(in, n - 2)) {
		return PARSE_MORE;
	}
	p->proto = next;
	return PARSE_OK;
}

static enum parse parse6(struct rd in, struct packet *p)
{
	bool later = false;

	p->saddr.family = p->daddr.family = 6;
	if (!rd_skip(&in, 5) || !rd_u8(&in, &p->proto) || !rd_skip(&in, 1) ||
	    !rd_copy(&in, p->saddr.b, 16) || !rd_copy(&in, p->daddr.b, 16))
		return PARSE_BAD;
	for (int i = 0; i < PACKET_EXTENSIONS_MAX && !later; i++) {
		enum parse r = skip_extension(&in, p, &later);

		if (r == PARSE_MORE)
			return PARSE_MORE;
		if (r == PARSE_BAD)
			return parse_ports(in, p);
	}
	return later ? PARSE_OK : PARSE_MORE;
}

enum parse packet_parse(struct rd in, struct packet *ret)
{
	struct packet p = { 0 };
	enum parse r = PARSE_BAD;
	uint8_t first;

	if (!rd_u8(&in, &first))
		return PARSE_BAD;
	if (first >> 4 == 4)
		r = parse4(in, first, &p);
	else if (first >> 4 == 6)
		r = parse6(in, &p);
	if (r != PARSE_BAD)
		*ret = p;
	return r;
}

const char *packet_proto(uint8_t proto, char buf[8])
{
	switch (proto) {
	case IPPROTO_TCP:
		return "tcp";
	case IPPROTO_UDP:
		return "udp";
	case IPPROTO_ICMP:
		return "icmp";
	case IPPROTO_ICMPV6:
		return "icmpv6";
	default:
		snprintf(buf, 8, "%u", proto);
		return buf;
	}
}
