/*
 * http_rule.c - rules about requests to hosts whose TLS is terminated
 *
 * Theory of operation: a rule is a set of methods and a path pattern. Patterns are compared with the raw
 * bytes of a path that http_path_plain() has let pass: since nothing in it can be read in two ways, no
 * decoding is needed, and the bytes that are judged are the bytes that go upstream. Matching is one pass
 * without backtracking, because a star stands inside one segment and two stars only at the end.
 * An escaped slash is the one thing that servers do read in two ways and clients cannot do without (npm
 * asks for /@scope%2fname): it divides segments as a slash does, so both readings are judged, but only a
 * pattern that spells it in that place meets it; no star stands for one.
 * Input: paths of an untrusted client. Fuzzed by tests/fuzz/fuzz_http_rule.c.
 */
#include "policy/http_rule.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/mem.h"

static const char *const methods[] = { "GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE" };

uint32_t http_method_bit(struct rd method)
{
	for (size_t i = 0; i < ARRAY_SIZE(methods); i++)
		if (rd_eq_str(method, methods[i]))
			return 1u << i;
	return 0;
}

const char *http_method_name(size_t bit)
{
	return bit < ARRAY_SIZE(methods) ? methods[bit] : NULL;
}

/* ---- paths ---- */

/* The two digits behind '%'. */
static bool escape(struct rd *io, uint8_t *ret)
{
	uint8_t a, b;

	if (!rd_u8(io, &a) || !rd_u8(io, &b) || hex_digit(a) < 0 || hex_digit(b) < 0)
		return false;
	*ret = (uint8_t)(hex_digit(a) << 4 | hex_digit(b));
	return true;
}

/* RFC 3629 s4: how many bytes follow the first, and where the second of them lies. */
static const struct { uint8_t from, to, more, low, high; } leads[] = {
	{ 0xc2, 0xdf, 1, 0x80, 0xbf }, { 0xe0, 0xe0, 2, 0xa0, 0xbf }, { 0xe1, 0xec, 2, 0x80, 0xbf },
	{ 0xed, 0xed, 2, 0x80, 0x9f }, { 0xee, 0xef, 2, 0x80, 0xbf }, { 0xf0, 0xf0, 3, 0x90, 0xbf },
	{ 0xf1, 0xf3, 3, 0x80, 0xbf }, { 0xf4, 0xf4, 3, 0x80, 0x8f },
};

/* One character of UTF-8, all in escapes: a lenient decoder makes dots of overlong ones. */
static bool utf8_ok(struct rd *io, uint8_t lead)
{
	uint8_t c;

	for (size_t i = 0; i < ARRAY_SIZE(leads); i++) {
		if (lead < leads[i].from || lead > leads[i].to)
			continue;
		for (size_t n = 0; n < leads[i].more; n++)
			if (!rd_prefix(io, "%") || !escape(io, &c) || c < (n ? 0x80 : leads[i].low) ||
			    c > (n ? 0xbf : leads[i].high))
				return false;
		return true;
	}
	return false;
}

/* What an escape may stand for: not what separates or ends a path, nor what decodes again. */
static bool escape_ok(struct rd *io)
{
	uint8_t c;

	if (!escape(io, &c) || c < 0x20 || c == 0x7f)
		return false;
	return c < 0x80 ? !strchr("./\\%;", c) : utf8_ok(io, c);
}

/* One or two; or any with spaces, which some servers take away. */
static bool dots(struct rd segment)
{
	size_t n = 0, spaces = 0;

	while (rd_left(&segment)) {
		if (rd_prefix(&segment, "."))
			n++;
		else if (rd_prefix(&segment, "%20"))
			spaces++;
		else
			return false;
	}
	return n && (n <= 2 || spaces);
}

static bool byte_ok(uint8_t c)
{
	return c > 0x20 && c < 0x7f && !strchr("\\;#?\"<>", c);
}

static bool segment_plain(struct rd segment)
{
	struct rd at = segment;
	uint8_t c;

	if (dots(segment))
		return false;
	while (rd_left(&at))
		if (!rd_u8(&at, &c) || !byte_ok(c) || (c == '%' && !escape_ok(&at)))
			return false;
	return true;
}

/* What ends a segment. */
enum divider { DIVIDER_NONE = 0, DIVIDER_SLASH, DIVIDER_ESCAPED };

static enum divider divider_at(struct rd *io)
{
	if (rd_prefix(io, "/"))
		return DIVIDER_SLASH;
	return rd_prefix(io, "%2f") || rd_prefix(io, "%2F") ? DIVIDER_ESCAPED : DIVIDER_NONE;
}

