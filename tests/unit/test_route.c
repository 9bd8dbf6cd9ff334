/*
 * test_route.c - targets of the explicit route, and its tokens
 */
#include "gitproxy/front/route.h"

#include "policy/scope.h"
#include "tests/unit/check.h"

#define T "0123456789abcdef0123456789abcdef01234567"

static const struct { const char *target, *host, *rest; } good[] = {
	{ "/git/" T "/github.com/acme/widgets.git/info/refs?service=git-upload-pack", "github.com",
	  "/acme/widgets.git/info/refs?service=git-upload-pack" },
	{ "/git/" T "/github.com/", "github.com", "/" },
	{ "/git/" T "/github.com//git/" T "/x", "github.com", "//git/" T "/x" },
	{ "/git/" T "/git/acme", "git", "/acme" },
};

TEST(accepted)
{
	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		size_t n = strlen(good[i].target);
		AUTO(mem) void *in = check_exact(good[i].target, n);
		struct route r = { 0 };

		CHECK_EQ(good[i].target, route_parse(rd_of(in, n), &r), PARSE_OK);
		CHECK(good[i].target, rd_eq_str(r.scope, T) && rd_eq_str(r.target, good[i].rest));
		CHECK_STR(good[i].target, r.host, good[i].host);
		CHECK(good[i].target, route_is(rd_of(in, n)));
	}
}

static const char *const bad[] = {
	"",
	"/",
	"/git",
	"/git/",
	"/git/" T,
	"/git/" T "/",
	"/git/" T "/github.com",
	"/git/" T "//acme/widgets",
	"/git//github.com/acme/widgets",
	"/git/" T "0/github.com/acme",
	"/git/0123456789abcdef0123456789abcdef0123456/github.com/acme",
	"/git/0123456789ABCDEF0123456789abcdef01234567/github.com/acme",
	"/git/0123456789abcdef0123456789abcdef0123456g/github.com/acme",
	"/git/%30123456789abcdef0123456789abcdef012345/github.com/acme",
	"/Git/" T "/github.com/acme",
	"//git/" T "/github.com/acme",
	"/git/" T "/GitHub.com/acme",
	"/git/" T "/github.com./acme",
	"/git/" T "/github.com:443/acme",
	"/git/" T "/user@github.com/acme",
	"/git/" T "/140.82.121.4/acme",
	"/git/" T "/../acme",
	"/git/" T "/github%2ecom/acme",
	"/git/" T "?/github.com/acme",
};

TEST(refused)
{
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		size_t n = strlen(bad[i]);
		AUTO(mem) void *in = check_exact(bad[i], n);
		struct route r = { .host = "untouched" };

		CHECK_EQ(bad[i], route_parse(rd_of(in, n), &r), PARSE_BAD);
		CHECK_STR(bad[i], r.host, "untouched");
	}
}

static const struct { const char *host, *address; uint16_t port; bool ok; } hosts[] = {
	{ "10.1.0.1:8085", "10.1.0.1", 8085, true },
	{ "[fd00:1::1]:8085", "fd00:1::1", 8085, true },
	{ "[FD00:1::1]:8085", "fd00:1::1", 8085, true },
	{ "10.1.0.1", "10.1.0.1", 80, true },
	{ "10.1.0.1:80", "10.1.0.1", 80, true },
	{ "10.1.0.1", "10.1.0.1", 8085, false },
	{ "10.1.0.1:80855", "10.1.0.1", 8085, false },
	{ "10.1.0.1:808", "10.1.0.1", 8085, false },
	{ "10.1.0.2:8085", "10.1.0.1", 8085, false },
	{ "fd00:1::1:8085", "fd00:1::1", 8085, false },
	{ "github.com", "10.1.0.1", 8085, false },
	{ "", "10.1.0.1", 80, false },
};

TEST(host_field)
{
	for (size_t i = 0; i < ARRAY_SIZE(hosts); i++) {
		struct addr a;

		CHECK("address", addr_parse(hosts[i].address, &a));
		CHECK_EQ(hosts[i].host, route_host_is(rd_str(hosts[i].host), &a, hosts[i].port),
			 hosts[i].ok);
	}
}

TEST(tokens)
{
	uint8_t random[SCOPE_BYTES] = { 0, 1, 0xfe, 0xff }, one[SCOPE_HASH], other[SCOPE_HASH];
	char text[SCOPE_TEXT + 1];

	scope_format(random, text);
	CHECK_STR("format", text, "0001feff00000000000000000000000000000000");
	CHECK("hash", scope_hash(rd_str(text), one));
	CHECK("again", scope_hash(rd_str(text), other) && !memcmp(one, other, sizeof(one)));
	text[SCOPE_TEXT - 1] = '1';
	CHECK("another", scope_hash(rd_str(text), other) && memcmp(one, other, sizeof(one)));
	text[SCOPE_TEXT - 1] = 'x';
	CHECK("no token", !scope_hash(rd_str(text), other));
	CHECK("empty", !scope_ok((struct rd){ 0 }));
}
