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
	CHECK_STR("chain", w.chain, "grant_inspect");

	e = elem(MAP_IDENTITY, "fd00:1::2");
	CHECK("identity", element_encode(&e, &w));
	CHECK_EQ("identity key", w.key_n, 40);
	CHECK("mac padded", !memcmp(w.key + 16, "\2\0\0\0\0\7\0\0", 8));
	CHECK("mark", w.data_n == 4 && !memcmp(w.data, &mark, 4));
}

TEST(round_trip)
{
	static const struct { enum ruleset_map map; const char *addr, *real; } rows[] = {
		{ MAP_IDENTITY, "10.1.0.2", NULL }, { MAP_IDENTITY, "fd00:1::2", NULL },
		{ MAP_GRANTS, "198.18.1.0", NULL }, { MAP_GRANTS, "fd63:6f72:646f::100", NULL },
		{ MAP_REAL, "198.18.1.0", "93.184.216.34" }, { MAP_REAL, "fd63:6f72:646f::100", "2606:2800::1" },
		{ MAP_NAMES, "198.18.1.0", NULL }, { MAP_NAMES, "fd63:6f72:646f::100", NULL },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct ruleset_elem e = elem(rows[i].map, rows[i].addr), back;
		struct element_wire w;

		if (rows[i].real)
			e.real = addr(rows[i].real);
		CHECK(rows[i].addr, element_encode(&e, &w));
		AUTO(mem) void *key = check_exact(w.key, w.key_n);
		AUTO(mem) void *data = check_exact(w.data, w.data_n);
		CHECK(rows[i].addr, element_decode(e.map, e.addr.family, rd_of(key, w.key_n),
						   rd_of(data, w.data_n), w.chain, &back));
		CHECK(rows[i].addr, addr_eq(&e.addr, &back.addr));
		CHECK("real", !rows[i].real || addr_eq(&e.real, &back.real));
		CHECK("mark", e.map == MAP_REAL || e.map == MAP_NAMES || e.mark == back.mark);
		CHECK("port", e.map != MAP_GRANTS || (back.port == 443 && back.action == GRANT_INSPECT));
		CHECK("interface", e.map != MAP_IDENTITY || !strcmp(back.interface, "tap0"));
	}
}

/* Somebody else's elements: left out, not guessed at. */
TEST(foreign)
{
	struct ruleset_elem e = elem(MAP_GRANTS, "198.18.1.0"), back;
	struct element_wire w;

	CHECK("encode", element_encode(&e, &w));
	CHECK("another chain", !element_decode(MAP_GRANTS, 4, rd_of(w.key, w.key_n), rd_of("", 0), "accept", &back));
	CHECK("no chain", !element_decode(MAP_GRANTS, 4, rd_of(w.key, w.key_n), rd_of("", 0), NULL, &back));
	CHECK("short", !element_decode(MAP_GRANTS, 4, rd_of(w.key, w.key_n - 1), rd_of("", 0), w.chain, &back));
	CHECK("long", !element_decode(MAP_GRANTS, 4, rd_of(w.key, w.key_n + 4), rd_of("", 0), w.chain, &back));
	CHECK("other family", !element_decode(MAP_GRANTS, 6, rd_of(w.key, w.key_n), rd_of("", 0), w.chain, &back));
	e.action = (enum grant_action)99;
	CHECK("unknown action has no chain", element_encode(&e, &w) && !w.chain);
	e.addr.family = 0;
	CHECK("no family", !element_encode(&e, &w));
}
