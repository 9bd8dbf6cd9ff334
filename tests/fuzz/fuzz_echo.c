/*
 * fuzz_echo.c - secrets found in streams
 *
 * The first byte is the secret's length, the second the size of pieces; then the secret and a text.
 * Whole and in pieces must be judged alike; what passes is what came, or its beginning; the plain
 * secret is found exactly where memmem() finds it, and nothing that was found goes on.
 */
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>
#include <string.h>

#include "gitproxy/keeper/echo.h"

enum { TEXT_MAX = 1 << 14 };

static bool run(const struct echo *e, struct rd text, size_t step, struct wr *out)
{
	struct echo_scan s;
	struct rd piece, pass;
	bool ok = true;

	echo_scan_init(&s, e);
	while (ok && rd_left(&text)) {
		if (!rd_take(&text, text.n < step ? text.n : step, &piece))
			abort();
		ok = echo_scan_next(&s, piece, &pass);
		wr_rd_all(out, pass);
	}
	if (ok)
		wr_rd_all(out, echo_scan_end(&s));
	echo_scan_done(&s);
	return ok;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static uint8_t passed[TEXT_MAX];
	AUTO(echo) struct echo *e = NULL;
	struct wr whole = wr_of(passed, sizeof(passed)), pieces = whole;
	struct rd in = rd_of(data, n), secret;
	uint8_t length, step;
	bool clean;

	if (n > TEXT_MAX || !rd_u8(&in, &length) || !rd_u8(&in, &step) || !rd_take(&in, length, &secret))
		return 0;
	if (echo_new(&e))
		abort();
	if (echo_add(e, secret))
		return 0; /* its length */
	clean = run(e, in, in.n + 1, &whole);
	if (clean != !echo_in(e, in) || (clean && !rd_eq(in, passed, whole.n)))
		abort();
	if (run(e, in, 1 + step, &pieces) != clean || pieces.failed || pieces.n > in.n ||
	    (pieces.n && memcmp(passed, in.p, pieces.n)) || (clean && pieces.n != in.n))
		abort();
	if (in.n && memmem(in.p, in.n, secret.p, secret.n) && clean)
		abort();
	if (pieces.n && memmem(passed, pieces.n, secret.p, secret.n))
		abort();
	return 0;
}
