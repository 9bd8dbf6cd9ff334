/*
 * test_policy_address.c - what a name may resolve to (threats A10), and the pool's arithmetic
 */
#include "tests/unit/check.h"

#include "policy/address.h"

static struct addr addr(const char *text)
{
	struct addr a;

	CHECK(text, addr_parse(text, &a));
	return a;
}

static struct prefix prefix(const char *text)
{
	struct prefix p;

	CHECK(text, prefix_parse(text, &p));
	return p;
}

TEST(classes)
{
	enum { F = ADDRESS_FORBIDDEN, PRIV = ADDRESS_PRIVATE, PUB = ADDRESS_PUBLIC };
	static const struct { const char *text; int want; } rows[] = {
		{ "8.8.8.8", PUB }, { "140.82.121.3", PUB }, { "203.0.113.7", F }, { "2606:4700::1111", PUB },
		{ "2001:db8::1", F }, { "2001:db9::1", PUB }, { "2a00::1", PUB }, { "3fff::1", F }, { "3fff:1000::1", PUB },
		{ "192.0.2.1", F }, { "192.0.3.1", PUB }, { "198.51.100.9", F }, { "198.51.101.0", PUB },
		{ "64:ff9b::192.0.2.1", F },
		{ "0.0.0.0", F }, { "0.1.2.3", F }, { "127.0.0.1", F }, { "127.255.255.254", F },
		{ "126.255.255.255", PUB }, { "128.0.0.0", PUB },
		{ "169.254.169.254", F }, { "169.254.170.2", F }, { "169.253.255.255", PUB }, { "169.255.0.0", PUB },
		{ "168.63.129.16", F }, { "168.63.129.17", PUB }, { "100.100.100.200", F },
		{ "10.0.0.1", PRIV }, { "10.255.255.255", PRIV }, { "9.255.255.255", PUB }, { "11.0.0.0", PUB },
		{ "172.16.0.1", PRIV }, { "172.31.255.255", PRIV }, { "172.15.255.255", PUB }, { "172.32.0.0", PUB },
		{ "192.168.1.1", PRIV }, { "192.167.255.255", PUB }, { "192.169.0.0", PUB },
		{ "100.64.0.1", PRIV }, { "100.127.255.255", PRIV }, { "100.63.255.255", PUB }, { "100.128.0.0", PUB },
		{ "192.0.0.1", F }, { "192.0.0.192", F }, { "192.0.1.0", PUB }, { "192.88.99.1", F },
		{ "198.18.0.1", F }, { "198.19.255.255", F }, { "198.17.255.255", PUB }, { "198.20.0.0", PUB },
		{ "224.0.0.1", F }, { "239.255.255.255", F }, { "240.0.0.1", F }, { "255.255.255.255", F },
		{ "223.255.255.255", PUB },
		{ "::", F }, { "::1", F }, { "::2", F }, { "::127.0.0.1", F }, { "::8.8.8.8", F },
		{ "::ffff:127.0.0.1", F }, { "::ffff:10.0.0.1", F }, { "::ffff:8.8.8.8", F }, { "::ffff:0:8.8.8.8", F },
		{ "64:ff9b::8.8.8.8", PUB }, { "64:ff9b::127.0.0.1", F }, { "64:ff9b::10.0.0.1", F },
		{ "64:ff9b::169.254.169.254", F }, { "64:ff9b::198.18.0.1", F }, { "64:ff9b::100.64.0.1", F },
		{ "64:ff9b::93.184.216.9", F /* of this host, see the context */ },
		{ "64:ff9b:1::8.8.8.8", F }, { "64:ff9b:1:ffff::1", F }, { "100::1", F }, { "100:0:0:1::1", PUB },
		{ "2002:7f00:1::1", F }, { "2002:808:808::1", F }, { "2001::1", F }, { "2001:0:7f00:1::", F },
		{ "2001:1::1", PUB }, { "2001:10::1", F }, { "2001:20::1", F }, { "2003::1", PUB },
		{ "fe80::1", F }, { "febf::1", F }, { "fec0::1", F }, { "ff02::1", F }, { "5f00::1", F },
		{ "fc00::1", PRIV }, { "fd12:3456::1", PRIV }, { "fdff::1", PRIV }, { "fb00::1", PUB },
		{ "fd00:ec2::254", F }, { "fd20:ce::254", F }, { "fd00:42::42", F },
		{ "93.184.216.9", F }, { "2606:2800:1::5", F }, { "2606:2800:2::5", PUB },
		{ "10.1.0.2", F }, { "10.2.0.2", PRIV }, { "fd63:6f72:646f::1", F }, { "fd63:6f72:6470::1", PRIV },
	};
	struct prefix own[] = {
		prefix("93.184.216.9/32"), prefix("2606:2800:1::/48"), prefix("10.1.0.0/16"),
		prefix("fd63:6f72:646f::/64"),
	};
	struct address_context ctx = { own, ARRAY_SIZE(own) };

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct addr a = addr(rows[i].text);

		CHECK_EQ(rows[i].text, address_classify(&a, &ctx), rows[i].want);
		CHECK_EQ(rows[i].text, address_usable(&a, &ctx, false), rows[i].want == PUB);
		CHECK_EQ(rows[i].text, address_usable(&a, &ctx, true), rows[i].want != F);
	}
}

