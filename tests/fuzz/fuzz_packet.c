/*
 * fuzz_packet.c - the start of any packet: addresses and ports are its own or none
 */
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>

#include "netd/packet.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct packet p = { 0 };
	enum parse r = packet_parse(rd_of(data, n), &p);

	if (r == PARSE_BAD && p.saddr.family)
		abort(); /* outputs change on success only */
	if (r != PARSE_BAD && (p.saddr.family != data[0] >> 4 || p.daddr.family != p.saddr.family))
		abort();
	if (!p.has_ports && (p.sport || p.dport))
		abort();
	if (p.has_ports && r != PARSE_OK)
		abort();
	return 0;
}
