/*
 * test_websocket.c - the handshake of an upgrade: what is one, and which answer fits it (RFC 6455 s4)
 */
#include "gitproxy/websocket.h"
#include "gitproxy/http_fields.h"

#include "tests/unit/check.h"

/* The example of RFC 6455 s1.3. */
#define KEY    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\n"
#define V13    "Sec-WebSocket-Version: 13\n"
#define UP     "Upgrade: websocket\r\n"
#define CONN   "Connection: Upgrade\r\n"
#define ACCEPT "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"

TEST(accept)
{
	char text[WEBSOCKET_ACCEPT + 1];

	CHECK("computed", websocket_accept(rd_str("dGhlIHNhbXBsZSBub25jZQ=="), text));
	CHECK_STR("the example", text, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
	CHECK("a key of another length", !websocket_accept(rd_str("dGhlIHNhbXBsZSBub25jZQ==x"), text));
}

TEST(protocol)
{
	CHECK("in any case", websocket_is(rd_str("WebSocket")));
	CHECK("h2c", !websocket_is(rd_str("h2c")));
	CHECK("a list", !websocket_is(rd_str("websocket, h2c")));
	CHECK("a version", !websocket_is(rd_str("websocket/13")));
	CHECK("nothing", !websocket_is(rd_str("")));
}

TEST(requests)
{
	static const struct { const char *what, *block; bool ok; } rows[] = {
		{ "the least", KEY V13, true },
		{ "more of it", "A: b\n" V13 "Sec-WebSocket-Protocol: a\n" KEY, true },
		{ "no key", V13, false }, { "no version", KEY, false }, { "nothing", "", false },
		{ "two keys", KEY KEY V13, false }, { "two versions", KEY V13 V13, false },
		{ "another version", KEY "Sec-WebSocket-Version: 8\n", false },
		{ "versions", KEY "Sec-WebSocket-Version: 13, 8\n", false },
		{ "short key", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=\n" V13, false },
		{ "15 bytes", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZ===\n" V13, false },
		{ "17 bytes", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQQ=\n" V13, false },
		{ "bits that mean nothing", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZR==\n" V13, false },
		{ "the other alphabet", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25-ZQ==\n" V13, false },
		{ "empty key", "Sec-WebSocket-Key: \n" V13, false },
		{ "no block", KEY V13 "A", false },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		AUTO(mem) void *block = check_exact(rows[i].block, strlen(rows[i].block));

		CHECK_EQ(rows[i].what, websocket_asked(rd_of(block, strlen(rows[i].block))), rows[i].ok);
	}
}

TEST(answers)
{
	static const char plain[] = KEY V13;
	static const char offers[] = KEY V13 "Sec-WebSocket-Protocol: a, b\nSec-WebSocket-Protocol: c\n"
				     "Sec-WebSocket-Extensions: x; p=1, y\n";
	static const struct { const char *what, *request, *lines; bool ok; } rows[] = {
		{ "the least", plain, UP CONN ACCEPT, true },
		{ "in other words", plain, "upgrade:WebSocket\r\nCONNECTION: keep-alive, upgrade\r\n" ACCEPT, true },
		{ "and more", plain, "Date: x\r\n" UP CONN ACCEPT "Set-Cookie: a\r\n", true },
		{ "nothing", plain, "", false }, { "no upgrade", plain, CONN ACCEPT, false },
		{ "no connection", plain, UP ACCEPT, false }, { "no accept", plain, UP CONN, false },
		{ "two upgrades", plain, UP UP CONN ACCEPT, false },
		{ "two accepts", plain, UP CONN ACCEPT ACCEPT, false },
		{ "another protocol", plain, "Upgrade: h2c\r\n" CONN ACCEPT, false },
		{ "also another", plain, UP "Upgrade: h2c\r\n" CONN ACCEPT, false },
		{ "connection of another kind", plain, UP "Connection: upgraded\r\n" ACCEPT, false },
		{ "another accept", plain, UP CONN "Sec-WebSocket-Accept: S3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n", false },
		{ "the key for it", plain, UP CONN "Sec-WebSocket-Accept: dGhlIHNhbXBsZSBub25jZQ==\r\n", false },
		{ "a length", plain, UP CONN ACCEPT "Content-Length: 0\r\n", false },
		{ "chunked", plain, UP CONN ACCEPT "Transfer-Encoding: chunked\r\n", false },
		{ "protocol that was not offered", plain, UP CONN ACCEPT "Sec-WebSocket-Protocol: a\r\n", false },
		{ "the first", offers, UP CONN ACCEPT "Sec-WebSocket-Protocol: a\r\n", true },
		{ "the third", offers, UP CONN ACCEPT "Sec-WebSocket-Protocol: c\r\n", true },
		{ "none of them", offers, UP CONN ACCEPT "Sec-WebSocket-Protocol: d\r\n", false },
		{ "in another case", offers, UP CONN ACCEPT "Sec-WebSocket-Protocol: A\r\n", false },
		{ "two of them", offers, UP CONN ACCEPT "Sec-WebSocket-Protocol: a, b\r\n", false },
		{ "two of them, twice", offers, UP CONN ACCEPT "Sec-WebSocket-Protocol: a\r\n"
						"Sec-WebSocket-Protocol: b\r\n", false },
		{ "empty", offers, UP CONN ACCEPT "Sec-WebSocket-Protocol:\r\n", false },
		{ "an extension", offers, UP CONN ACCEPT "Sec-WebSocket-Extensions: y; q=2\r\n", true },
		{ "both", offers, UP CONN ACCEPT "Sec-WebSocket-Extensions: y, x;p=3\r\n", true },
		{ "another too", offers, UP CONN ACCEPT "Sec-WebSocket-Extensions: x, z\r\n", false },
		{ "its parameter", offers, UP CONN ACCEPT "Sec-WebSocket-Extensions: p=1\r\n", false },
		{ "no line", plain, UP CONN ACCEPT "A", false },
		{ "without a key", V13, UP CONN ACCEPT, false },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		AUTO(mem) void *request = check_exact(rows[i].request, strlen(rows[i].request));
		AUTO(mem) void *lines = check_exact(rows[i].lines, strlen(rows[i].lines));

		CHECK_EQ(rows[i].what, websocket_fits(rd_of(request, strlen(rows[i].request)),
						      rd_of(lines, strlen(rows[i].lines))), rows[i].ok);
	}
}
