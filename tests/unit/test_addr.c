/*
 * test_addr.c - addresses and prefixes
 */
#include "tests/unit/check.h"

#include <netinet/in.h>

#include "base/addr.h"

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

TEST(parse)
{
	static const struct { const char *text; uint8_t family; const char *shown; } rows[] = {
		{ "10.1.0.2", 4, "10.1.0.2" },
		{ "0.0.0.0", 4, "0.0.0.0" },
		{ "255.255.255.255", 4, "255.255.255.255" },
		{ "::", 6, "::" },
		{ "FD00:0:0::1", 6, "fd00::1" },
		{ "::ffff:1.2.3.4", 6, "::ffff:1.2.3.4" },
		{ "", 0, "" },
		{ "10.1", 0, "" },
		{ "010.1.0.2", 0, "" },
		{ "0x0a.1.0.2", 0, "" },
		{ "167837698", 0, "" },
		{ "10.1.0.256", 0, "" },
		{ "10.1.0.2 ", 0, "" },
		{ " 10.1.0.2", 0, "" },
		{ "10.1.0.2/32", 0, "" },
		{ "fe80::1%eth0", 0, "" },
		{ "[::1]", 0, "" },
		{ "1::2::3", 0, "" },
		{ "12345::", 0, "" },
		{ "1.2.3.4.5", 0, "" },
		{ "1.2.3.-4", 0, "" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct addr a = { .family = 9 };
		char text[ADDR_TEXT_MAX];

		CHECK_EQ(rows[i].text, addr_parse(rows[i].text, &a), rows[i].family != 0);
		CHECK_EQ(rows[i].text, a.family, rows[i].family);
		addr_format(&a, text);
		CHECK_STR(rows[i].text, text, rows[i].shown);
	}
}

TEST(prefix_parse)
{
	static const struct { const char *text; bool ok; } rows[] = {
		{ "10.0.0.0/8", true },
		{ "0.0.0.0/0", true },
		{ "10.1.0.2/32", true },
		{ "::/0", true },
		{ "fd00:1::/48", true },
		{ "::1/128", true },
		{ "198.18.0.0/15", true },
		{ "10.0.0.1/8", false },
		{ "198.19.0.0/14", false },
		{ "10.0.0.0/33", false },
		{ "::/129", false },
		{ "10.0.0.0", false },
		{ "10.0.0.0/", false },
		{ "10.0.0.0/08", false },
		{ "10.0.0.0/+8", false },
		{ "10.0.0.0/8 ", false },
		{ "10.0.0.0/256", false },
		{ "10.0.0.0/8/8", false },
		{ "/8", false },
		{ "10.0.0.0/1000", false },
		{ "fd00:1::1/48", false },
		{ "0000000000000000000000000000000000000000000000000000000000000000000::/8",
		  false },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct prefix p;
		char text[ADDR_TEXT_MAX];

		CHECK_EQ(rows[i].text, prefix_parse(rows[i].text, &p), rows[i].ok);
		prefix_format(&p, text);
		CHECK_STR(rows[i].text, text, rows[i].ok ? rows[i].text : "");
	}
}

TEST(prefix_of_an_address)
{
	static const struct { const char *text, *want; } rows[] = {
		{ "10.20.3.4/16", "10.20.0.0/16" }, { "10.20.0.0/16", "10.20.0.0/16" }, { "198.19.0.0/14", "198.16.0.0/14" },
		{ "fd00:1::1/48", "fd00:1::/48" }, { "255.255.255.255/0", "0.0.0.0/0" }, { "10.0.0.1/32", "10.0.0.1/32" },
		{ "10.0.0.1", "" }, { "10.0.0.1/33", "" }, { "/8", "" }, { "010.0.0.1/8", "" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		char text[ADDR_TEXT_MAX];
		struct prefix p;

		CHECK_EQ(rows[i].text, prefix_parse_any(rows[i].text, &p), *rows[i].want != 0);
		prefix_format(&p, text);
		CHECK_STR(rows[i].text, text, rows[i].want);
	}
}

TEST(prefix_has)
{
	static const struct { const char *prefix, *addr; bool want; } rows[] = {
		{ "10.0.0.0/8", "10.255.255.255", true },
		{ "10.0.0.0/8", "11.0.0.0", false },
		{ "198.18.0.0/15", "198.19.255.255", true },
		{ "198.18.0.0/15", "198.20.0.0", false },
		{ "10.1.0.2/32", "10.1.0.2", true },
		{ "10.1.0.2/32", "10.1.0.3", false },
		{ "0.0.0.0/0", "255.255.255.255", true },
		{ "0.0.0.0/0", "::", false },
		{ "::/0", "0.0.0.0", false },
		{ "fd00:1::/48", "fd00:1:0:ffff::", true },
		{ "fd00:1::/48", "fd00:1:1::", false },
		{ "::/0", "ffff::", true },
		{ "::1/128", "::1", true },
		{ "::1/128", "::", false },
		{ "8000::/1", "ffff::", true },
		{ "8000::/1", "7fff::", false },
	};
	static const struct addr none;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct prefix p = prefix(rows[i].prefix);
		struct addr a = addr(rows[i].addr);

		CHECK_EQ(rows[i].addr, prefix_has(&p, &a), rows[i].want);
		CHECK_EQ("no address is in no prefix", prefix_has(&p, &none), false);
	}
}

TEST(prefix_overlap)
{
	static const struct { const char *a, *b; bool want; } rows[] = {
		{ "10.0.0.0/8", "10.1.0.0/16", true }, { "10.0.0.0/8", "11.0.0.0/8", false },
		{ "10.0.0.0/9", "10.128.0.0/9", false }, { "0.0.0.0/0", "::/0", false },
		{ "fd00::/16", "fd00:1::/48", true },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct prefix a = prefix(rows[i].a), b = prefix(rows[i].b);

		CHECK_EQ(rows[i].a, prefix_overlap(&a, &b), rows[i].want);
		CHECK_EQ(rows[i].b, prefix_overlap(&b, &a), rows[i].want);
	}
}

TEST(plus_and_minus)
{
	static const struct { const char *base; uint64_t n; const char *sum; } rows[] = {
		{ "198.18.0.0", 0, "198.18.0.0" }, { "198.18.0.0", 256, "198.18.1.0" },
		{ "198.18.0.255", 1, "198.18.1.0" }, { "198.18.0.0", 0x1ffff, "198.19.255.255" },
		{ "255.255.255.254", 1, "255.255.255.255" },
		{ "fd63::", 256, "fd63::100" }, { "fd63::ffff:ffff", 1, "fd63::1:0:0" },
		{ "fd63::", UINT64_MAX, "fd63::ffff:ffff:ffff:ffff" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct addr base = addr(rows[i].base), want = addr(rows[i].sum);
		struct addr got = addr_plus(&base, rows[i].n);

		CHECK(rows[i].sum, addr_eq(&got, &want));
		CHECK(rows[i].base, addr_minus(&want, &base) == rows[i].n);
	}
}

TEST(what_cannot_be_is_none)
{
	struct addr last4 = addr("255.255.255.255"), last6 = addr("fd63::ffff:ffff:ffff:ffff");
	struct addr a4 = addr("10.0.0.1"), a6 = addr("fd63::1"), other6 = addr("fd64::1"),
		    none = { 0 };

	CHECK_EQ("IPv4 does not wrap", addr_plus(&last4, 1).family, 0);
	CHECK_EQ("beyond IPv4", addr_plus(&a4, 1ull << 32).family, 0);
	CHECK_EQ("IPv6 does not wrap", addr_plus(&last6, 1).family, 0);
	CHECK_EQ("none has no successor", addr_plus(&none, 1).family, 0);
	CHECK("other family", addr_minus(&a4, &a6) == UINT64_MAX);
	CHECK("below", addr_minus(&a4, &last4) == UINT64_MAX);
	CHECK("other network", addr_minus(&other6, &a6) == UINT64_MAX);
	CHECK("none", addr_minus(&none, &none) == UINT64_MAX);
	CHECK("families differ", !addr_eq(&a4, &a6) && !addr_eq(&none, &a4));
}

TEST(sockaddr)
{
	static const char *const texts[] = { "10.1.0.2", "fd00:1::2" };
	struct sockaddr_storage ss;
	struct addr back, mapped = addr("::ffff:10.1.0.2"), plain = addr("10.1.0.2"), none = { 0 };
	uint16_t port = 0;

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		struct addr a = addr(texts[i]);

		CHECK_EQ(texts[i], addr_to_sockaddr(&a, 443, &ss),
			 i ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in));
		CHECK(texts[i],
		      addr_from_sockaddr(&ss, &back, &port) && addr_eq(&a, &back) && port == 443);
	}
	addr_to_sockaddr(&mapped, 80, &ss);
	CHECK("mapped is IPv4", addr_from_sockaddr(&ss, &back, NULL) && addr_eq(&back, &plain));
	CHECK_EQ("none", addr_to_sockaddr(&none, 1, &ss), 0);
	CHECK("unknown family",
	      !addr_from_sockaddr(&ss, &back, &port) && back.family == 0 && port == 0);
}