TEST(no_address_is_forbidden)
{
	struct addr none = { 0 }, odd = { .family = 7, .b = { 8, 8, 8, 8 } };
	struct addr good = addr("8.8.8.8");

	CHECK_EQ("family 0", address_classify(&none, NULL), ADDRESS_FORBIDDEN);
	CHECK_EQ("family 7", address_classify(&odd, NULL), ADDRESS_FORBIDDEN);
	CHECK_EQ("without a context", address_classify(&good, NULL), ADDRESS_PUBLIC);
}

TEST(what_no_prefix_may_hold)
{
	static const struct { const char *prefix, *want, *part; } rows[] = {
		{ "10.20.0.0/16", NULL, NULL }, { "8.8.8.0/24", NULL, NULL }, { "2a04::/32", NULL, NULL },
		{ "fc00::/8", NULL, NULL }, { "fd00::/8", "the metadata service of AWS", "fd00:ec2::/32" },
		{ "0.0.0.0/32", "this network", "0.0.0.0/8" }, { "255.255.255.255/32", "reserved", "240.0.0.0/4" },
		{ "128.0.0.0/1", "the metadata service of Azure", "168.63.129.16/32" },
		{ "168.63.129.16/32", "the metadata service of Azure", "168.63.129.16/32" },
		{ "64:ff9b::/95", "IPv4 addresses behind NAT64", "64:ff9b::/96" },
		{ "::1/128", "loopback and IPv4 inside", "::/96" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct prefix p = prefix(rows[i].prefix), part;
		const char *what = address_forbids(&p, NULL, &part);
		char text[ADDR_TEXT_MAX];

		CHECK_STR(rows[i].prefix, what ? what : "", rows[i].want ? rows[i].want : "");
		prefix_format(&part, text);
		if (rows[i].part)
			CHECK_STR(rows[i].prefix, text, rows[i].part);
	}
}

static const struct pool *pool_of(const char *v4, const char *v6)
{
	static struct pool p;

	p = (struct pool){ prefix(v4), prefix(v6) };
	return &p;
}

TEST(pool_size)
{
	static const struct { const char *what, *v4, *v6; uint32_t want; } rows[] = {
		{ "v4 is the smaller", "198.18.0.0/15", "fd63:6f72:646f::/64", 1 << 17 },
		{ "v6 is the smaller", "198.18.0.0/15", "fd00::/112", 1 << 16 },
		{ "capped", "10.0.0.0/8", "fd00::/64", 1 << 24 },
		{ "capped, all of IPv4", "0.0.0.0/0", "::/0", 1 << 24 },
		{ "one address", "10.0.0.1/32", "fd00::/64", 1 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		CHECK_EQ(rows[i].what, pool_size(pool_of(rows[i].v4, rows[i].v6)), rows[i].want);
}

TEST(pool_index)
{
	static const struct { const char *text; bool in; uint32_t index; } rows[] = {
		{ "198.18.0.0", true, 0 }, { "198.18.0.53", true, 53 }, { "198.18.1.0", true, POOL_FIRST_NAME },
		{ "198.19.255.255", true, 0x1ffff }, { "198.20.0.0", false, 0 }, { "198.17.255.255", false, 0 },
		{ "fd63:6f72:646f::", true, 0 }, { "fd63:6f72:646f::100", true, POOL_FIRST_NAME },
		{ "fd63:6f72:646f::1:ffff", true, 0x1ffff }, { "fd63:6f72:646f::2:0", false, 0 },
		{ "fd63:6f72:646f:0:1::", false, 0 }, { "fd63:6f72:646e:ffff:ffff:ffff:ffff:ffff", false, 0 },
		{ "8.8.8.8", false, 0 }, { "::1", false, 0 },
	};
	const struct pool *p = pool_of("198.18.0.0/15", "fd63:6f72:646f::/64");

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct addr a = addr(rows[i].text), back;
		uint32_t index = 7;

		CHECK_EQ(rows[i].text, pool_index(p, &a, &index), rows[i].in);
		CHECK_EQ(rows[i].text, index, rows[i].index);
		back = a.family == 4 ? pool_addr4(p, index) : pool_addr6(p, index);
		CHECK_EQ(rows[i].text, addr_eq(&a, &back), rows[i].in);
	}
}
