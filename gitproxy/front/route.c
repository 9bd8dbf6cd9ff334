/*
 * route.c - a request target of the explicit route
 *
 * Theory of operation: the raw bytes are cut at the first slashes; there is no decoding, so each
 * request has one spelling. The token has its one form, the host must be canonical as it stands,
 * and what is behind it goes, slash and query included, to the parser that reads the targets of
 * that host on the transparent route: the policy cannot tell the two apart.
 * Invariants: allocates nothing, keeps no state; outputs change on success only.
 * Fuzzed by tests/fuzz/fuzz_route.c.
 */
#include "gitproxy/front/route.h"

#include "policy/scope.h"

#define ROUTE_PREFIX "/git/"
enum { PORT_HTTP = 80 };

bool route_is(struct rd target)
{
	return rd_prefix(&target, ROUTE_PREFIX);
}

enum parse route_parse(struct rd target, struct route *ret)
{
	struct route got = { 0 };
	const uint8_t *slash;
	struct rd host;

	if (!rd_prefix(&target, ROUTE_PREFIX) || !rd_until(&target, '/', &got.scope) ||
	    !scope_ok(got.scope))
		return PARSE_BAD;
	slash = target.n ? memchr(target.p, '/', target.n) : NULL;
	if (!slash || !rd_take(&target, (size_t)(slash - target.p), &host))
		return PARSE_BAD;
	if (!name_canonical(host, got.host) || !rd_eq_str(host, got.host))
		return PARSE_BAD;
	got.target = target;
	*ret = got;
	return PARSE_OK;
}

bool route_host_is(struct rd host, const struct addr *a, uint16_t port)
{
	char text[ADDR_TEXT_MAX], want[ADDR_TEXT_MAX + 16];
	struct wr w = wr_of(want, sizeof(want));

	addr_format(a, text);
	wr_fmt(&w, a->family == 6 ? "[%s]" : "%s", text);
	if (port == PORT_HTTP && rd_eq_nocase(host, want))
		return true;
	wr_fmt(&w, ":%u", port);
	return wr_ok(&w) && rd_eq_nocase(host, want);
}
