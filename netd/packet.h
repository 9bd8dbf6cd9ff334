/*
 * packet.h - what a refused packet was: addresses, protocol, ports
 */
#ifndef NETD_PACKET_H
#define NETD_PACKET_H

#include <stdint.h>

#include "base/addr.h"
#include "base/bytes.h"

struct packet {
	struct addr saddr, daddr;
	uint8_t proto; /* of the last header that could be reached */
	bool has_ports;
	uint16_t sport, dport; /* ICMP: none; a later fragment: none */
};

/*
 * An IPv4 or IPv6 packet from its network header on, cut anywhere (NFLOG copies 128 bytes).
 * PARSE_MORE: addresses and protocol are right, ports were not reached. PARSE_BAD: not even the
 * addresses.
 */
enum parse packet_parse(struct rd in, struct packet *ret);
/* "tcp", "udp", "icmp", ... or the number in `buf`. */
const char *packet_proto(uint8_t proto, char buf[8]);

#endif
