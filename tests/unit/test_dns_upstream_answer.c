/*
 * test_dns_upstream_answer.c - chains that loop, lie and carry strangers (threats A8, A9)
 */
#include "tests/unit/check.h"

#include "dns/message.h"
#include "dns/upstream_answer.h"

#define HEAD(flags, an) "\0\0" flags "\0\1" an "\0\0\0\0"
#define OK "\x81\x80"
#define Q "\1a\2ex\0" "\0\1\0\1"		/* at 12; "ex" at 14 */
#define TTL "\0\0\0\x1e"
#define RR(owner, type, rdlen, rdata) owner type "\0\1" TTL rdlen rdata
#define A_(owner, addr) RR(owner, "\0\1", "\0\4", addr)
#define CNAME_(owner, n, target) RR(owner, "\0\5", n, target)
#define SELF "\xc0\x0c"

static const struct {
	const char *what, *wire;
	size_t n;
	enum chain_result want;
	unsigned addresses;
} cases[] = {
	{ "one address", W(HEAD(OK, "\0\1") Q A_(SELF, "\1\2\3\4")), CHAIN_ADDRESSES, 1 },
	{ "owner in upper case, uncompressed", W(HEAD(OK, "\0\1") Q A_("\1A\2EX\0", "\1\2\3\4")),
	  CHAIN_ADDRESSES, 1 },
	{ "two addresses", W(HEAD(OK, "\0\2") Q A_(SELF, "\1\2\3\4") A_(SELF, "\1\2\3\5")),
	  CHAIN_ADDRESSES, 2 },
	{ "alias, in order",
	  W(HEAD(OK, "\0\2") Q CNAME_(SELF, "\0\4", "\1b\xc0\x0e") A_("\1b\xc0\x0e", "\1\2\3\4")),
	  CHAIN_ADDRESSES, 1 },
	{ "alias, out of order",
	  W(HEAD(OK, "\0\2") Q A_("\1b\xc0\x0e", "\1\2\3\4") CNAME_(SELF, "\0\4", "\1b\xc0\x0e")),
	  CHAIN_ADDRESSES, 1 },
	{ "a stranger's address is not ours", W(HEAD(OK, "\0\1") Q A_("\1b\xc0\x0e", "\1\2\3\4")),
	  CHAIN_NODATA, 0 },
	{ "beside an alias the owner's own address does not count",
	  W(HEAD(OK, "\0\2") Q CNAME_(SELF, "\0\4", "\1b\xc0\x0e") A_(SELF, "\1\2\3\4")),
	  CHAIN_NODATA, 0 },
	{ "alias to nothing", W(HEAD(OK, "\0\1") Q CNAME_(SELF, "\0\4", "\1b\xc0\x0e")),
	  CHAIN_NODATA, 0 },
	{ "alias to a name that does not exist",
	  W(HEAD("\x81\x83", "\0\1") Q CNAME_(SELF, "\0\4", "\1b\xc0\x0e")), CHAIN_NXDOMAIN, 0 },
	{ "no such name", W(HEAD("\x81\x83", "\0\0") Q), CHAIN_NXDOMAIN, 0 },
	{ "no data", W(HEAD(OK, "\0\0") Q), CHAIN_NODATA, 0 },
	{ "AAAA in answer to A",
	  W(HEAD(OK, "\0\1") Q RR(SELF, "\0\x1c", "\0\x10", "0123456789abcdef")), CHAIN_NODATA, 0 },
	{ "alias of itself", W(HEAD(OK, "\0\1") Q CNAME_(SELF, "\0\2", SELF)), CHAIN_FAILED, 0 },
	{ "loop of two",
	  W(HEAD(OK, "\0\2") Q CNAME_(SELF, "\0\4", "\1b\xc0\x0e")
		    CNAME_("\1b\xc0\x0e", "\0\2", SELF)),
	  CHAIN_FAILED, 0 },
	{ "two different aliases",
	  W(HEAD(OK, "\0\2") Q CNAME_(SELF, "\0\4", "\1b\xc0\x0e")
		    CNAME_(SELF, "\0\4", "\1c\xc0\x0e")),
	  CHAIN_FAILED, 0 },
	{ "the same alias twice",
	  W(HEAD(OK, "\0\3") Q CNAME_(SELF, "\0\4", "\1b\xc0\x0e")
		    CNAME_(SELF, "\0\4", "\1b\xc0\x0e") A_("\1b\xc0\x0e", "\1\2\3\4")),
	  CHAIN_ADDRESSES, 1 },
	{ "DNAME",
	  W(HEAD(OK, "\0\2") Q RR("\xc0\x0e", "\0\x27", "\0\3", "\1z\0") A_(SELF, "\1\2\3\4")),
	  CHAIN_FAILED, 0 },
	{ "class CH in the answer", W(HEAD(OK, "\0\1") Q SELF "\0\1\0\3" TTL "\0\4\1\2\3\4"),
	  CHAIN_FAILED, 0 },
	{ "address of three bytes", W(HEAD(OK, "\0\1") Q RR(SELF, "\0\1", "\0\3", "\1\2\3")),
	  CHAIN_FAILED, 0 },
	{ "address of five bytes", W(HEAD(OK, "\0\1") Q RR(SELF, "\0\1", "\0\5", "\1\2\3\4\5")),
	  CHAIN_FAILED, 0 },
	{ "alias with a byte behind it",
	  W(HEAD(OK, "\0\1") Q CNAME_(SELF, "\0\5",
				      "\1b\xc0\x0e"
				      "x")),
	  CHAIN_FAILED, 0 },
	{ "alias longer than its record", W(HEAD(OK, "\0\1") Q CNAME_(SELF, "\0\3", "\1b\xc0\x0e")),
	  CHAIN_FAILED, 0 },
	{ "pointer to itself", W(HEAD(OK, "\0\1") Q A_("\xc0\x16", "\1\2\3\4")), CHAIN_FAILED, 0 },
	{ "pointer forwards", W(HEAD(OK, "\0\1") Q A_("\xc0\x20", "\1\2\3\4")), CHAIN_FAILED, 0 },
	{ "pointer beyond the end", W(HEAD(OK, "\0\1") Q A_("\xff\xff", "\1\2\3\4")), CHAIN_FAILED,
	  0 },
	{ "record cut", W(HEAD(OK, "\0\1") Q SELF "\0\1\0\1" TTL "\0\4\1\2\3"), CHAIN_FAILED, 0 },
	{ "one record announced, none there", W(HEAD(OK, "\0\1") Q), CHAIN_FAILED, 0 },
	{ "65535 records announced", W(HEAD(OK, "\xff\xff") Q A_(SELF, "\1\2\3\4")), CHAIN_FAILED,
	  0 },
	{ "truncated", W(HEAD("\x83\x80", "\0\1") Q A_(SELF, "\1\2\3\4")), CHAIN_FAILED, 0 },
	{ "not an answer", W(HEAD("\1\0", "\0\1") Q A_(SELF, "\1\2\3\4")), CHAIN_FAILED, 0 },
	{ "SERVFAIL", W(HEAD("\x81\x82", "\0\0") Q), CHAIN_FAILED, 0 },
	{ "REFUSED with an address", W(HEAD("\x81\x85", "\0\1") Q A_(SELF, "\1\2\3\4")),
	  CHAIN_FAILED, 0 },
	{ "another question",
	  W(HEAD(OK, "\0\1") "\1b\2ex\0"
			     "\0\1\0\1" A_(SELF, "\1\2\3\4")),
	  CHAIN_FAILED, 0 },
	{ "another type",
	  W(HEAD(OK, "\0\0") "\1a\2ex\0"
			     "\0\x1c\0\1"),
	  CHAIN_FAILED, 0 },
	{ "no question", W("\0\0" OK "\0\0\0\0\0\0\0\0"), CHAIN_FAILED, 0 },
	{ "header cut", W("\0\0" OK "\0\1"), CHAIN_FAILED, 0 },
	{ "nothing", W(""), CHAIN_FAILED, 0 },
};

