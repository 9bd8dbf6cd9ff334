/*
 * fuzz_hello.c - any bytes as a ClientHello's body: what is let through names the right server
 */
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>
#include <strings.h>

#include "netd/inspect/hello.h"

static void expect(bool ok)
{
	if (!ok)
		abort();
}

/* The canonical form is one that stays what it is. */
static void name_is_stable(struct rd sent)
{
	char once[HELLO_NAME_MAX], twice[HELLO_NAME_MAX];

	if (hello_name(sent, once) != PARSE_OK) {
		expect(!once[0]);
		return;
	}
	expect(hello_name(rd_str(once), twice) == PARSE_OK && !strcmp(once, twice));
	expect(strlen(once) == rd_left(&sent) || strlen(once) + 1 == rd_left(&sent));
	expect(!strncasecmp(once, (const char *)sent.p, strlen(once)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct hello h = { 0 }, early = { 0 };
	enum parse peeked = hello_peek(rd_of(data, n), &early);

	name_is_stable(rd_of(data, n));
	if (hello_parse(rd_of(data, n), &h) != PARSE_OK)
		return 0;
	expect(peeked == PARSE_OK && early.has_name == h.has_name && early.ech == h.ech);
	expect(h.has_name == (rd_left(&h.name) > 0));
	if (h.has_name)
		expect(h.name.p >= data && h.name.p + h.name.n <= data + n);
	if (hello_check(&h, "pypi.example") != REASON_NONE)
		return 0;
	expect(h.has_name && !h.ech && rd_left(&h.name) >= 12);
	expect(!strncasecmp((const char *)h.name.p, "pypi.example", 12));
	expect(rd_left(&h.name) == 12 || rd_eq_str(rd_of(h.name.p + 12, h.name.n - 12), "."));
	return 0;
}
