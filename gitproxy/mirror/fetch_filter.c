/*
 * fetch_filter.c - which filters of partial clones are taken
 *
 * Theory of operation: a filter is a small program that git runs for the client, so only forms
 * whose cost is known are taken. sparse:oid= is not: its value is an expression that git would
 * resolve in the repository. Numbers are decimal, since git reads others as octal or hexadecimal.
 * Fuzzed through tests/fuzz/fuzz_fetch_request.c.
 */
#include "gitproxy/mirror/fetch_filter.h"

enum { NUMBER_DIGITS_MAX = 18, TREE_DEPTH_MAX = 1 << 16 };

/* Digits, no leading zero unless it is the only one. */
static bool digits(struct rd *io, uint64_t *ret)
{
	bool zero = rd_left(io) && io->p[0] == '0';
	size_t n = 0;
	uint8_t c;

	*ret = 0;
	for (; rd_left(io) && io->p[0] >= '0' && io->p[0] <= '9'; n++) {
		if (n == NUMBER_DIGITS_MAX || !rd_u8(io, &c))
			return false;
		*ret = *ret * 10 + (c - '0');
	}
	return n == 1 || (n > 1 && !zero);
}

bool fetch_number(struct rd text, uint64_t max, uint64_t *ret)
{
	return digits(&text, ret) && rd_done(&text) && *ret && *ret <= max;
}

static bool limit_ok(struct rd value)
{
	uint64_t n;
	uint8_t unit;

	if (!digits(&value, &n))
		return false;
	return !rd_left(&value) ||
	       (rd_u8(&value, &unit) && memchr("kmgKMG", unit, 6) && !rd_left(&value));
}

static bool depth_ok(struct rd value)
{
	uint64_t n;

	return digits(&value, &n) && rd_done(&value) && n <= TREE_DEPTH_MAX;
}

static bool type_ok(struct rd value)
{
	static const char *const types[] = { "blob", "tree", "commit", "tag" };

	for (size_t i = 0; i < ARRAY_SIZE(types); i++)
		if (rd_eq_str(value, types[i]))
			return true;
	return false;
}

static bool one_ok(struct rd spec)
{
	if (rd_prefix(&spec, "blob:limit="))
		return limit_ok(spec);
	if (rd_prefix(&spec, "tree:"))
		return depth_ok(spec);
	if (rd_prefix(&spec, "object:type="))
		return type_ok(spec);
	return rd_eq_str(spec, "blob:none");
}

bool fetch_filter_ok(struct rd spec)
{
	struct rd part;

	if (!rd_prefix(&spec, "combine:"))
		return one_ok(spec);
	for (unsigned n = 1; rd_has(spec, '+'); n++)
		if (n == FILTER_PARTS_MAX || !rd_until(&spec, '+', &part) || !one_ok(part))
			return false;
	return one_ok(spec);
}
