/*
 * echo_mixed.c - spellings that are chosen anew for each byte
 *
 * Theory of operation: encoders differ in what they escape, so each byte of a secret may stand as it is or
 * in any of the ways that unit() knows, and base64 may be cut into lines anywhere. What stands before the
 * first escape or line's end is plain; so only the bytes that begin one are looked for, sixteen at a
 * time. There the byte that is meant tells at which places of the secret this may be, the plain bytes
 * before confirm it, and the rest is followed. A '%' that stands for itself and one that begins an
 * escape may both be meant: places to go on from are a set. When it grows too large, that is a find.
 * Not handled: escapes within escapes, octal, and the names that HTML has for other characters.
 * Fuzzed by tests/fuzz/fuzz_echo.c.
 */
#include "gitproxy/keeper/echo_mixed.h"

#include <ctype.h>

#include "base/mem.h"

enum { PLACES_MAX = 16, DIGITS_MAX = 8, BREAK_MAX = 64, NO_DIGIT = 16 };

typedef uint8_t block16 __attribute__((vector_size(16)));

static unsigned pair_hash(uint8_t a, uint8_t b)
{
	return ((uint32_t)(a | b << 8) * 0x9e3779b1u) >> 20;
}

void echo_filter_add(struct echo_filter *f, const struct echo_pattern *p)
{
	for (size_t i = 0; i < p->n && p->form == ECHO_ESCAPED; i++)
		f->escaped[p->p[i]] = true;
	for (size_t i = 1; i < p->n && p->form == ECHO_WRAPPED; i++) {
		f->before[p->p[i - 1]] = true;
		f->pair[pair_hash(p->p[i - 1], p->p[i])] = true;
	}
}

/* ---- escapes ---- */

static unsigned digit(uint8_t c)
{
	int d = hex_digit(c);

	return d < 0 ? NO_DIGIT : (unsigned)d;
}

static enum parse two_hex(struct rd *io, uint8_t *ret)
{
	unsigned v = 0;
	uint8_t c;

	for (int i = 0; i < 2; i++) {
		if (!rd_left(io))
			return PARSE_MORE;
		if (!rd_u8(io, &c) || digit(c) == NO_DIGIT)
			return PARSE_BAD;
		v = v << 4 | digit(c);
	}
	*ret = (uint8_t)v;
	return PARSE_OK;
}

/* Behind a backslash: u00XX, xXX, or a sign that stands for itself. */
static enum parse backslash(struct rd *io, uint8_t *ret)
{
	uint8_t c, zero;

	if (!rd_left(io))
		return PARSE_MORE;
	if (!rd_u8(io, &c))
		return PARSE_BAD;
	for (int i = 0; c == 'u' && i < 2; i++) {
		if (!rd_left(io))
			return PARSE_MORE;
		if (!rd_u8(io, &zero) || zero != '0')
			return PARSE_BAD;
	}
	if (c == 'u' || c == 'x')
		return two_hex(io, ret);
	*ret = c;
	return c < 0x80 && ispunct(c) ? PARSE_OK : PARSE_BAD;
}

/* Behind "&#". */
static enum parse numbered(struct rd *io, uint8_t *ret)
{
	unsigned base = 10, v = 0;
	uint8_t c;

	if (rd_left(io) && (io->p[0] | 32) == 'x' && rd_skip(io, 1))
		base = 16;
	for (int i = 0; i <= DIGITS_MAX; i++) {
		if (!rd_left(io))
			return PARSE_MORE;
		if (!rd_u8(io, &c))
			return PARSE_BAD;
		if (c == ';' && i && v <= UINT8_MAX) {
			*ret = (uint8_t)v;
			return PARSE_OK;
		}
		if (digit(c) >= base)
			return PARSE_BAD;
		v = v * base + digit(c);
	}
	return PARSE_BAD;
}

static const struct { const char *text; uint8_t c; } entities[] = {
	{ "amp;", '&' }, { "lt;", '<' }, { "gt;", '>' }, { "quot;", '"' }, { "apos;", '\'' },
};

