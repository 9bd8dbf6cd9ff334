/*
 * test_http_fields.c - which fields are passed on, what is DNS over HTTPS, where a Location leads
 */
#include "gitproxy/http_fields.h"
#include "gitproxy/http_location.h"

#include "tests/unit/check.h"

TEST(names)
{
	static const struct { const char *name; bool server, client; } rows[] = {
		{ "Accept", true, true }, { "Authorization", true, true }, { "Cookie", true, true },
		{ "X-Api-Key", true, true }, { "ETag", true, true }, { "Range", true, true },
		{ "Host", false, true }, { "Expect", false, true }, { "Via", false, true },
		{ "Connection", false, false }, { "keep-alive", false, false }, { "TE", false, false },
		{ "TRANSFER-ENCODING", false, false }, { "Content-Length", false, false },
		{ "Upgrade", false, false }, { "Upgrade-Insecure-Requests", true, true },
		{ "Proxy-Authorization", false, false }, { "Proxy-Anything", false, false },
		{ "Proxy", true, true }, { "X-Cordon-Reason", false, false },
		{ "X-Forwarded-For", false, true }, { "x-forwarded-x", false, true },
		{ "X-HTTP-Method-Override", false, true }, { "X-HTTP-Method", false, true },
		{ "X-Original-URL", false, true }, { "X_Forwarded_For", false, false },
		{ "X.Forwarded.For", false, false }, { "Set-Cookie", true, false },
		{ "Strict-Transport-Security", true, true }, { "Link", true, true },
		{ "Content-Security-Policy", true, true }, { "Public-Key-Pins", true, false },
		{ "Expect-CT", true, false }, { "Sec-WebSocket-Key", false, false },
		{ "Sec-Fetch-Mode", true, true }, { "Trailer", false, false },
		{ "Alt-Svc", true, false }, { "WWW-Authenticate", true, false }, { "Refresh", true, false },
		{ "", false, false }, { "A B", false, false }, { "A\r", false, false },
		{ "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", true, true },
		{ "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab", false, false },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		AUTO(mem) void *name = check_exact(rows[i].name, strlen(rows[i].name));
		struct rd r = rd_of(name, strlen(rows[i].name));

		CHECK_EQ(rows[i].name, http_field_passes(r, HTTP_TO_SERVER), rows[i].server);
		CHECK_EQ(rows[i].name, http_field_passes(r, HTTP_TO_CLIENT), rows[i].client);
	}
}

TEST(names_of_an_upgrade)
{
	static const struct { const char *name; bool server, client; } rows[] = {
		{ "Sec-WebSocket-Key", true, false }, { "sec-websocket-version", true, false },
		{ "Sec-WebSocket-Protocol", true, true }, { "Sec-WebSocket-Extensions", true, true },
		{ "Sec-WebSocket-Accept", false, true }, { "Sec-WebSocket-Other", false, false },
		{ "Upgrade", false, false }, { "Connection", false, false }, { "Host", false, true },
		{ "Cookie", true, true }, { "Set-Cookie", true, false },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct rd r = rd_str(rows[i].name);

		CHECK_EQ(rows[i].name, http_field_passes(r, HTTP_UPGRADE_TO_SERVER), rows[i].server);
		CHECK_EQ(rows[i].name, http_field_passes(r, HTTP_UPGRADE_TO_CLIENT), rows[i].client);
	}
}

TEST(copies)
{
	static const struct { const char *what, *lines, *want; } rows[] = {
		{ "none", "", "" },
		{ "one", "A: b\r\n", "A: b\n" },
		{ "trimmed", "A:\t b c \t\r\n", "A: b c\n" },
		{ "empty value", "A:\r\n", "A: \n" },
		{ "kept back", "Host: x\r\nA: b\r\nVia: y\r\nCookie: c\r\n", "A: b\nCookie: c\n" },
		{ "connection that is known", "Connection: Keep-Alive , close,,TE\r\n", "" },
		{ "connection that is not", "Connection: close, Authorization\r\n", NULL },
		{ "a byte above 0x7f", "A: \xe9\r\n", NULL },
		{ "the same where it is kept back", "Via: \xe9\r\n", "" },
		{ "tab inside", "A: b\tc\r\n", NULL },
		{ "no end", "A: b", NULL },
		{ "no colon", "A\r\n", NULL },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		size_t n = strlen(rows[i].lines);
		AUTO(mem) void *lines = check_exact(rows[i].lines, n);
		char out[64];
		struct wr w = wr_of(out, sizeof(out));
		bool ok = http_fields_copy(rd_of(lines, n), HTTP_TO_SERVER, &w);

		CHECK_EQ(rows[i].what, ok, rows[i].want != NULL);
		if (ok && rows[i].want) {
			CHECK(rows[i].what, rd_eq_str(wr_rd(&w), rows[i].want));
			CHECK(rows[i].what, http_fields_ok(wr_rd(&w), HTTP_TO_SERVER));
		}
	}
}

