/*
 * fuzz_websocket.c - the head of an answer, and whether it is the 101 to a handshake
 *
 * Up to the first NUL stand the fields of a request, behind it an answer. A head that is whole is one
 * whatever stands behind it, and is none without its last byte; an answer that fits has the accept
 * value of the one key, so it does not fit another.
 */
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>

#include "gitproxy/http_fields.h"
#include "gitproxy/http_head.h"
#include "gitproxy/websocket.h"

static const char other[] = "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\nSec-WebSocket-Version: 13\n";

static bool answer(struct rd in, struct http_answer *ret)
{
	struct http_answer again;
	size_t used, used_again;

	if (http_answer_parse(in, ret, &used) != PARSE_OK)
		return false;
	if (used > in.n || used > HTTP_HEAD_MAX || ret->lines.n > used || ret->status < 100 || ret->status > 599)
		abort();
	if (http_answer_parse(rd_of(in.p, used), &again, &used_again) != PARSE_OK || used_again != used)
		abort();
	if (http_answer_parse(rd_of(in.p, used - 1), &again, &used_again) != PARSE_MORE)
		abort();
	return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct rd in = rd_of(data, n), request = { 0 };
	struct http_answer a;
	bool asked;

	if (n && memchr(data, 0, n) && !rd_until(&in, '\0', &request))
		abort();
	asked = websocket_asked(request);
	if (asked && !request.n)
		abort();
	if (!answer(in, &a) || !websocket_fits(request, a.lines))
		return 0;
	if (websocket_fits(rd_str(other), a.lines) && !memmem(request.p, request.n, "AAAAAAAAAAAAAAAAAAAAAA==", 24))
		abort();
	return 0;
}
