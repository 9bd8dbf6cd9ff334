/*
 * fuzz_gitmodules.c - .gitmodules and .gitattributes: settings lie within the text's length
 */
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>

#include "gitproxy/gate/config_text.h"
#include "gitproxy/gate/special.h"

struct counter {
	struct config_text_to to;
	size_t longest;
};

static bool on_setting(struct config_text_to *to, struct rd name, struct rd value, bool no_value)
{
	struct counter *c = container_of(to, struct counter, to);

	if (!rd_left(&name) || name.n + value.n > c->longest || (no_value && value.n))
		abort();
	return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct counter c = { { on_setting }, n + 2 };
	enum parse p = config_text(rd_of(data, n), &c.to);
	enum fault f = special_modules(rd_of(data, n));

	if (f == FAULT_UNKNOWN || (p != PARSE_OK && f == FAULT_NONE))
		abort();
	if (special_attributes(rd_of(data, n)) == FAULT_NONE && n >= ATTRIBUTES_LINE_MAX && !memchr(data, '\n', n))
		abort();
	return 0;
}
