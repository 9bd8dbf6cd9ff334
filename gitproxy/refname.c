/*
 * refname.c - which names of references are taken
 *
 * Theory of operation: the rules of git-check-ref-format(1), by component, and bounds on the whole
 * and on a component: git makes files and lock files of these names. Bytes above 0x7f are allowed,
 * as git does. Allocates nothing. Fuzzed through tests/fuzz/fuzz_ls_refs.c.
 */
#include "gitproxy/refname.h"

static bool byte_ok(uint8_t c)
{
	static const char refused[] = " ~^:?*[\\";

	return c > 0x1f && c != 0x7f && !memchr(refused, c, sizeof(refused) - 1);
}

static bool ends_with(struct rd r, const char *end)
{
	size_t n = strlen(end);

	return r.n >= n && rd_skip(&r, r.n - n) && rd_eq_str(r, end);
}

static bool part_ok(struct rd part)
{
	uint8_t c, before = '.';	/* so that a dot in front is the second of two */

	if (!rd_left(&part) || rd_left(&part) > REFNAME_PART_MAX || ends_with(part, ".lock"))
		return false;
	while (rd_left(&part)) {
		if (!rd_u8(&part, &c) || !byte_ok(c) || (before == '.' && c == '.') ||
		    (before == '@' && c == '{'))
			return false;
		before = c;
	}
	return true;
}

static bool parts_ok(struct rd name, size_t *ret_parts)
{
	struct rd part;

	*ret_parts = 0;
	if (!rd_left(&name) || rd_left(&name) > REFNAME_MAX || name.p[name.n - 1] == '.')
		return false;
	while (rd_has(name, '/')) {
		if (!rd_until(&name, '/', &part) || !part_ok(part) || !rd_left(&name))
			return false;
		++*ret_parts;
	}
	++*ret_parts;
	return part_ok(name);
}

bool refname_ok(struct rd name)
{
	size_t parts;

	return parts_ok(name, &parts) && parts > 1;
}

bool refname_ok_onelevel(struct rd name)
{
	size_t parts;

	return parts_ok(name, &parts) && !rd_eq_str(name, "@");
}
