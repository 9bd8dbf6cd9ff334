/*
 * fuzz_route.c - targets of the explicit route
 *
 * What is accepted is made of its parts and nothing else: written together again they are the
 * input, the host is canonical, and the token is one.
 */
#include "tests/fuzz/fuzz.h"

#include <stdio.h>
#include <stdlib.h>

#include "gitproxy/front/route.h"
#include "policy/scope.h"

static void check_parts(struct rd target, const struct route *r)
{
	char again[4096], host[POLICY_NAME_MAX + 1];
	struct wr w = wr_of(again, sizeof(again));

	wr_str(&w, "/git/");
	wr_rd_all(&w, r->scope);
	wr_str(&w, "/");
	wr_str(&w, r->host);
	wr_rd_all(&w, r->target);
	if (wr_ok(&w) && !rd_eq(target, again, w.n))
		abort();
	if (!name_canonical(rd_str(r->host), host) || strcmp(host, r->host) || !scope_ok(r->scope))
		abort();
	if (!r->target.n || r->target.p[0] != '/' || !route_is(target))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct addr a = { .family = 4, .b = { 10, 1, 0, 1 } };
	struct route r;

	if (route_parse(rd_of(data, n), &r) == PARSE_OK)
		check_parts(rd_of(data, n), &r);
	route_host_is(rd_of(data, n), &a, 8085);
	return 0;
}
