/*
 * http_fields.c - header fields that are passed on between a sandbox and a server
 *
 * Theory of operation: names are not a closed set (every API has its own), so the table lists what is
 * kept back: what belongs to one connection, what speaks for a proxy or claims an origin, what asks
 * for another method or path than the request line, and of answers what would let a server act
 * beyond the answer. A name with any byte but letters, digits and '-' is kept back as well, since
 * servers are known to fold '_' and '.' onto '-'. Framing is made anew by whoever sends.
 * Input: heads of untrusted clients and servers. Invariants: allocates nothing, keeps no state.
 * Fuzzed by tests/fuzz/fuzz_http_fields.c.
 */
#include "gitproxy/http_fields.h"

enum { NAME_MAX_BYTES = 64, KEPT_MAX = 32, SERVER = HTTP_TO_SERVER, CLIENT = HTTP_TO_CLIENT, BOTH = SERVER | CLIENT };

/* A dash at the end: and every name that begins so. */
static const struct { char name[KEPT_MAX]; unsigned kept_from; } kept[] = {
	/* of one connection (RFC 9110 s7.6.1), and framing */
	{ "connection", BOTH }, { "keep-alive", BOTH }, { "proxy-", BOTH }, { "te", BOTH },
	{ "trailer", BOTH }, { "transfer-encoding", BOTH }, { "content-length", BOTH },
	{ "upgrade", BOTH }, { "http2-settings", BOTH }, { "host", SERVER }, { "expect", SERVER },
	/* who asks, according to whom */
	{ "forwarded", SERVER }, { "x-forwarded-", SERVER }, { "via", SERVER },
	{ "x-real-ip", SERVER }, { "x-client-ip", SERVER }, { "x-cluster-client-ip", SERVER },
	{ "true-client-ip", SERVER }, { "client-ip", SERVER }, { "cf-", SERVER },
	{ "fastly-client-ip", SERVER }, { "x-host", SERVER }, { "x-cordon-", BOTH },
	/* another method, path or host than the request line's */
	{ "x-http-method", SERVER }, { "x-http-method-", SERVER }, { "x-method-override", SERVER },
	{ "x-original-", SERVER }, { "x-rewrite-", SERVER }, { "x-override-", SERVER },
	{ "alt-used", SERVER }, { "early-data", SERVER },
	/* what outlives the answer (C9); location is judged by itself */
	{ "set-cookie", CLIENT }, { "set-cookie2", CLIENT }, { "alt-svc", CLIENT },
	{ "www-authenticate", CLIENT }, { "authentication-info", CLIENT }, { "refresh", CLIENT },
	{ "nel", CLIENT }, { "report-to", CLIENT }, { "reporting-endpoints", CLIENT },
	/* what would have the client refuse the certificates that it is shown */
	{ "public-key-pins", CLIENT }, { "public-key-pins-report-only", CLIENT }, { "expect-ct", CLIENT },
	{ "sec-websocket-", BOTH },		/* but see below */
};

/* And what of that belongs to an upgrade (RFC 6455 s11.3). */
static const struct { const char *name; unsigned passes_to; } handshake[] = {
	{ "sec-websocket-key", SERVER }, { "sec-websocket-version", SERVER },
	{ "sec-websocket-protocol", BOTH }, { "sec-websocket-extensions", BOTH },
	{ "sec-websocket-accept", CLIENT },
};

/* What a client may say of its connection. None of it is passed on. */
static const char *const options[] = { "close", "keep-alive", "te", "upgrade", "http2-settings" };

static bool is_name_byte(uint8_t c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-';
}

static bool name_is(struct rd name, const char *want)
{
	size_t n;

	if ((name.p[0] | 0x20) != want[0])	/* most of the table, for every field */
		return false;
	n = strlen(want);
	if (want[n - 1] == '-' && name.n > n)
		name.n = n;
	return rd_eq_nocase(name, want);
}

