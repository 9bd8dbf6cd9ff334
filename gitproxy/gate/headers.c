/*
 * headers.c - what commits and tags have in common: lines before an empty one
 *
 * Theory of operation: as strict as `git fsck --strict`, in dates and signs a bit more: digits are
 * digits. Allocates nothing. Fuzzed by tests/fuzz/fuzz_commit.c and fuzz_tag.c.
 */
#include "gitproxy/gate/headers.h"

enum fault headers_whole(struct rd bytes)
{
	const uint8_t *end = bytes.n ? memmem(bytes.p, bytes.n, "\n\n", 2) : NULL;
	size_t n = end ? (size_t)(end - bytes.p) : bytes.n;

	if (n && memchr(bytes.p, '\0', n))
		return FAULT_NUL;
	return end || (n && bytes.p[n - 1] == '\n') ? FAULT_NONE : FAULT_HEADERS;
}

bool headers_line(struct rd *bytes, const char *word, struct rd *ret_value)
{
	struct rd left = *bytes;

	*ret_value = (struct rd){ 0 };
	if (!rd_prefix(&left, word) || !rd_prefix(&left, " ") || !rd_until(&left, '\n', ret_value))
		return false;
	*bytes = left;
	return true;
}

bool headers_id(struct rd *bytes, const char *word, enum object_format format, struct oid *ret)
{
	struct rd left = *bytes, value;

	if (!headers_line(&left, word, &value) || !oid_parse(value, format, ret))
		return false;
	*bytes = left;
	return true;
}

static bool digit(struct rd *r, uint8_t *ret)
{
	return rd_left(r) && rd_u8(r, ret) && *ret >= '0' && *ret <= '9';
}

static enum fault date(struct rd *r, uint64_t *ret)
{
	struct rd digits, left;
	uint64_t v = 0;
	uint8_t c;

	if (!rd_until(r, ' ', &digits) || !rd_left(&digits))
		return FAULT_DATE;
	if (digits.p[0] == '0' && rd_left(&digits) > 1)
		return FAULT_DATE_PADDED;
	for (left = digits; rd_left(&left);) {
		if (!digit(&left, &c))
			return FAULT_DATE;
		if (v > (uint64_t)(INT64_MAX - (c - '0')) / 10)
			return FAULT_DATE_RANGE;
		v = 10 * v + (c - '0');
	}
	*ret = v;
	return FAULT_NONE;
}

static bool zone(struct rd r)
{
	uint8_t c;

	if (rd_left(&r) != 5 || (!rd_prefix(&r, "+") && !rd_prefix(&r, "-")))
		return false;
	while (rd_left(&r))
		if (!digit(&r, &c))
			return false;
	return true;
}

/* Up to the first of < and >, which stays. False: there is none. */
static bool until_angle(struct rd *r, struct rd *ret_before)
{
	size_t n = 0;

	while (n < r->n && r->p[n] != '<' && r->p[n] != '>')
		n++;
	return n < r->n && rd_take(r, n, ret_before);
}

enum fault headers_ident(struct rd value, uint64_t *ret_date)
{
	struct rd name, address;
	enum fault f;

	*ret_date = 0;
	if (!until_angle(&value, &name))
		return FAULT_NO_EMAIL;
	if (!rd_prefix(&value, "<"))
		return FAULT_BAD_NAME;
	if (!rd_left(&name))
		return FAULT_NO_NAME;
	if (name.p[name.n - 1] != ' ')
		return FAULT_EMAIL_SPACE;
	if (!until_angle(&value, &address) || !rd_prefix(&value, ">"))
		return FAULT_BAD_EMAIL;
	if (!rd_prefix(&value, " "))
		return FAULT_DATE_SPACE;
	f = date(&value, ret_date);
	if (f != FAULT_NONE)
		return f;
	return zone(value) ? FAULT_NONE : FAULT_ZONE;
}
