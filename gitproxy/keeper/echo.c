/*
 * echo.c - find a secret in what comes back, in the ways it may be spelled
 *
 * Theory of operation: every spelling of a whole secret is a pattern; echo_mixed.c finds those in
 * which each byte may be written in another way. A search steps through the stream by the shortest
 * pattern's length at most (Wu and Manber 1994): a table tells, for the two bytes at the end of the
 * window, how far any pattern's beginning can be; packs look random, so nearly every step is a
 * whole one, and patterns are compared only where the table says "here". Base64 of a secret inside
 * a longer text has three forms, by its place modulo three; their inner digits depend on the secret
 * alone and are the patterns. A secret may lie across the borders of what is read: the longest end
 * of it that begins a pattern is held back, nearly always nothing.
 * Not handled: ciphers, compression (zlib inside packs), another case of its letters, and pkt-lines
 * that cut a secret in two; an upstream that wants to tell has been told the secret anyway. Fuzzed
 * by tests/fuzz/fuzz_echo.c.
 */
#include "gitproxy/keeper/echo.h"

#include <errno.h>
#include <string.h>
#include <openssl/crypto.h>

#include "gitproxy/keeper/echo_mixed.h"

enum { SHIFT_BITS = 12, SPELL_MAX = 6 };

struct echo {
	struct echo_pattern pattern[ECHO_PATTERNS_MAX];
	struct echo_filter filter;
	size_t n, shortest, longest;
	uint8_t shift[1 << SHIFT_BITS];
	bool first[UINT8_MAX + 1]; /* bytes that begin a pattern */
};

int echo_new(struct echo **ret)
{
	struct echo *e = calloc(1, sizeof(*e));

	if (!e)
		return -ENOMEM;
	*ret = e;
	return 0;
}

void echo_free(struct echo *e)
{
	if (!e)
		return;
	for (size_t i = 0; i < e->n; i++) {
		OPENSSL_cleanse(e->pattern[i].p, e->pattern[i].n);
		free(e->pattern[i].p);
	}
	OPENSSL_cleanse(e, sizeof(*e));
	free(e);
}

/* ---- patterns ---- */

static unsigned block(const uint8_t *p)
{
	return (uint32_t)((p[0] | p[1] << 8) * 0x9e3779b1u) >> (32 - SHIFT_BITS);
}

/* How far the window may move when these two bytes are at its end. */
static void shifts_make(struct echo *e)
{
	size_t most = e->shortest - 1 < UINT8_MAX ? e->shortest - 1 : UINT8_MAX;

	memset(e->shift, (int)most, sizeof(e->shift));
	for (size_t i = 0; i < e->n; i++)
		for (size_t end = 2; end <= e->shortest; end++) {
			uint8_t *at = &e->shift[block(e->pattern[i].p + end - 2)];
			size_t left = e->shortest - end;

			if (left < *at)
				*at = (uint8_t)left;
		}
}

static bool known(const struct echo *e, struct rd p)
{
	for (size_t i = 0; i < e->n; i++)
		if (rd_eq(p, e->pattern[i].p, e->pattern[i].n))
			return true;
	return false;
}

static int pattern_add(struct echo *e, struct rd text, enum echo_form form)
{
	uint8_t *p;

	if (known(e, text))
		return 0;
	if (e->n == ECHO_PATTERNS_MAX)
		return -ENOMEM;
	p = malloc(text.n);
	if (!p)
		return -ENOMEM;
	memcpy(p, text.p, text.n);
	e->pattern[e->n] = (struct echo_pattern){ p, text.n, form };
	echo_filter_add(&e->filter, &e->pattern[e->n++]);
	e->first[*p] = true;
	if (text.n < e->shortest || e->n == 1)
		e->shortest = text.n;
	if (text.n > e->longest)
		e->longest = text.n;
	return 0;
}

/* ---- spellings: each writes the secret its way ---- */

static void spell_raw(struct wr *w, struct rd s)
{
	wr_rd_all(w, s);
}