/* The next segment; what is left begins behind its divider. */
static struct rd next_segment(struct rd *io, enum divider *ret_divider)
{
	struct rd all = *io;
	bool more = true;

	*ret_divider = DIVIDER_NONE;
	for (size_t n = 0; more; n++) {
		*ret_divider = divider_at(io);
		if (*ret_divider != DIVIDER_NONE)
			return rd_of(all.p, n);
		more = rd_left(io) && rd_skip(io, 1);
	}
	return all;
}

bool http_path_plain(struct rd path)
{
	enum divider before, divider = divider_at(&path);

	if (divider != DIVIDER_SLASH)
		return false;
	do {
		struct rd segment;

		before = divider;
		segment = next_segment(&path, &divider);
		if (!segment.n && (divider != DIVIDER_NONE || before != DIVIDER_SLASH))
			return false;
		if (!segment_plain(segment))
			return false;
	} while (divider != DIVIDER_NONE);
	return true;
}

bool http_path_has_escaped_slash(struct rd path)
{
	enum divider divider;

	do
		next_segment(&path, &divider);
	while (divider == DIVIDER_SLASH);
	return divider == DIVIDER_ESCAPED;
}

/* ---- patterns ---- */

const char *http_pattern_wrong(const char *text)
{
	const char *star = strchr(text, '*');
	size_t n = strlen(text);

	if (n > HTTP_PATTERN_MAX)
		return "is too long";
	if (!http_path_plain(rd_of(text, n)))
		return "must begin with / and have no empty, . or .. segment, query, or escape that could be "
		       "read in two ways";
	for (; star; star = strchr(star, '*')) {
		size_t stars = strspn(star, "*");

		star += stars;
		if (stars > 2 || (stars == 2 && *star))
			return "may have ** only at its end";
		if (stars == 2 && star[-3] != '/')
			return "may have ** only as a whole segment";
		if (stars == 1 && *star && *star != '/' && strncasecmp(star, "%2f", 3))
			return "may have * only at the end of a segment";
	}
	return NULL;
}

/* One segment of a pattern, which ends in a star or is exact. */
static bool segment_match(struct rd pattern, struct rd segment)
{
	if (pattern.n && pattern.p[pattern.n - 1] == '*') {
		pattern.n--;
		return segment.n > pattern.n && !memcmp(segment.p, pattern.p, pattern.n);
	}
	return pattern.n == segment.n && (!pattern.n || !memcmp(pattern.p, segment.p, pattern.n));
}

bool http_pattern_match(const char *pattern, struct rd path)
{
	struct rd want = rd_str(pattern);
	enum divider want_divider, divider;

	do {
		struct rd w = next_segment(&want, &want_divider), s;

		if (want_divider == DIVIDER_NONE && rd_eq_str(w, "**"))
			return !http_path_has_escaped_slash(path);
		s = next_segment(&path, &divider);
		if (!segment_match(w, s) || want_divider != divider)
			return false;
	} while (divider != DIVIDER_NONE);
	return true;
}

/* ---- lists ---- */

int http_rules_add(struct http_rules *l, const struct http_rule *r)
{
	struct http_rule *more = reallocarray(l->rule, l->n + 1, sizeof(*more));
	char *path = strdup(r->path);

	l->rule = more ? more : l->rule;
	if (!more || !path) {
		free(path);
		return -ENOMEM;
	}
	more[l->n++] = (struct http_rule){ r->methods, path, r->upgrade };
	return 0;
}

void http_rules_done(struct http_rules *l)
{
	for (size_t i = 0; i < l->n; i++)
		free(l->rule[i].path);
	free(l->rule);
	*l = (struct http_rules){ 0 };
}

static int order(const void *va, const void *vb)
{
	const struct http_rule *a = va, *b = vb;
	int c = strcmp(a->path, b->path);

	if (!c)
		c = (int)a->upgrade - (int)b->upgrade;
	return c ? c : (a->methods > b->methods) - (a->methods < b->methods);
}

void http_rules_sort(struct http_rules *l)
{
	size_t n = 0;

	if (l->n)
		qsort(l->rule, l->n, sizeof(*l->rule), order);
	for (size_t i = 0; i < l->n; i++) {
		if (n && !order(&l->rule[n - 1], &l->rule[i]))
			free(l->rule[i].path);
		else
			l->rule[n++] = l->rule[i];
	}
	l->n = n;
}