TEST(fields_that_connection_names)
{
	static const struct { const char *what, *block, *connection, *want; } rows[] = {
		{ "none", "A: b\nC: d\n", "", "A: b\nC: d\n" },
		{ "the first", "A: b\nC: d\n", "a", "C: d\n" },
		{ "the last, in a list", "A: b\nC: d\n", "close, ,C ,x", "A: b\n" },
		{ "all", "A: b\nC: d\n", "a,c", "" },
		{ "twice there", "A: b\nC: d\na: e\n", "A", "C: d\n" },
		{ "part of a name", "A: b\nAB: d\n", "AB C,B", "A: b\nAB: d\n" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		size_t n = strlen(rows[i].block);
		AUTO(mem) void *block = check_exact(rows[i].block, n);
		char out[64];
		struct wr w = wr_of(out, sizeof(out));

		CHECK(rows[i].what, http_fields_without(rd_of(block, n), rd_str(rows[i].connection), &w));
		CHECK(rows[i].what, rd_eq_str(wr_rd(&w), rows[i].want));
	}
}

TEST(no_room)
{
	char out[5];
	struct wr w = wr_of(out, sizeof(out)), less = wr_of(out, sizeof(out) - 1);

	CHECK("fits", http_fields_copy(rd_str("A: b\r\n"), HTTP_TO_SERVER, &w));
	CHECK("one byte less", !http_fields_copy(rd_str("A: b\r\n"), HTTP_TO_SERVER, &less));
}

TEST(blocks)
{
	static const struct { const char *text; bool ok; } rows[] = {
		{ "", true }, { "A: b\n", true }, { "A: \n", true }, { "A: b\nB: c\n", true },
		{ "A: b", false }, { "A:b\n", false }, { "A: b\r\n", false }, { "A:  b\n", false },
		{ "A: b \n", false }, { ": b\n", false }, { "\n", false }, { "A: b\n\n", false },
		{ "Host: b\n", false }, { "A: \x01\n", false }, { "A: \x7f\n", false },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		AUTO(mem) void *text = check_exact(rows[i].text, strlen(rows[i].text));

		CHECK_EQ(rows[i].text, http_fields_ok(rd_of(text, strlen(rows[i].text)), HTTP_TO_SERVER),
			 rows[i].ok);
	}
}

TEST(dns_over_https)
{
	static const struct { const char *target, *block; bool doh; } rows[] = {
		{ "/a", "", false }, { "/a?b=dns", "", false }, { "/a?dnsx=1", "", false },
		{ "/a?xdns=1", "", false }, { "/a?DNS=1", "", false }, { "/resolve", "", false },
		{ "/resolve?q=1", "", false }, { "/a?name=1", "", false }, { "/resolver?name=1", "", false },
		{ "/a", "X: application/dns-message\n", false }, { "/a?%64=1&%6", "", false },
		{ "/a?dns=1", "", true }, { "/a?dns", "", true }, { "/a?x=1&dns=1", "", true },
		{ "/a?x=1;dns=1", "", true }, { "/a?%64%6e%73=1", "", true }, { "/a?%64%6E%73", "", true },
		{ "/resolve?name=x", "", true }, { "/dns/Resolve?a=b&name=x", "", true },
		{ "/a", "Accept: application/dns-message\n", true },
		{ "/a", "X: y\nACCEPT: */*, Application/DNS-JSON;q=1\n", true },
		{ "/a", "Content-Type: application/oblivious-dns-message\n", true },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		AUTO(mem) void *target = check_exact(rows[i].target, strlen(rows[i].target));
		struct rd path, query;

		http_target_split(rd_of(target, strlen(rows[i].target)), &path, &query);
		CHECK_EQ(rows[i].target, http_is_doh(path, query, rd_str(rows[i].block)), rows[i].doh);
	}
}

TEST(locations)
{
	static const struct { const char *value, *host; bool tls; uint16_t port; } rows[] = {
		{ "/a", "", true, 0 }, { "a/b:c", "", true, 0 }, { "?a=b:c", "", true, 0 },
		{ "#x", "", true, 0 }, { "../a", "", true, 0 },
		{ "https://A.example/x", "a.example", true, 443 },
		{ "HTTPS://a.example.", "a.example", true, 443 },
		{ "http://a.example?x", "a.example", false, 80 },
		{ "https://a.example:8443#x", "a.example", true, 8443 },
		{ "//a.example/x", "a.example", true, 443 },
		{ "", NULL, false, 0 }, { "https://", NULL, false, 0 }, { "https:///a", NULL, false, 0 },
		{ "https:a", NULL, false, 0 }, { "ftp://a.example/", NULL, false, 0 },
		{ "javascript:x", NULL, false, 0 }, { "/\\a.example", NULL, false, 0 },
		{ "https://u@a.example/", NULL, false, 0 }, { "https://u:p@a.example/", NULL, false, 0 },
		{ "https://1.2.3.4/", NULL, false, 0 }, { "https://[::1]/", NULL, false, 0 },
		{ "https://a.example:/", NULL, false, 0 }, { "https://a.example:0/", NULL, false, 0 },
		{ "https://a.example:65536/", NULL, false, 0 }, { "https://a.example:4a/", NULL, false, 0 },
		{ "https://a.example:443443/", NULL, false, 0 }, { "https://a%2eexample/", NULL, false, 0 },
		{ "/a b", NULL, false, 0 }, { "/\xc3\xa9", NULL, false, 0 }, { "//", NULL, false, 0 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		size_t n = strlen(rows[i].value);
		AUTO(mem) void *value = check_exact(rows[i].value, n);
		struct http_location l = { 0 };

		CHECK_EQ(rows[i].value, http_location_parse(rd_of(value, n), true, &l),
			 rows[i].host ? PARSE_OK : PARSE_BAD);
		CHECK_STR(rows[i].value, l.host, rows[i].host ? rows[i].host : "");
		CHECK_EQ(rows[i].value, l.relative, rows[i].host && !rows[i].host[0]);
		CHECK_EQ(rows[i].value, l.tls, rows[i].tls);
		CHECK_EQ(rows[i].value, l.port, rows[i].port);
	}
}
