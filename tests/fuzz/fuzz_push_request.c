/*
 * fuzz_push_request.c - a push means the same in whatever pieces it comes, and what is taken is a list; the
 * first byte is the size of the pieces
 */
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>

#include "gitproxy/mirror/push_request.h"

static enum parse feed(struct push_request *q, struct rd all, size_t step)
{
	enum parse r = PARSE_MORE;
	struct rd part, pack;

	while (r != PARSE_BAD && rd_left(&all) && rd_take(&all, all.n < step ? all.n : step, &part))
		r = push_request_next(q, part, &pack);
	return r == PARSE_BAD ? r : push_request_end(q);
}

static void check(const struct push_request *q)
{
	if (q->probe)
		return;
	q->list->upstream = PUSH_CAPABILITIES;
	if (!push_list_ok(rd_of(q->list, push_list_size(q->list))))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	AUTO(push_request) struct push_request *pieces = NULL;
	AUTO(push_request) struct push_request *whole = NULL;
	enum parse r;

	if (!n || push_request_new(&pieces) < 0 || push_request_new(&whole) < 0)
		return 0;
	r = feed(pieces, rd_of(data + 1, n - 1), data[0] + 1u);
	if (r != feed(whole, rd_of(data + 1, n - 1), n) || pieces->reason != whole->reason ||
	    push_list_size(pieces->list) != push_list_size(whole->list) ||
	    memcmp(pieces->list, whole->list, push_list_size(whole->list)))
		abort();
	if (r == PARSE_OK)
		check(whole);
	else if (whole->reason == REASON_NONE)
		abort();
	return 0;
}