static enum parse entity(struct rd *io, uint8_t *ret)
{
	if (rd_prefix(io, "#"))
		return numbered(io, ret);
	for (size_t i = 0; i < ARRAY_SIZE(entities); i++) {
		size_t n = strlen(entities[i].text);

		*ret = entities[i].c;
		if (rd_prefix(io, entities[i].text))
			return PARSE_OK;
		if (io->n < n && (!io->n || !memcmp(io->p, entities[i].text, io->n)))
			return PARSE_MORE;
	}
	return PARSE_BAD;
}

/* One escape: which byte it means, and its length. */
static enum parse unit(struct rd in, uint8_t *ret, size_t *ret_n)
{
	struct rd at = in;
	enum parse r = PARSE_BAD;

	if (rd_prefix(&at, "%"))
		r = two_hex(&at, ret);
	else if (rd_prefix(&at, "\\"))
		r = backslash(&at, ret);
	else if (rd_prefix(&at, "&"))
		r = entity(&at, ret);
	*ret_n = in.n - at.n;
	return r;
}

struct places { size_t n, at[PLACES_MAX]; };

static bool place_add(struct places *p, size_t at)
{
	for (size_t i = 0; i < p->n; i++)
		if (p->at[i] == at)
			return true;
	if (p->n == PLACES_MAX)
		return false;
	p->at[p->n++] = at;
	return true;
}

/* From one place by one byte. False: too many. */
static bool place_step(struct rd text, size_t at, uint8_t want, struct places *next, bool *more)
{
	uint8_t c;
	size_t n;

	if (at == text.n) {
		*more = true;
		return true;
	}
	if (text.p[at] == want && !place_add(next, at + 1))
		return false;
	switch (unit(rd_of(text.p + at, text.n - at), &c, &n)) {
	case PARSE_OK:
		return c != want || place_add(next, at + n);
	case PARSE_MORE:
		*more = true;
		return true;
	case PARSE_BAD:
		break;
	}
	return true;
}

static enum parse follow_escaped(const struct echo_pattern *p, size_t from, struct rd text, size_t at)
{
	struct places now = { 1, { at } };
	bool more = false;

	for (size_t i = from; i < p->n; i++) {
		struct places next = { 0 };

		for (size_t k = 0; k < now.n; k++)
			if (!place_step(text, now.at[k], p->p[i], &next, &more))
				return PARSE_OK;
		if (!next.n)
			return more ? PARSE_MORE : PARSE_BAD;
		now = next;
	}
	return PARSE_OK;
}

/* ---- lines ---- */

static bool blank(uint8_t c)
{
	return c == '\r' || c == '\n' || c == ' ' || c == '\t';
}

/* A line's end and what the next one is indented by, also as a JSON string has it. */
static enum parse line_end(struct rd in, size_t *ret_n)
{
	size_t n = 0;

	while (n <= BREAK_MAX) {
		if (n == in.n || (in.p[n] == '\\' && n + 1 == in.n))
			return PARSE_MORE;
		if (blank(in.p[n]))
			n++;
		else if (in.p[n] == '\\' && (in.p[n + 1] == 'n' || in.p[n + 1] == 'r'))
			n += 2;
		else
			break;
	}
	*ret_n = n;
	return n && n <= BREAK_MAX ? PARSE_OK : PARSE_BAD;
}

static enum parse follow_wrapped(const struct echo_pattern *p, size_t from, struct rd text, size_t at)
{
	size_t n;

	for (size_t i = from; i < p->n; i++, at++) {
		enum parse r;

		if (at == text.n)
			return PARSE_MORE;
		if (text.p[at] == p->p[i])
			continue;
		r = line_end(rd_of(text.p + at, text.n - at), &n);
		if (r != PARSE_OK)
			return r;
		at += n;
		if (text.p[at] != p->p[i])
			return PARSE_BAD;
	}
	return PARSE_OK;
}

/* ---- search ---- */

static bool special(uint8_t c)
{
	return c == '%' || c == '\\' || c == '&' || c == '\r' || c == '\n';
}

/* Each byte is all ones or zero. */
static size_t first_hit(const uint64_t hit[2])
{
	return hit[0] ? (size_t)__builtin_ctzll(hit[0]) / 8 : 8 + (size_t)__builtin_ctzll(hit[1]) / 8;
}

