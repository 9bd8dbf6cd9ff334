/*
 * fuzz_http_fields.c - fields that are passed on, queries, and where a Location leads
 *
 * The first byte chooses. A copied block is one that the other end accepts; a head's fields are
 * accepted or refused alike however often they are copied; a location that is not relative has a
 * canonical host; a request that brings an account along does so too when the keeper fills a field
 * that it does not have.
 */
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>

#include "gitproxy/http_account.h"
#include "gitproxy/http_fields.h"
#include "gitproxy/http_location.h"

static void fields(struct rd in)
{
	static char out[1 << 16], less[1 << 16];
	struct wr w = wr_of(out, sizeof(out)), l = wr_of(less, sizeof(less));

	http_fields_ok(in, HTTP_TO_CLIENT);
	if (!http_fields_copy(in, HTTP_TO_SERVER, &w))
		return;
	if (!http_fields_ok(wr_rd(&w), HTTP_TO_SERVER))
		abort();
	/* Any bytes will do for the list: what is left is a block still. */
	if (!http_fields_without(wr_rd(&w), in, &l) || !http_fields_ok(wr_rd(&l), HTTP_TO_SERVER))
		abort();
}

static void doh(struct rd in)
{
	struct rd path, query, target = in, block = { 0 };

	if (in.n && memchr(in.p, '\n', in.n)) {
		block = in;
		if (!rd_until(&block, '\n', &target))
			abort();
	}
	http_target_split(target, &path, &query);
	if (path.n + (query.p ? query.n + 1 : 0) != target.n)
		abort();
	http_is_doh(path, query, block);
	if (http_has_account(query, block, "authorization") && !http_has_account(query, block, "x"))
		abort();
}

static void location(struct rd in)
{
	char again[POLICY_NAME_MAX + 1];
	struct http_location l;

	if (http_location_parse(in, true, &l) != PARSE_OK || l.relative)
		return;
	if (!l.port || !name_canonical(rd_str(l.host), again) || strcmp(again, l.host))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct rd in = rd_of(data, n);
	uint8_t what;

	if (!rd_u8(&in, &what))
		return 0;
	if (what % 3 == 0)
		fields(in);
	else if (what % 3 == 1)
		doh(in);
	else
		location(in);
	return 0;
}
