/*
 * fuzz_http_head.c - request heads
 *
 * A head that is accepted has an end that no shorter input has, a host, and one kind of framing;
 * its slices lie inside it. What is incomplete can still become a head only below the limit.
 */
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>

#include "gitproxy/http_head.h"

static void inside(struct rd slice, const uint8_t *data, size_t used)
{
	if (slice.p && (slice.p < data || slice.p + slice.n > data + used))
		abort();
}

static void check_head(const struct http_head *h, const uint8_t *data, size_t n, size_t used)
{
	struct http_head again;
	size_t used_again;

	if (!used || used > n || used > HTTP_HEAD_MAX || !http_has(h, HTTP_HOST))
		abort();
	if (http_has(h, HTTP_CONTENT_LENGTH) && http_has(h, HTTP_TRANSFER_ENCODING))
		abort();
	inside(h->target, data, used);
	inside(h->method_text, data, used);
	for (int i = 0; i < HTTP_FIELD_COUNT; i++)
		inside(h->field[i], data, used);
	if (http_head_parse(rd_of(data, used - 1), &again, &used_again) != PARSE_MORE ||
	    http_head_parse(rd_of(data, used), &again, &used_again) != PARSE_OK ||
	    used_again != used)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct http_head h;
	size_t used;

	switch (http_head_parse(rd_of(data, n), &h, &used)) {
	case PARSE_OK:
		check_head(&h, data, n, used);
		break;
	case PARSE_MORE:
		if (n >= HTTP_HEAD_MAX)
			abort();
		break;
	case PARSE_BAD:
		break;
	}
	return 0;
}