bool http_field_passes(struct rd name, enum http_direction d)
{
	struct rd at = name;
	uint8_t c;

	if (!name.n || name.n > NAME_MAX_BYTES)
		return false;
	while (rd_left(&at))
		if (!rd_u8(&at, &c) || !is_name_byte(c))
			return false;
	for (size_t i = 0; (d & HTTP_UPGRADING) && i < ARRAY_SIZE(handshake); i++)
		if ((handshake[i].passes_to & d) && rd_eq_nocase(name, handshake[i].name))
			return true;
	for (size_t i = 0; i < ARRAY_SIZE(kept); i++)
		if ((kept[i].kept_from & d) && name_is(name, kept[i].name))
			return false;
	return true;
}

bool http_value_passes(struct rd value)
{
	uint8_t c;

	if (value.n && (value.p[0] == ' ' || value.p[value.n - 1] == ' '))
		return false;
	while (rd_left(&value))
		if (!rd_u8(&value, &c) || c < ' ' || c > '~')
			return false;
	return true;
}

bool http_list_next(struct rd *list, struct rd *ret)
{
	if (!rd_left(list))
		return false;
	*ret = rd_trim(rd_piece(list, ','));
	return true;
}

bool http_list_has(struct rd list, const char *word)
{
	struct rd one;

	while (http_list_next(&list, &one))
		if (rd_eq_nocase(one, word))
			return true;
	return false;
}

static bool option_known(struct rd option)
{
	for (size_t i = 0; i < ARRAY_SIZE(options); i++)
		if (rd_eq_nocase(option, options[i]))
			return true;
	return !option.n;
}

/* An option names a field that must not be passed on (RFC 9110 s7.6.1): those we know are not. */
static bool connection_known(struct rd value)
{
	struct rd option;

	while (http_list_next(&value, &option))
		if (!option_known(option))
			return false;
	return true;
}

static uint8_t lower(uint8_t c)
{
	return c >= 'A' && c <= 'Z' ? (uint8_t)(c | 0x20) : c;
}

static void put_field(struct wr *to, struct rd name, struct rd value)
{
	wr_rd_all(to, name);
	wr_str(to, ": ");
	wr_rd_all(to, value);
	wr_str(to, "\n");
}

static bool same_name(struct rd a, struct rd b)
{
	uint8_t x, y;

	if (a.n != b.n)
		return false;
	while (rd_left(&a))
		if (!rd_u8(&a, &x) || !rd_u8(&b, &y) || lower(x) != lower(y))
			return false;
	return true;
}

/* Does a Connection value name this field? */
static bool is_named(struct rd connection, struct rd name)
{
	struct rd option;

	while (http_list_next(&connection, &option))
		if (same_name(option, name))
			return true;
	return false;
}

bool http_fields_without(struct rd block, struct rd connection, struct wr *to)
{
	struct rd name, value;

	while (http_fields_next(&block, &name, &value))
		if (!is_named(connection, name))
			put_field(to, name, value);
	return rd_done(&block) && wr_ok(to);
}

bool http_fields_copy(struct rd lines, enum http_direction d, struct wr *to)
{
	struct rd line, name, value;

	while (rd_left(&lines)) {
		if (!rd_until(&lines, '\n', &line) || !rd_until(&line, ':', &name))
			return false;
		value = rd_trim(line);
		if (rd_eq_nocase(name, "connection") && !connection_known(value))
			return false;
		if (!http_field_passes(name, d))
			continue;
		if (!http_value_passes(value))
			return false;
		put_field(to, name, value);
	}
	return rd_done(&lines) && wr_ok(to);
}

bool http_fields_next(struct rd *io, struct rd *ret_name, struct rd *ret_value)
{
	struct rd line;

	if (!rd_left(io))
		return false;
	if (!rd_until(io, '\n', &line) || !rd_until(&line, ':', ret_name) || !rd_prefix(&line, " "))
		return rd_fail(io);
	*ret_value = line;
	return true;
}

bool http_fields_ok(struct rd block, enum http_direction d)
{
	struct rd name, value;

	while (http_fields_next(&block, &name, &value))
		if (!http_field_passes(name, d) || !http_value_passes(value))
			return false;
	return rd_done(&block);
}