static void escape(struct wr *w, const char *sign, const char *digits, uint8_t c)
{
	wr_str(w, sign);
	wr_u8(w, (uint8_t)digits[c >> 4]);
	wr_u8(w, (uint8_t)digits[c & 15]);
}

static const char lower[] = "0123456789abcdef", upper[] = "0123456789ABCDEF";

static void each_byte(struct wr *w, struct rd s, const char *sign, const char *digits)
{
	for (size_t i = 0; i < s.n; i++)
		escape(w, sign, digits, s.p[i]);
}
static void spell_hex(struct wr *w, struct rd s)
{
	each_byte(w, s, "", lower);
}
static void spell_hex_upper(struct wr *w, struct rd s)
{
	each_byte(w, s, "", upper);
}
/* As certificates' fingerprints are shown. */
static void colons(struct wr *w, struct rd s, const char *digits)
{
	for (size_t i = 0; i < s.n; i++)
		escape(w, i ? ":" : "", digits, s.p[i]);
}
static void spell_hex_colons(struct wr *w, struct rd s)
{
	colons(w, s, lower);
}
static void spell_hex_colons_upper(struct wr *w, struct rd s)
{
	colons(w, s, upper);
}

/* UTF-16 of either byte order: what it has between the secret's first byte and its last. */
static void spell_wide(struct wr *w, struct rd s)
{
	for (size_t i = 0; i < s.n; i++) {
		if (i)
			wr_u8(w, 0);
		wr_u8(w, s.p[i]);
	}
}

static const char alphabet[2][65] = {
	"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/",
	"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_",
};

/* The digits that depend on the secret alone, when it stands `at` bytes behind a border of three.
 */
static void base64(struct wr *w, struct rd s, unsigned at, const char *digits)
{
	size_t bits = 8 * s.n, from = at ? 6 - 8 * at % 6 : 0;

	for (size_t bit = from; bit + 6 <= bits; bit += 6) {
		size_t i = bit / 8;
		unsigned two = (unsigned)s.p[i] << 8 | (i + 1 < s.n ? s.p[i + 1] : 0);

		wr_u8(w, (uint8_t)digits[two >> (10 - bit % 8) & 63]);
	}
}
static void spell_base64_0(struct wr *w, struct rd s)
{
	base64(w, s, 0, alphabet[0]);
}
static void spell_base64_1(struct wr *w, struct rd s)
{
	base64(w, s, 1, alphabet[0]);
}
static void spell_base64_2(struct wr *w, struct rd s)
{
	base64(w, s, 2, alphabet[0]);
}
static void spell_base64url_0(struct wr *w, struct rd s)
{
	base64(w, s, 0, alphabet[1]);
}
static void spell_base64url_1(struct wr *w, struct rd s)
{
	base64(w, s, 1, alphabet[1]);
}
static void spell_base64url_2(struct wr *w, struct rd s)
{
	base64(w, s, 2, alphabet[1]);
}

/* Of the ways to escape, only those are here that are chosen for the whole; echo_mixed.c has the others. */
static const struct {
	void (*write)(struct wr *w, struct rd s);
	enum echo_form form;
} spellings[] = {
	{ spell_raw, ECHO_ESCAPED },	     { spell_hex, ECHO_PLAIN },
	{ spell_hex_upper, ECHO_PLAIN },     { spell_hex_colons, ECHO_PLAIN },
	{ spell_hex_colons_upper, ECHO_PLAIN }, { spell_wide, ECHO_PLAIN },
	{ spell_base64_0, ECHO_WRAPPED },    { spell_base64_1, ECHO_WRAPPED },
	{ spell_base64_2, ECHO_WRAPPED },    { spell_base64url_0, ECHO_WRAPPED },
	{ spell_base64url_1, ECHO_WRAPPED }, { spell_base64url_2, ECHO_WRAPPED },
};