TEST(chains)
{
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		AUTO(mem) void *in = check_exact(cases[i].wire, cases[i].n);
		struct chain c;

		chain_read(rd_of(in, cases[i].n), "a.ex", DNS_A, &c);
		CHECK_EQ(cases[i].what, c.result, cases[i].want);
		CHECK_EQ(cases[i].what, c.n, cases[i].addresses);
	}
}

/* a.ex -> c1.ex -> ... -> c<hops>.ex, which has an address; TTLs count down along the way. */
static size_t make_chain(uint8_t *out, size_t cap, int hops)
{
	struct wr w = wr_of(out, cap);

	wr_put(&w, W(HEAD(OK, "\0")));
	w.n -= 4; /* the counts after ANCOUNT, of which one byte is there */
	wr_u8(&w, hops + 1);
	wr_put(&w, W("\0\0\0\0" Q));
	for (int i = 0; i <= hops; i++) {
		if (i == 0)
			wr_put(&w, W(SELF));
		else
			wr_fmt(&w, "\2%c%c", 'A' + i, 'c'), wr_put(&w, W("\xc0\x0e"));
		wr_u16(&w, i < hops ? DNS_CNAME : DNS_A);
		wr_u16(&w, 1);
		wr_u32(&w, 300 - i);
		if (i < hops)
			wr_u16(&w, 5), wr_fmt(&w, "\2%c%c", 'a' + i + 1, 'C'),
				wr_put(&w, W("\xc0\x0e"));
		else
			wr_u16(&w, 4), wr_put(&w, W("\1\2\3\4"));
	}
	return wr_ok(&w) ? w.n : 0;
}