/* ---- DNS over HTTPS ---- */

/* The parameter's name, escapes undone: a server would undo them. */
static bool parameter_is(struct rd parameter, const char *want)
{
	uint8_t c, a, b;

	for (; *want; want++) {
		if (!rd_u8(&parameter, &c))
			return false;
		if (c == '%') {
			if (!rd_u8(&parameter, &a) || !rd_u8(&parameter, &b) || hex_digit(a) < 0 || hex_digit(b) < 0)
				return false;
			c = (uint8_t)(hex_digit(a) << 4 | hex_digit(b));
		}
		if (c != (uint8_t)*want)
			return false;
	}
	return !parameter.n || parameter.p[0] == '=';
}

static bool unescaped(struct rd *io, uint8_t *ret)
{
	uint8_t a, b;

	if (!rd_left(io) || !rd_u8(io, ret))
		return false;
	if (*ret != '%')
		return true;
	if (!rd_u8(io, &a) || !rd_u8(io, &b) || hex_digit(a) < 0 || hex_digit(b) < 0)
		return false;
	*ret = (uint8_t)(hex_digit(a) << 4 | hex_digit(b));
	return true;
}

static uint8_t folded(uint8_t c)
{
	return c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c == '-' || c == '.' ? '_' : c;
}

/* Blanks around the name do not count, nor what stands in brackets behind it. */
static bool parameter_like(struct rd parameter, const char *want)
{
	const char *at = want;
	uint8_t c;

	while (unescaped(&parameter, &c) && c != '=' && c != '[') {
		bool blank = c == ' ' || c == '+';

		if (blank && (at == want || !*at))
			continue;
		if (!*at || (blank ? '_' : folded(c)) != (uint8_t)*at)
			return false;
		at++;
	}
	return !*at;
}

static bool any_parameter(struct rd query, const char *want, bool (*is)(struct rd one, const char *want))
{
	while (rd_left(&query)) {
		struct rd group = rd_piece(&query, '&');

		while (rd_left(&group))
			if (is(rd_piece(&group, ';'), want))	/* some servers take it for '&' */
				return true;
	}
	return false;
}

/* A parameter of this name, also with escapes. */
static bool has_parameter(struct rd query, const char *want)
{
	return any_parameter(query, want, parameter_is);
}

bool http_has_parameter_like(struct rd query, const char *want)
{
	return any_parameter(query, want, parameter_like);
}

static bool contains_nocase(struct rd r, const char *what)
{
	for (size_t n = strlen(what); r.n >= n;) {
		if (rd_eq_nocase(rd_of(r.p, n), what))
			return true;
		if (!rd_skip(&r, 1))
			return false;
	}
	return false;
}

/* application/dns-message (RFC 8484), dns-json, and the oblivious kind (RFC 9230). */
bool http_is_doh_type(struct rd value)
{
	return contains_nocase(value, "application/dns-") ||
	       contains_nocase(value, "application/oblivious-dns-");
}

static bool path_is_resolve(struct rd path)
{
	const char *tail = "/resolve";
	size_t n = strlen(tail);

	return path.n >= n && rd_skip(&path, path.n - n) && rd_eq_nocase(path, tail);
}

bool http_is_doh(struct rd path, struct rd query, struct rd block)
{
	struct rd name, value;

	if (has_parameter(query, "dns") ||
	    (path_is_resolve(path) && has_parameter(query, "name")))
		return true;
	while (http_fields_next(&block, &name, &value))
		if ((rd_eq_nocase(name, "accept") || rd_eq_nocase(name, "content-type")) &&
		    http_is_doh_type(value))
			return true;
	return false;
}

void http_target_split(struct rd target, struct rd *ret_path, struct rd *ret_query)
{
	bool has_query = rd_has(target, '?');

	*ret_path = rd_piece(&target, '?');
	*ret_query = has_query ? target : (struct rd){ 0 };
}