int echo_add(struct echo *e, struct rd secret)
{
	size_t cap = SPELL_MAX * secret.n + 1;
	uint8_t *text;
	int r = 0;

	if (secret.n < ECHO_SECRET_MIN || secret.n > ECHO_SECRET_MAX)
		return -EINVAL;
	text = malloc(cap);
	if (!text)
		return -ENOMEM;
	for (size_t i = 0; i < ARRAY_SIZE(spellings) && !r; i++) {
		struct wr w = wr_of(text, cap);

		spellings[i].write(&w, secret);
		r = wr_ok(&w) ? pattern_add(e, wr_rd(&w), spellings[i].form) : -EINVAL;
	}
	OPENSSL_cleanse(text, cap);
	free(text);
	if (!r)
		shifts_make(e);
	return r;
}

/* ---- search ---- */

static bool begins(const struct echo *e, const uint8_t *p, size_t n)
{
	for (size_t i = 0; i < e->n; i++)
		if (e->pattern[i].n <= n && !memcmp(p, e->pattern[i].p, e->pattern[i].n))
			return true;
	return false;
}

static bool whole_in(const struct echo *e, struct rd text)
{
	size_t at = 0;

	while (text.n - at >= e->shortest) {
		size_t step = e->shift[block(text.p + at + e->shortest - 2)];

		if (!step && begins(e, text.p + at, text.n - at))
			return true;
		at += step ? step : 1;
	}
	return false;
}

bool echo_in(const struct echo *e, struct rd text)
{
	size_t open = text.n;

	return e && e->n &&
	       (whole_in(e, text) || echo_mixed_in(&e->filter, e->pattern, e->n, text, &open));
}

/* How many of the last bytes begin a pattern that is longer than they are. */
static size_t unfinished(const struct echo *e, struct rd text)
{
	size_t most = text.n < e->longest - 1 ? text.n : e->longest - 1;

	for (size_t n = most; n; n--) {
		const uint8_t *p = text.p + text.n - n;

		for (size_t i = 0; e->first[*p] && i < e->n; i++)
			if (e->pattern[i].n > n && !memcmp(p, e->pattern[i].p, n))
				return n;
	}
	return 0;
}

/* ---- a stream ---- */

void echo_scan_init(struct echo_scan *s, const struct echo *e)
{
	*s = (struct echo_scan){ .echo = e && e->n ? e : NULL };
}

static void drop(uint8_t **p, size_t n)
{
	if (*p)
		OPENSSL_cleanse(*p, n);
	free(*p);
	*p = NULL;
}

void echo_scan_done(struct echo_scan *s)
{
	drop(&s->hold, s->hold_n);
	drop(&s->joined, 0);
	s->hold_n = 0;
}

static bool join(struct echo_scan *s, struct rd *in)
{
	uint8_t *both = malloc(s->hold_n + in->n);

	if (!both)
		return false;
	memcpy(both, s->hold, s->hold_n);
	memcpy(both + s->hold_n, in->p, in->n);
	*in = rd_of(both, s->hold_n + in->n);
	s->joined = both;
	return true;
}

bool echo_scan_next(struct echo_scan *s, struct rd in, struct rd *ret_pass)
{
	size_t back, open;

	*ret_pass = in;
	if (!s->echo || !in.n)
		return true;
	drop(&s->joined, 0);
	*ret_pass = (struct rd){ 0 };
	if ((s->hold_n && !join(s, &in)) || whole_in(s->echo, in))
		return false;
	open = in.n - unfinished(s->echo, in);
	if (echo_mixed_in(&s->echo->filter, s->echo->pattern, s->echo->n, in, &open))
		return false;
	back = in.n - open;
	drop(&s->hold, s->hold_n);
	s->hold_n = 0;
	if (back && !(s->hold = malloc(back)))
		return false;
	if (back)
		memcpy(s->hold, in.p + in.n - back, back);
	s->hold_n = back;
	*ret_pass = rd_of(in.p, in.n - back);
	return true;
}

struct rd echo_scan_end(const struct echo_scan *s)
{
	return rd_of(s->hold, s->hold_n);
}