static size_t next_special(struct rd text, size_t at)
{
	for (; text.n - at >= sizeof(block16); at += sizeof(block16)) {
		block16 b;
		uint64_t hit[2];

		memcpy(&b, text.p + at, sizeof(b));
		b = (block16)((b == '%') | (b == '\\') | (b == '&') | (b == '\r') | (b == '\n'));
		memcpy(hit, &b, sizeof(hit));
		if (hit[0] | hit[1])
			return at + first_hit(hit);
	}
	while (at < text.n && !special(text.p[at]))
		at++;
	return at;
}

/* What stands at a special byte, of one form. */
struct spot {
	enum echo_form form;
	enum parse whole;		/* PARSE_MORE: the text ends within */
	uint8_t before, means;
};

/* May this be the pattern's byte i? */
static bool fits(const struct spot *s, const struct echo_pattern *p, size_t i)
{
	if (s->form == ECHO_WRAPPED && (!i || p->p[i - 1] != s->before))
		return false;
	return s->whole == PARSE_MORE || p->p[i] == s->means;
}

static bool pattern_at(const struct spot *s, const struct echo_pattern *p, struct rd text, size_t at,
		       size_t *io_open)
{
	for (size_t i = 0; i < p->n && i <= at; i++) {
		enum parse r = s->whole;

		if (!fits(s, p, i) || memcmp(text.p + at - i, p->p, i))
			continue;
		if (r == PARSE_OK)
			r = s->form == ECHO_ESCAPED ? follow_escaped(p, i, text, at) :
						      follow_wrapped(p, i, text, at);
		if (r == PARSE_OK)
			return true;
		if (r == PARSE_MORE && at - i < *io_open)
			*io_open = at - i;
	}
	return false;
}

/* Most of what stands in text and packs is seen by its next byte not to be one. */
static bool may_escape(struct rd text, size_t at)
{
	uint8_t next = at + 1 < text.n ? text.p[at + 1] : 0;

	if (blank(text.p[at]) || at + 1 == text.n)
		return !blank(text.p[at]);
	if (text.p[at] == '%')
		return digit(next) != NO_DIGIT;
	if (text.p[at] == '&')
		return next == '#' || (next >= 'a' && next <= 'z');
	return next > ' ' && next < 0x7f;
}

static bool spot_escaped(const struct echo_filter *f, struct rd text, size_t at, struct spot *ret)
{
	size_t n;

	if (!may_escape(text, at))
		return false;
	ret->form = ECHO_ESCAPED;
	ret->before = ret->means = 0;
	ret->whole = unit(rd_of(text.p + at, text.n - at), &ret->means, &n);
	return ret->whole == PARSE_MORE || (ret->whole == PARSE_OK && f->escaped[ret->means]);
}

static bool spot_wrapped(const struct echo_filter *f, struct rd text, size_t at, struct spot *ret)
{
	size_t n;

	if (!at || !f->before[text.p[at - 1]])
		return false;
	ret->form = ECHO_WRAPPED;
	ret->means = 0;
	ret->before = text.p[at - 1];
	ret->whole = line_end(rd_of(text.p + at, text.n - at), &n);
	if (ret->whole == PARSE_OK)
		ret->means = text.p[at + n];
	return ret->whole == PARSE_MORE ||
	       (ret->whole == PARSE_OK && f->pair[pair_hash(ret->before, ret->means)]);
}

static bool any_at(const struct spot *s, const struct echo_pattern *p, size_t n, struct rd text, size_t at,
		   size_t *io_open)
{
	for (size_t i = 0; i < n; i++)
		if (p[i].form == s->form && pattern_at(s, &p[i], text, at, io_open))
			return true;
	return false;
}

bool echo_mixed_in(const struct echo_filter *f, const struct echo_pattern *p, size_t n, struct rd text,
		   size_t *io_open)
{
	struct spot s;

	for (size_t at = next_special(text, 0); at < text.n; at = next_special(text, at + 1))
		if ((spot_escaped(f, text, at, &s) && any_at(&s, p, n, text, at, io_open)) ||
		    (spot_wrapped(f, text, at, &s) && any_at(&s, p, n, text, at, io_open)))
			return true;
	return false;
}