TEST(long_chains)
{
	uint8_t wire[2048];
	struct chain c;
	size_t n = make_chain(wire, sizeof(wire), CHAIN_HOPS_MAX);

	chain_read(rd_of(wire, n), "a.ex", DNS_A, &c);
	CHECK_EQ("sixteen hops", c.result, CHAIN_ADDRESSES);
	CHECK_EQ("least TTL of all", c.ttl, 300 - CHAIN_HOPS_MAX);
	n = make_chain(wire, sizeof(wire), CHAIN_HOPS_MAX + 1);
	chain_read(rd_of(wire, n), "a.ex", DNS_A, &c);
	CHECK_EQ("seventeen hops", c.result, CHAIN_FAILED);
	CHECK_EQ("and no address", c.n, 0);
}

TEST(many_addresses)
{
	uint8_t wire[2048];
	struct wr w = wr_of(wire, sizeof(wire));
	struct chain c;

	wr_put(&w, W(HEAD(OK, "\0\x28") Q));
	for (uint8_t i = 0; i < 40; i++) {
		wr_put(&w, W(SELF "\0\1\0\1" TTL "\0\4\1\2\3"));
		wr_u8(&w, i);
	}
	chain_read(wr_rd(&w), "a.ex", DNS_A, &c);
	CHECK_EQ("as many as a pin takes", c.n, MSG_ADDRS);
	CHECK_EQ("result", c.result, CHAIN_ADDRESSES);
}

TEST(v6)
{
	static const char wire[] =
		HEAD(OK, "\0\1") "\1a\2ex\0"
				 "\0\x1c\0\1" RR(SELF, "\0\x1c", "\0\x10", "0123456789abcdef");
	struct chain c;

	chain_read(rd_of(W(wire)), "a.ex", DNS_AAAA, &c);
	CHECK_EQ("result", c.result, CHAIN_ADDRESSES);
	CHECK_EQ("family", c.addr[0].family, 6);
	CHECK("bytes", !memcmp(c.addr[0].b, "0123456789abcdef", 16));
	CHECK_EQ("ttl", c.ttl, 30);
}
