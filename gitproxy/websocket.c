/*
 * websocket.c - the handshake after which a connection is a tunnel
 *
 * Theory of operation: a proxy that takes a connection for upgraded while the server does not (or the
 * other way round) passes requests that nobody judged. So both sides of the handshake must be just
 * what RFC 6455 demands, each field once; whatever a peer could read in another way is refused. The
 * front and the keeper ask the same functions about the same bytes. Extensions and subprotocols are
 * the two ends' own business; only that the server chose from what was offered is checked.
 * Input: fields of untrusted clients and servers. Invariants: allocates nothing, keeps no state.
 * Fuzzed by tests/fuzz/fuzz_websocket.c.
 */
#include "gitproxy/websocket.h"

#include <openssl/evp.h>

#include "gitproxy/http_fields.h"

#define GUID "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

enum { SHA1 = 20 };

bool websocket_is(struct rd upgrade)
{
	return rd_eq_nocase(upgrade, "websocket");
}

static bool is_base64(uint8_t c)
{
	return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '+' ||
	       c == '/';
}

/* 16 bytes: 22 digits, of which the last has four bits of nothing, and two signs. */
static bool key_ok(struct rd key)
{
	uint8_t c = 0;

	if (key.n != WEBSOCKET_KEY)
		return false;
	for (size_t i = 0; i < WEBSOCKET_KEY - 2; i++)
		if (!rd_u8(&key, &c) || !is_base64(c))
			return false;
	return strchr("AQgw", c) && rd_eq_str(key, "==");
}

/* The one field of this name; false: there is none, or more. */
static bool only(struct rd block, const char *name, struct rd *ret)
{
	struct rd n, v;
	unsigned found = 0;

	while (http_fields_next(&block, &n, &v))
		if (rd_eq_nocase(n, name)) {
			*ret = v;
			found++;
		}
	return found == 1 && rd_done(&block);
}

bool websocket_asked(struct rd request)
{
	struct rd key, version;

	return only(request, "sec-websocket-key", &key) && key_ok(key) &&
	       only(request, "sec-websocket-version", &version) && rd_eq_str(version, "13");
}

bool websocket_accept(struct rd key, char ret[WEBSOCKET_ACCEPT + 1])
{
	uint8_t text[WEBSOCKET_KEY + sizeof(GUID) - 1], digest[EVP_MAX_MD_SIZE];
	struct wr w = wr_of(text, sizeof(text));
	unsigned n = 0;

	wr_rd_all(&w, key);
	wr_str(&w, GUID);
	return wr_ok(&w) && EVP_Digest(text, w.n, digest, &n, EVP_sha1(), NULL) == 1 && n == SHA1 &&
	       EVP_EncodeBlock((unsigned char *)ret, digest, SHA1) == WEBSOCKET_ACCEPT;
}

/* The next element of a list, without its parameters. */
static bool next_element(struct rd *list, struct rd *ret)
{
	struct rd element;

	if (!http_list_next(list, &element))
		return false;
	*ret = rd_trim(rd_piece(&element, ';'));
	return true;
}

/* Did the request offer this, in any of its fields of that name? Names of both lists are tokens. */
static bool offered(struct rd request, const char *field, struct rd what)
{
	struct rd name, value, one;

	while (http_fields_next(&request, &name, &value))
		while (rd_eq_nocase(name, field) && next_element(&value, &one))
			if (one.n == what.n && one.n && !memcmp(one.p, what.p, one.n))
				return true;
	return false;
}

static bool all_offered(struct rd request, const char *field, struct rd value)
{
	struct rd one;

	while (next_element(&value, &one))
		if (!offered(request, field, one))
			return false;
	return rd_done(&value);
}

/* What a 101 has said so far. */
struct said { unsigned upgrade, connection, accept, protocol; bool wrong; };

static void hear(struct said *s, struct rd request, struct rd name, struct rd value)
{
	char want[WEBSOCKET_ACCEPT + 1];
	struct rd key;

	if (rd_eq_nocase(name, "upgrade")) {
		s->upgrade++;
		s->wrong |= !websocket_is(value);
	} else if (rd_eq_nocase(name, "connection")) {
		s->connection += http_list_has(value, "upgrade");
	} else if (rd_eq_nocase(name, "sec-websocket-accept")) {
		s->accept++;
		s->wrong |= !only(request, "sec-websocket-key", &key) || !websocket_accept(key, want) ||
			    !rd_eq_str(value, want);
	} else if (rd_eq_nocase(name, "sec-websocket-protocol")) {
		s->protocol++;
		s->wrong |= !offered(request, "sec-websocket-protocol", value);
	} else if (rd_eq_nocase(name, "sec-websocket-extensions")) {
		s->wrong |= !all_offered(request, "sec-websocket-extensions", value);
	} else {
		s->wrong |= rd_eq_nocase(name, "content-length") || rd_eq_nocase(name, "transfer-encoding");
	}
}

bool websocket_fits(struct rd request, struct rd lines)
{
	struct said s = { 0 };
	struct rd line, name;

	while (rd_left(&lines)) {
		if (!rd_until(&lines, '\n', &line) || !rd_until(&line, ':', &name))
			return false;
		hear(&s, request, name, rd_trim(line));
	}
	return !s.wrong && s.upgrade == 1 && s.connection && s.accept == 1 && s.protocol <= 1;
}
