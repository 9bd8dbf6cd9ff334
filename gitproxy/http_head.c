/*
 * http_head.c - one HTTP/1.1 request head, or an answer's
 *
 * Theory of operation: lines end in CR LF and nothing else; each is checked byte by byte before it
 * is given a meaning. A field that carries meaning here may appear once (Connection excepted), its
 * value has one spelling, and what frames the body is unambiguous: either one Content-Length of
 * plain digits or one "Transfer-Encoding: chunked", never both. Input: at most HTTP_HEAD_MAX bytes
 * of an untrusted client; the caller parses again from the start when more has come.
 * Invariants: allocates nothing, keeps no state, outputs change on success only.
 * Fuzzed by tests/fuzz/fuzz_http_head.c.
 */
#include "gitproxy/http_head.h"

static const struct { const char *name; enum http_field field; bool repeats; } known[] = {
	{ "host", HTTP_HOST, false },
	{ "content-length", HTTP_CONTENT_LENGTH, false },
	{ "transfer-encoding", HTTP_TRANSFER_ENCODING, false },
	{ "content-type", HTTP_CONTENT_TYPE, false },
	{ "content-encoding", HTTP_CONTENT_ENCODING, false },
	{ "git-protocol", HTTP_GIT_PROTOCOL, false },
	{ "user-agent", HTTP_USER_AGENT, false },
	{ "expect", HTTP_EXPECT, false },
	{ "authorization", HTTP_AUTHORIZATION, false },
	{ "accept", HTTP_ACCEPT, true }, /* the last one counts */
	{ "upgrade", HTTP_UPGRADE, false },
	{ "connection", HTTP_CONNECTION, true },
};

static const struct { const char *text; enum http_method method; } methods[] = {
	{ "GET", HTTP_GET }, { "HEAD", HTTP_HEAD }, { "POST", HTTP_POST },
	{ "PUT", HTTP_PUT },
};

static bool is_token(struct rd r)
{
	uint8_t c;

	if (!r.n)
		return false;
	while (rd_left(&r))
		if (!rd_u8(&r, &c) || !http_token_byte(c))
			return false;
	return true;
}

/* The next line without its CR LF. PARSE_MORE: it has not ended yet. */
static enum parse next_line(struct rd *io, struct rd *ret)
{
	struct rd at = *io, rest = *io;
	size_t n = 0;
	uint8_t c;

	while (rd_left(&rest)) {
		if (!rd_u8(&rest, &c))
			return PARSE_BAD;
		if (http_line_byte(c)) {
			n++;
			continue;
		}
		if (c != '\r')
			return PARSE_BAD;
		if (!rd_left(&rest))
			return PARSE_MORE;
		if (!rd_u8(&rest, &c) || c != '\n' || !rd_take(&at, n, ret))
			return PARSE_BAD;
		*io = rest;
		return PARSE_OK;
	}
	return PARSE_MORE;
}

/* Origin-form of visible ASCII. Absolute-form, authority-form and "*" are refused. */
static bool target_ok(struct rd r)
{
	uint8_t c;

	if (!r.n || r.n > HTTP_TARGET_MAX || r.p[0] != '/')
		return false;
	while (rd_left(&r))
		if (!rd_u8(&r, &c) || c <= ' ' || c >= 0x7f || c == '#')
			return false;
	return true;
}

static bool method_ok(struct rd r)
{
	uint8_t c;

	if (!r.n || r.n > 16)
		return false;
	while (rd_left(&r)) /* methods are case-sensitive; ours are upper case */
		if (!rd_u8(&r, &c) || c < 'A' || c > 'Z')
			return false;
	return true;
}

static bool request_line(struct rd line, struct http_head *h)
{
	if (!rd_until(&line, ' ', &h->method_text) || !rd_until(&line, ' ', &h->target))
		return false;
	if (!method_ok(h->method_text) || !target_ok(h->target) || !rd_eq_str(line, "HTTP/1.1"))
		return false;
	for (size_t i = 0; i < ARRAY_SIZE(methods); i++)
		if (rd_eq_str(h->method_text, methods[i].text))
			h->method = methods[i].method;
	return true;
}

/* Connection is a list and may be repeated; only two words mean something to us. */
static bool connection_field(struct rd value, struct http_head *h)
{
	struct rd one;

	while (rd_left(&value)) {
		one = rd_trim(rd_piece(&value, ','));
		if (one.n && !is_token(one))
			return false;
		h->close |= rd_eq_nocase(one, "close");
		h->upgrade |= rd_eq_nocase(one, "upgrade");
	}
	return true;
}

