/*
 * http_location.c - where a Location field leads
 *
 * Theory of operation: a redirect may lead a client only to places that it could ask for anyway, so
 * the host is cut out and canonicalised by the same code as everywhere. Userinfo, backslashes,
 * bytes outside visible ASCII, other schemes and address literals are bad.
 * Input: an untrusted server's field. Allocates nothing. Fuzzed by tests/fuzz/fuzz_http_fields.c.
 */
#include "gitproxy/http_location.h"

enum { PORT_TLS = 443, PORT_HTTP = 80, PORT_DIGITS_MAX = 5 };

static bool visible(struct rd r)
{
	uint8_t c;

	while (rd_left(&r))
		if (!rd_u8(&r, &c) || c <= ' ' || c > '~' || c == '\\')
			return false;
	return true;
}

static bool prefix_nocase(struct rd *io, const char *s)
{
	size_t n = strlen(s);

	return io->n >= n && rd_eq_nocase(rd_of(io->p, n), s) && rd_skip(io, n);
}

/* What stands before the first of "/?#". */
static struct rd first_part(struct rd r)
{
	size_t n = 0;

	while (n < r.n && r.p[n] != '/' && r.p[n] != '?' && r.p[n] != '#')
		n++;
	return rd_of(r.p, n);
}

static bool port_of(struct rd digits, uint16_t *ret)
{
	uint32_t v = 0;
	uint8_t c;

	if (!digits.n || digits.n > PORT_DIGITS_MAX)
		return false;
	while (rd_left(&digits)) {
		if (!rd_u8(&digits, &c) || c < '0' || c > '9')
			return false;
		v = v * 10 + (uint32_t)(c - '0');
	}
	*ret = (uint16_t)v;
	return v && v <= UINT16_MAX;
}

static bool authority(struct rd r, struct http_location *l)
{
	bool has_port = rd_has(r, ':');
	struct rd name = rd_piece(&r, ':');

	l->port = l->tls ? PORT_TLS : PORT_HTTP;
	if (has_port && !port_of(r, &l->port))
		return false;
	return name_canonical(name, l->host);	/* refuses userinfo and addresses as well */
}

enum parse http_location_parse(struct rd value, bool tls, struct http_location *ret)
{
	struct http_location l = { .tls = tls };
	struct rd at = value;

	if (!value.n || !visible(value))
		return PARSE_BAD;
	if (prefix_nocase(&at, "https://"))
		l.tls = true;
	else if (prefix_nocase(&at, "http://"))
		l.tls = false;
	else if (!prefix_nocase(&at, "//")) {
		if (rd_has(first_part(value), ':'))
			return PARSE_BAD;		/* another scheme */
		l.relative = true;
		*ret = l;
		return PARSE_OK;
	}
	if (!authority(first_part(at), &l))
		return PARSE_BAD;
	*ret = l;
	return PARSE_OK;
}
