/*
 * bytes.c - the parts of the cursor and the writer that are too long for a header
 *
 * Theory of operation: see bytes.h. bytes_escape() turns peer bytes into text that neither a log
 * reader nor a terminal can be fooled with: it goes through the input one character at a time, and
 * whatever is not a complete, shortest-form, printable UTF-8 character is shown byte by byte as
 * \xNN.
 * Invariants: allocates nothing, keeps no state, output is always NUL-terminated
 * and consists of whole units, so a cut never leaves half an escape.
 * Spec: RFC 3629 (UTF-8). Fuzzed by tests/fuzz/fuzz_bytes_escape.c.
 */
#include "base/bytes.h"

#include <stdarg.h>
#include <stdio.h>

static uint8_t ascii_lower(uint8_t c)
{
	return c >= 'A' && c <= 'Z' ? c | 0x20 : c;
}

bool rd_eq_nocase(struct rd r, const char *s)
{
	if (r.failed || r.n != strlen(s))
		return false;
	for (size_t i = 0; i < r.n; i++)
		if (ascii_lower(r.p[i]) != ascii_lower((uint8_t)s[i]))
			return false;
	return true;
}

bool rd_hex(struct rd *r, void *ret_to, size_t n)
{
	uint8_t *to = ret_to, c;

	memset(to, 0, n);
	for (size_t i = 0; i < 2 * n; i++) {
		int v = rd_u8(r, &c) && ascii_lower(c) == c ? hex_digit(c) : -1;

		if (v < 0) {
			memset(to, 0, n);
			return rd_fail(r);
		}
		to[i / 2] = (uint8_t)(to[i / 2] << 4 | v);
	}
	return true;
}

static void hex(const uint8_t *p, size_t n, uint8_t *to)
{
	static const char digits[] = "0123456789abcdef";

	for (size_t i = 0; i < n; i++) {
		to[2 * i] = (uint8_t)digits[p[i] >> 4];
		to[2 * i + 1] = (uint8_t)digits[p[i] & 15];
	}
}

bool wr_hex(struct wr *w, const void *p, size_t n)
{
	uint8_t *to = wr_room(w, 2 * n);

	if (to)
		hex(p, n, to);
	return to != NULL;
}

void bytes_hex(const void *p, size_t n, char *to)
{
	hex(p, n, (uint8_t *)to);
	to[2 * n] = '\0';
}

bool wr_fmt(struct wr *w, const char *fmt, ...)
{
	size_t room = w->failed ? 0 : w->cap - w->n;
	va_list ap;
	int n;

	if (w->failed)
		return false;
	va_start(ap, fmt);
	/* vsnprintf ends with a NUL, which needs a byte of room although it does not count. */
	n = vsnprintf(room ? (char *)w->p + w->n : NULL, room, fmt, ap);
	va_end(ap);
	if (n < 0 || (size_t)n >= room)
		return !(w->failed = true);
	w->n += (size_t)n;
	return true;
}

bool wr_decimal(struct wr *w, uint64_t v)
{
	uint8_t digits[20];			/* of 2^64 - 1 */
	size_t at = sizeof(digits);

	do
		digits[--at] = (uint8_t)('0' + v % 10);
	while (v /= 10);
	return wr_put(w, digits + at, sizeof(digits) - at);
}

/* Characters that are valid UTF-8 but reorder, hide or break the text around them. */
static bool char_is_unsafe(uint32_t c)
{
	static const struct { uint32_t from, to; } ranges[] = {
		{ 0x0000, 0x001f },	/* C0 */
		{ 0x007f, 0x009f },	/* DEL, C1: U+009B starts a control sequence */
		{ 0x200b, 0x200f },	/* zero width, direction marks */
		{ 0x2028, 0x202e },	/* line separators, direction overrides */
		{ 0x2060, 0x206f },	/* invisible operators, isolates */
		{ 0xfeff, 0xfeff },	/* byte order mark */
	};

	for (size_t i = 0; i < ARRAY_SIZE(ranges); i++)
		if (c >= ranges[i].from && c <= ranges[i].to)
			return true;
	return false;
}

/* Bytes of the character r starts with, 0 when there is no complete and shortest-form one. */
static size_t utf8_char(struct rd r, uint32_t *ret_c)
{
	static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
	uint8_t b;
	size_t n;

	if (!rd_u8(&r, &b))
		return 0;
	n = b < 0x80 ? 1 : b >> 5 == 6 ? 2 : b >> 4 == 14 ? 3 : b >> 3 == 30 ? 4 : 0;
	if (!n)
		return 0;
	*ret_c = n == 1 ? b : b & (0x7fu >> n);
	for (size_t i = 1; i < n; i++) {
		if (!rd_u8(&r, &b) || b >> 6 != 2)
			return 0;
		*ret_c = *ret_c << 6 | (b & 0x3f);
	}
	if (*ret_c < least[n] || *ret_c > 0x10ffff || (*ret_c >= 0xd800 && *ret_c <= 0xdfff))
		return 0;
	return n;
}

/* The next character of `in` as it is shown, at most 4 bytes; how many were written. */
static size_t escape_next(struct rd *in, char unit[5])
{
	uint32_t c = 0;
	size_t n = utf8_char(*in, &c);
	uint8_t b;

	if (!n || char_is_unsafe(c)) {
		if (!rd_u8(in, &b))
			return 0;
		return (size_t)snprintf(unit, 5, "\\x%02x", b);
	}
	if (n == 1 && (c == '\\' || c == '"')) {
		unit[0] = '\\';
		unit[1] = (char)c;
		return rd_skip(in, 1) ? 2 : 0;
	}
	return rd_copy(in, unit, n) ? n : 0;
}

/* How many of the next bytes, at most that many, are shown as they are: nearly always all of them. */
static size_t plain_bytes(struct rd in, size_t most)
{
	size_t n = 0;

	if (most > in.n)
		most = in.n;
	while (n < most && in.p[n] >= ' ' && in.p[n] < 0x7f && in.p[n] != '\\' && in.p[n] != '"')
		n++;
	return n;
}

size_t bytes_escape(struct rd in, size_t max, char *out, size_t cap)
{
	static const char dots[] = "...";
	struct wr w = wr_of(out, cap);
	bool cut = in.n > max;
	struct rd plain;
	char unit[5];

	if (!cap)
		return 0;
	if (cut)
		in.n = max;
	while (rd_left(&in)) {
		size_t room = cap - w.n, n = plain_bytes(in, room > sizeof(dots) ? room - sizeof(dots) : 0);

		if (n) {
			if (!rd_take(&in, n, &plain) || !wr_rd_all(&w, plain))
				break;
			continue;
		}
		n = escape_next(&in, unit);
		if (n + sizeof(dots) > cap - w.n) {	/* keeps room for the dots and the NUL */
			cut = true;
			break;
		}
		wr_put(&w, unit, n);
	}
	if (cut && sizeof(dots) <= cap - w.n)
		wr_str(&w, dots);
	out[w.n] = 0;
	return w.n;
}
