/*
 * test_element.c - set elements to the kernel's bytes and back
 */
#include "tests/unit/check.h"

#include <netinet/in.h>

#include "nft/element.h"

static struct addr addr(const char *text)
{
	struct addr a;

	CHECK(text, addr_parse(text, &a));
	return a;
}

static struct ruleset_elem elem(enum ruleset_map map, const char *text)
{
	return (struct ruleset_elem){ .map = map, .addr = addr(text), .interface = "tap0",
				      .mac = { 2, 0, 0, 0, 0, 7 }, .mark = 0x0001002a, .proto = IPPROTO_TCP,
				      .port = 443, .action = GRANT_INSPECT };
}

TEST(set_names)
{
	CHECK_STR("v4", element_set_name(MAP_IDENTITY, 4), "identity4");
	CHECK_STR("v6", element_set_name(MAP_GRANTS, 6), "grants6");
	CHECK_STR("one for both", element_set_name(MAP_DHCP, 0), "dhcp");
	CHECK("no family", !element_set_name(MAP_NAMES, 0));
	CHECK("no such map", !element_set_name((enum ruleset_map)99, 4));
}

/* The layout that nft itself gives these types: fields padded to four bytes. */
TEST(layout)
{
	struct ruleset_elem e = elem(MAP_GRANTS, "198.18.1.0");
	struct element_wire w;
	uint32_t mark = 0x0001002a;

	CHECK("grant", element_encode(&e, &w));
	CHECK_EQ("grant key", w.key_n, 16);
	CHECK("mark in host order", !memcmp(w.key, &mark, 4));
	CHECK("address, protocol, port", !memcmp(w.key + 4, "\xc6\x12\1\0" "\6\0\0\0" "\1\xbb\0\0", 12));
	CHECK("value", w.data_n == 4 && *(uint32_t *)w.data == 9);

	e = elem(MAP_IDENTITY, "fd00:1::2");
	CHECK("identity", element_encode(&e, &w));
	CHECK_EQ("identity key", w.key_n, 40);
	CHECK("mac padded", !memcmp(w.key + 16, "\2\0\0\0\0\7\0\0", 8));
	CHECK("mark", w.data_n == 4 && !memcmp(w.data, &mark, 4));
}

/* A range is its first and its last address; what is no interval begins and ends alike. */
TEST(range)
{
	struct ruleset_elem e = elem(MAP_RANGES, "10.20.0.0");
	struct element_wire w;

	e.bits = 15;
	CHECK("range", element_encode(&e, &w));
	CHECK_EQ("end", w.end_n, w.key_n);
	e.mark = 0x00050000;
	CHECK("encodes", element_encode(&e, &w));
	CHECK("mark in network order", !memcmp(w.key, "\0\5\0\0", 4) && !memcmp(w.end, "\0\5\0\0", 4));
	CHECK("first", !memcmp(w.key + 4, "\x0a\x14\0\0" "\6\0\0\0" "\1\xbb\0\0", 12));
	CHECK("last", !memcmp(w.end + 4, "\x0a\x15\xff\xff" "\6\0\0\0" "\1\xbb\0\0", 12));
	e.bits = 33;
	CHECK("too many bits", !element_encode(&e, &w));
}

TEST(round_trip)
{
	static const struct { enum ruleset_map map; const char *addr, *real; uint8_t bits; } rows[] = {
		{ MAP_IDENTITY, "10.1.0.2" }, { MAP_IDENTITY, "fd00:1::2" },
		{ MAP_GRANTS, "198.18.1.0" }, { MAP_GRANTS, "fd63:6f72:646f::100" },
		{ MAP_REAL, "198.18.1.0", "93.184.216.34" }, { MAP_REAL, "fd63:6f72:646f::100", "2606:2800::1" },
		{ MAP_NAMES, "198.18.1.0" }, { MAP_NAMES, "fd63:6f72:646f::100" },
		{ MAP_RANGES, "10.20.0.0", NULL, 16 }, { MAP_RANGES, "10.20.0.1", NULL, 32 },
		{ MAP_RANGES, "fd00:2::", NULL, 47 }, { MAP_NEIGHBOURS, "10.1.0.2" }, { MAP_DHCP, "10.1.0.2" },
		{ MAP_FLOWS, "10.1.0.2" }, { MAP_USED, "198.18.1.0" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct ruleset_elem e = elem(rows[i].map, rows[i].addr), back;
		struct element_wire w;
		bool grant = e.map == MAP_GRANTS || e.map == MAP_RANGES;

		e.bits = rows[i].bits;
		if (rows[i].real)
			e.real = addr(rows[i].real);
		CHECK(rows[i].addr, element_encode(&e, &w));
		AUTO(mem) void *key = check_exact(w.key, w.key_n);
		AUTO(mem) void *end = check_exact(w.end, w.end_n);
		AUTO(mem) void *data = check_exact(w.data, w.data_n);
		struct element_raw raw = { rd_of(key, w.key_n), rd_of(end, w.end_n), rd_of(data, w.data_n) };

		CHECK(rows[i].addr, element_decode(e.map, e.addr.family, &raw, &back));
		CHECK(rows[i].addr, e.map == MAP_DHCP || e.map == MAP_FLOWS || addr_eq(&e.addr, &back.addr));
		CHECK("real", !rows[i].real || addr_eq(&e.real, &back.real));
		CHECK("mark", (!grant && e.map != MAP_IDENTITY && e.map != MAP_FLOWS) || e.mark == back.mark);
		CHECK("port", !grant || (back.port == 443 && back.action == GRANT_INSPECT));
		CHECK_EQ("bits", back.bits, rows[i].bits);
		CHECK("interface", (e.map != MAP_IDENTITY && e.map != MAP_NEIGHBOURS && e.map != MAP_DHCP) ||
				   !strcmp(back.interface, "tap0"));
	}
}

static bool decodes(enum ruleset_map map, uint8_t family, const void *key, size_t n, const void *data, size_t data_n)
{
	struct element_raw raw = { rd_of(key, n), rd_of(NULL, 0), rd_of(data, data_n) };
	struct ruleset_elem back;

	return element_decode(map, family, &raw, &back);
}

/* Somebody else's elements: left out, not guessed at. */
TEST(foreign)
{
	struct ruleset_elem e = elem(MAP_GRANTS, "198.18.1.0");
	struct element_wire w;
	uint32_t unknown = 7;

	CHECK("encode", element_encode(&e, &w));
	CHECK("as written", decodes(MAP_GRANTS, 4, w.key, w.key_n, w.data, w.data_n));
	CHECK("another value", !decodes(MAP_GRANTS, 4, w.key, w.key_n, &unknown, sizeof(unknown)));
	CHECK("no value", !decodes(MAP_GRANTS, 4, w.key, w.key_n, NULL, 0));
	CHECK("short", !decodes(MAP_GRANTS, 4, w.key, w.key_n - 1, w.data, w.data_n));
	CHECK("long", !decodes(MAP_GRANTS, 4, w.key, w.key_n + 4, w.data, w.data_n));
	CHECK("other family", !decodes(MAP_GRANTS, 6, w.key, w.key_n, w.data, w.data_n));
	CHECK("a range without an end", !decodes(MAP_RANGES, 4, w.key, w.key_n, w.data, w.data_n));
	e.action = (enum grant_action)99;
	CHECK("unknown action has no value", element_encode(&e, &w) && !w.data_n);
	e.addr.family = 0;
	CHECK("no family", !element_encode(&e, &w));
}
