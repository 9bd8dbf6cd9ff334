/*
 * fuzz_http_body.c - framing and gzip of request bodies
 *
 * The first byte chooses: gzip, a length, or chunked. The rest is fed whole and in small pieces,
 * and both must give the same bytes, the same end and the same judgement.
 */
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>

#include "gitproxy/front/http_body.h"

enum { OUT_MAX = 1 << 16 };

struct result {
	uint8_t out[OUT_MAX];
	struct wr w;
	bool bad, done;
	size_t left;
};

static void framing(const struct http_head *h, const uint8_t *data, size_t n, size_t step,
		    struct result *ret)
{
	struct http_body b;
	struct rd rest, piece;

	http_body_init(&b, h);
	for (size_t at = 0; at < n && !b.done && !ret->bad; at += step) {
		rest = rd_of(data + at, n - at < step ? n - at : step);
		while (!b.done) {
			enum parse r = http_body_next(&b, &rest, &piece);

			wr_rd_all(&ret->w, piece);
			ret->bad = r == PARSE_BAD;
			if (r != PARSE_OK)
				break;
		}
		ret->left = n - at - (n - at < step ? n - at : step) + rest.n;
	}
	ret->done = b.done;
}

static void gunzip(const uint8_t *data, size_t n, size_t step, struct result *ret)
{
	uint8_t window[64];
	struct http_gzip g;
	enum parse r;

	if (http_gzip_init(&g) < 0)
		abort();
	for (size_t at = 0; at < n && !ret->bad; at += step) {
		struct rd in = rd_of(data + at, n - at < step ? n - at : step);

		do {
			struct wr w = wr_of(window, sizeof(window));

			r = http_gzip_next(&g, &in, &w);
			ret->bad = r == PARSE_BAD;
			wr_rd_all(&ret->w, wr_rd(&w));
		} while (r == PARSE_OK && ret->w.n < OUT_MAX && !ret->w.failed);
	}
	ret->done = http_gzip_complete(&g);
	http_gzip_done(&g);
}

static void run(const uint8_t *data, size_t n, size_t step, struct result *ret)
{
	struct http_head h = { .framing = data[0] % 3 == 1 ? HTTP_LENGTH : HTTP_CHUNKED,
			       .length = data[0] };

	memset(ret, 0, sizeof(*ret));
	ret->w = wr_of(ret->out, sizeof(ret->out));
	if (data[0] % 3 == 0)
		gunzip(data + 1, n - 1, step, ret);
	else
		framing(&h, data + 1, n - 1, step, ret);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static struct result whole, pieces;

	if (n < 2 || n > 1 << 14)
		return 0;
	run(data, n, n, &whole);
	run(data, n, 1 + data[1] % 7, &pieces);
	if (whole.w.failed || pieces.w.failed)
		return 0; /* a bomb; the proxy stops at its limit too */
	if (whole.bad != pieces.bad || whole.done != pieces.done)
		abort();
	if (!whole.bad && (whole.w.n != pieces.w.n || memcmp(whole.out, pieces.out, whole.w.n)))
		abort();
	if (whole.done && data[0] % 3 && whole.left != pieces.left)
		abort();
	return 0;
}
