/*
 * test_inspect_packet.c - IP and TCP headers that lie
 */
#include "tests/unit/check.h"

#include "netd/inspect/packet.h"

#define V4(first, total, fragment, proto) first "\0" total "\0\1" fragment "\x40" proto "\0\0" \
	"\x0a\1\0\2" "\xc6\x12\1\0"
#define V6(length, next) "\x60\0\0\0" length next "\x40" "\xfd\0\0\1\0\0\0\0\0\0\0\0\0\0\0\2" \
	"\xfd\x63\x6f\x72\x64\x6f\0\0\0\0\0\0\0\0\1\0"
#define TCP(offset, flags) "\x9c\x40" "\1\xbb" "\0\0\0\5" "\0\0\0\7" offset flags "\xff\xff" "\0\0" "\0\0"

static const struct {
	const char *what, *wire;
	size_t n;
	enum parse want;
	size_t data;
} cases[] = {
	{ "IPv4", W(V4("\x45", "\0\x2b", "\x40\0", "\6") TCP("\x50", "\x18") "abc"), PARSE_OK, 3 },
	{ "IPv6", W(V6("\0\x17", "\6") TCP("\x50", "\x18") "abc"), PARSE_OK, 3 },
	{ "TCP options", W(V6("\0\x1b", "\6") TCP("\x60", "\x18") "\1\1\1\0" "abc"), PARSE_OK, 3 },
	{ "padding behind the packet", W(V4("\x45", "\0\x28", "\0\0", "\6") TCP("\x50", "\x10") "pad"), PARSE_OK, 0 },
	{ "nothing", W(""), PARSE_BAD, 0 },
	{ "version 5", W("\x55" "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"), PARSE_BAD, 0 },
	{ "IPv4 options", W(V4("\x46", "\0\x2c", "\0\0", "\6") "\0\0\0\0" TCP("\x50", "\x10")), PARSE_BAD, 0 },
	{ "more fragments", W(V4("\x45", "\0\x2b", "\x20\0", "\6") TCP("\x50", "\x18") "abc"), PARSE_BAD, 0 },
	{ "a later fragment", W(V4("\x45", "\0\x2b", "\0\1", "\6") TCP("\x50", "\x18") "abc"), PARSE_BAD, 0 },
	{ "UDP", W(V4("\x45", "\0\x2b", "\0\0", "\x11") TCP("\x50", "\x18") "abc"), PARSE_BAD, 0 },
	{ "an extension header", W(V6("\0\x17", "\0") TCP("\x50", "\x18") "abc"), PARSE_BAD, 0 },
	{ "IPv4 longer than what came", W(V4("\x45", "\0\x2c", "\0\0", "\6") TCP("\x50", "\x18") "abc"), PARSE_BAD, 0 },
	{ "IPv6 longer than what came", W(V6("\0\x18", "\6") TCP("\x50", "\x18") "abc"), PARSE_BAD, 0 },
	{ "IPv4 shorter than its header", W(V4("\x45", "\0\x13", "\0\0", "\6") TCP("\x50", "\x18")), PARSE_BAD, 0 },
	{ "half a TCP header", W(V6("\0\x0a", "\6") "\x9c\x40\1\xbb\0\0\0\5\0\0"), PARSE_BAD, 0 },
	{ "a TCP header of 16", W(V6("\0\x17", "\6") TCP("\x40", "\x18") "abc"), PARSE_BAD, 0 },
	{ "TCP options beyond the packet", W(V6("\0\x17", "\6") TCP("\x60", "\x18") "abc"), PARSE_BAD, 0 },
};

TEST(headers)
{
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		AUTO(mem) void *in = check_exact(cases[i].wire, cases[i].n);
		struct packet p = { 0 };

		CHECK_EQ(cases[i].what, packet_parse(rd_of(in, cases[i].n), &p), cases[i].want);
		if (cases[i].want != PARSE_OK)
			continue;
		CHECK_EQ(cases[i].what, rd_left(&p.seg.data), cases[i].data);
		CHECK_EQ(cases[i].what, p.sport, 40000);
		CHECK_EQ(cases[i].what, p.dport, 443);
		CHECK_EQ(cases[i].what, p.seg.seq, 5);
		CHECK_EQ(cases[i].what, p.seg.ack, 7);
	}
}

/* Without the flag, what stands in the field acknowledges nothing. */
TEST(no_ack)
{
	struct packet p = { 0 };

	CHECK_EQ("parsed", packet_parse(rd_of(W(V6("\0\x14", "\6") TCP("\x50", "\xc2"))), &p), PARSE_OK);
	CHECK_EQ("ack", p.seg.ack, 0);
	CHECK_EQ("only flags that matter", p.seg.flags, TCP_SYN);
}

/* An unsegmented packet is larger than any MTU. */
TEST(gso)
{
	enum { SIZE = 65535 };
	AUTO(mem) uint8_t *in = calloc(1, SIZE);
	struct packet p = { 0 };

	if (!in)
		abort();
	memcpy(in, V4("\x45", "\xff\xff", "\0\0", "\6") TCP("\x50", "\x10"), 40);
	CHECK_EQ("whole", packet_parse(rd_of(in, SIZE), &p), PARSE_OK);
	CHECK_EQ("data", rd_left(&p.seg.data), SIZE - 40);
	CHECK_EQ("cut while copied", packet_parse(rd_of(in, SIZE - 4), &p), PARSE_BAD);
}
