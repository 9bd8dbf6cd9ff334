/*
 * test_netd_packet.c - what a refused packet was
 */
#include "tests/unit/check.h"

#include "netd/packet.h"

#define V4(ihl, frag, proto) ihl "\0\0\50\0\0" frag "\100" proto "\0\0\12\1\0\2\1\1\1\1"
#define V6(next) "\140\0\0\0\0\24" next "\100" \
	"\375\0\0\1\0\0\0\0\0\0\0\0\0\0\0\2" "\46\0\0\0\0\0\0\0\0\0\0\0\0\0\0\1"
#define PORTS "\20\0\1\273"

static const struct {
	const char *what, *wire;
	size_t n;
	enum parse want;
	unsigned family, proto, dport;
} cases[] = {
	{ "tcp", W(V4("\105", "\0\0", "\6") PORTS), PARSE_OK, 4, 6, 443 },
	{ "udp with options", W(V4("\106", "\0\0", "\21") "\1\1\1\1" PORTS), PARSE_OK, 4, 17, 443 },
	{ "options cut", W(V4("\106", "\0\0", "\21") "\1\1"), PARSE_MORE, 4, 17, 0 },
	{ "ports cut", W(V4("\105", "\0\0", "\6") "\20\0\1"), PARSE_MORE, 4, 6, 0 },
	{ "later fragment", W(V4("\105", "\0\1", "\6") PORTS), PARSE_OK, 4, 6, 0 },
	{ "first fragment", W(V4("\105", "\40\0", "\6") PORTS), PARSE_OK, 4, 6, 443 },
	{ "icmp has no ports", W(V4("\105", "\0\0", "\1") "\10\0\0\0"), PARSE_OK, 4, 1, 0 },
	{ "gre", W(V4("\105", "\0\0", "\57") PORTS), PARSE_OK, 4, 47, 0 },
	{ "header length lies", W(V4("\104", "\0\0", "\6") PORTS), PARSE_BAD, 0, 0, 0 },
	{ "address cut", W("\105\0\0\50\0\0\0\0\100\6\0\0\12\1\0\2\1\1\1"), PARSE_BAD, 0, 0, 0 },
	{ "ipv6 tcp", W(V6("\6") PORTS), PARSE_OK, 6, 6, 443 },
	{ "hop by hop, then udp", W(V6("\0") "\21\0\0\0\0\0\0\0" PORTS), PARSE_OK, 6, 17, 443 },
	{ "two extensions", W(V6("\0") "\74\0\0\0\0\0\0\0" "\6\0\0\0\0\0\0\0" PORTS), PARSE_OK, 6, 6, 443 },
	{ "authentication, then tcp", W(V6("\63") "\6\0\0\0\0\0\0\0" PORTS), PARSE_OK, 6, 6, 443 },
	{ "atomic fragment", W(V6("\54") "\6\0\0\0\0\0\0\0" PORTS), PARSE_OK, 6, 6, 443 },
	{ "later ipv6 fragment", W(V6("\54") "\6\0\0\10\0\0\0\0" PORTS), PARSE_OK, 6, 6, 0 },
	{ "extension cut", W(V6("\0") "\21\1\0\0\0\0\0\0"), PARSE_MORE, 6, 0, 0 },
	{ "too many extensions", W(V6("\74") "\74\0\0\0\0\0\0\0\74\0\0\0\0\0\0\0\74\0\0\0\0\0\0\0"
	  "\74\0\0\0\0\0\0\0\74\0\0\0\0\0\0\0\74\0\0\0\0\0\0\0\74\0\0\0\0\0\0\0\74\0\0\0\0\0\0\0"
	  "\6\0\0\0\0\0\0\0" PORTS), PARSE_MORE, 6, 60, 0 },
	{ "no header after", W(V6("\73")), PARSE_OK, 6, 59, 0 },
	{ "version 5", W("\125\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"), PARSE_BAD, 0, 0, 0 },
	{ "empty", W(""), PARSE_BAD, 0, 0, 0 },
};

TEST(cases)
{
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		AUTO(mem) void *in = check_exact(cases[i].wire, cases[i].n);
		struct packet p = { 0 };

		CHECK_EQ(cases[i].what, packet_parse(rd_of(in, cases[i].n), &p), cases[i].want);
		CHECK_EQ(cases[i].what, p.saddr.family, cases[i].family);
		CHECK_EQ(cases[i].what, p.proto, cases[i].proto);
		CHECK_EQ(cases[i].what, p.dport, cases[i].dport);
	}
}

TEST(addresses)
{
	static const char wire[] = V6("\6") PORTS;
	char text[ADDR_TEXT_MAX];
	struct packet p;

	CHECK_EQ("ipv6", packet_parse(rd_of(wire, sizeof(wire) - 1), &p), PARSE_OK);
	addr_format(&p.saddr, text);
	CHECK_STR("source", text, "fd00:1::2");
	addr_format(&p.daddr, text);
	CHECK_STR("destination", text, "2600::1");
}

TEST(every_cut)
{
	static const char wire[] = V6("\0") "\54\0\0\0\0\0\0\0" "\6\0\0\0\0\0\0\0" PORTS;

	for (size_t n = 0; n < sizeof(wire) - 1; n++) {
		AUTO(mem) void *in = check_exact(wire, n);
		struct packet p;

		CHECK_EQ("cut", packet_parse(rd_of(in, n), &p), n < 40 ? PARSE_BAD : PARSE_MORE);
	}
}
