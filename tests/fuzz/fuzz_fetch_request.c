/*
 * fuzz_fetch_request.c - requests of protocol v2: a request written anew is taken again, is the
 * same bytes again, and fits its bound; one that is refused has a sentence
 */
#include "tests/fuzz/fuzz.h"

#include <errno.h>
#include <stdlib.h>

#include "gitproxy/mirror/fetch_request.h"

static uint8_t *written(const struct fetch_request *q, size_t *ret_n)
{
	size_t cap = fetch_request_bound(q);
	uint8_t *p = malloc(cap);
	struct wr w = wr_of(p, cap);

	if (!p || !fetch_request_write(q, &w))
		abort();
	*ret_n = w.n;
	return p;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static const uint8_t zero[FETCH_KEY];
	struct fetch_error error = { 0 };
	struct fetch_request q, again;
	uint8_t key[FETCH_KEY];
	size_t first_n, second_n;
	AUTO(mem) uint8_t *first = NULL;
	AUTO(mem) uint8_t *second = NULL;
	int r = fetch_request_parse(rd_of(data, n), &q, &error);

	if (r == -EBADMSG && (!error.text[0] || !memchr(error.text, 0, sizeof(error.text))))
		abort();
	if (r < 0)
		return 0;
	first = written(&q, &first_n);
	if (fetch_request_key(&q, zero, zero, key) < 0 ||
	    fetch_request_parse(rd_of(first, first_n), &again, &error) < 0)
		abort();
	second = written(&again, &second_n);
	if (first_n != second_n || memcmp(first, second, first_n))
		abort();
	fetch_request_done(&again);
	fetch_request_done(&q);
	return 0;
}