static bool field_line(struct rd line, struct http_head *h)
{
	struct rd name;

	/* A name directly followed by its colon: refuses obs-fold and space before the colon as
	 * well. */
	if (!rd_until(&line, ':', &name) || !is_token(name))
		return false;
	line = rd_trim(line);
	for (size_t i = 0; i < ARRAY_SIZE(known); i++) {
		enum http_field f = known[i].field;

		if (!rd_eq_nocase(name, known[i].name))
			continue;
		if (http_has(h, f) && !known[i].repeats)
			return false;
		h->field[f] = line;
		return f != HTTP_CONNECTION || connection_field(line, h);
	}
	return true;
}

/* Digits only, no sign, no space, no leading zero, at most 18 of them. */
static bool length_value(struct rd r, uint64_t *ret)
{
	uint64_t v = 0;
	uint8_t c;

	if (!r.n || r.n > 18 || (r.n > 1 && r.p[0] == '0'))
		return false;
	while (rd_left(&r)) {
		if (!rd_u8(&r, &c) || c < '0' || c > '9')
			return false;
		v = v * 10 + (c - '0');
	}
	*ret = v;
	return true;
}

static bool framing(struct http_head *h)
{
	bool chunked = http_has(h, HTTP_TRANSFER_ENCODING);

	if (http_has(h, HTTP_CONTENT_LENGTH)) {
		if (chunked || !length_value(h->field[HTTP_CONTENT_LENGTH], &h->length))
			return false;
		h->framing = h->length ? HTTP_LENGTH : HTTP_NO_BODY;
	}
	if (chunked) {
		if (!rd_eq_nocase(h->field[HTTP_TRANSFER_ENCODING], "chunked"))
			return false;
		h->framing = HTTP_CHUNKED;
	}
	/* A body has no defined meaning there, and peers disagree whether it is one. */
	return h->framing == HTTP_NO_BODY || (h->method != HTTP_GET && h->method != HTTP_HEAD);
}

static bool meaning(struct http_head *h)
{
	if (!http_has(h, HTTP_HOST) || !h->field[HTTP_HOST].n || !framing(h))
		return false;
	if (http_has(h, HTTP_EXPECT)) {
		if (!rd_eq_nocase(h->field[HTTP_EXPECT], "100-continue"))
			return false;
		h->expect_continue = h->framing != HTTP_NO_BODY;
	}
	return true;
}

enum parse http_head_parse(struct rd in, struct http_head *ret, size_t *ret_used)
{
	size_t all = in.n < HTTP_HEAD_MAX ? in.n : HTTP_HEAD_MAX;
	struct rd at = rd_of(in.p, all), line;
	struct http_head h = { 0 };
	enum parse r;

	for (size_t lines = 0; lines <= HTTP_FIELDS_MAX + 1; lines++) {
		size_t left = at.n;

		r = next_line(&at, &line);
		if (r == PARSE_MORE)
			return all == HTTP_HEAD_MAX ? PARSE_BAD : PARSE_MORE;
		if (r == PARSE_BAD)
			return PARSE_BAD;
		if (lines && !line.n) {
			if (!meaning(&h))
				return PARSE_BAD;
			h.lines.n -= left;
			*ret = h;
			*ret_used = all - at.n;
			return PARSE_OK;
		}
		if (!(lines ? field_line(line, &h) : request_line(line, &h)))
			return PARSE_BAD;
		if (!lines)
			h.lines = at;
	}
	return PARSE_BAD;
}

/* ---- answers ---- */

/* "HTTP/1.1 200 OK"; the phrase may be empty, or missing with its blank. */
static bool status_line(struct rd line, unsigned *ret)
{
	unsigned status = 0;
	uint8_t c;

	if (!rd_prefix(&line, "HTTP/1.1 "))
		return false;
	for (int i = 0; i < 3; i++) {
		if (!rd_u8(&line, &c) || c < '0' || c > '9')
			return false;
		status = status * 10 + (c - '0');
	}
	*ret = status;
	return status >= 100 && status <= 599 && (!line.n || line.p[0] == ' ');
}

static bool answer_line(struct rd line)
{
	struct rd name;

	return rd_until(&line, ':', &name) && is_token(name);
}

enum parse http_answer_parse(struct rd in, struct http_answer *ret, size_t *ret_used)
{
	size_t all = in.n < HTTP_HEAD_MAX ? in.n : HTTP_HEAD_MAX;
	struct rd at = rd_of(in.p, all), line, lines = { 0 };
	unsigned status = 0;

	for (size_t n = 0; n <= HTTP_FIELDS_MAX + 1; n++) {
		size_t left = at.n;
		enum parse r = next_line(&at, &line);

		if (r != PARSE_OK)
			return r == PARSE_MORE && all < HTTP_HEAD_MAX ? PARSE_MORE : PARSE_BAD;
		if (n && !line.n) {
			lines.n -= left;
			*ret = (struct http_answer){ status, lines };
			*ret_used = all - at.n;
			return PARSE_OK;
		}
		if (!(n ? answer_line(line) : status_line(line, &status)))
			return PARSE_BAD;
		if (!n)
			lines = at;
	}
	return PARSE_BAD;
}
