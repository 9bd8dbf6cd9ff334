/*
 * fuzz_scan_rules.c - rule files. What is taken compiles or says why; nothing is taken with an error.
 */
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>

#include "gitproxy/scan/rules.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	AUTO(diag) struct diag *d = NULL;
	AUTO(scan_rules) struct scan_rules *r = NULL;
	int err;

	if (diag_new(&d))
		abort();
	err = scan_rules_parse("r", (const char *)data, n, d, &r);
	if (!err != !diag_errors(d) || !err != (r != NULL))
		abort();
	for (size_t i = 0; r && i < r->n; i++)
		if (!r->rule[i].id || !r->rule[i].description || !r->rule[i].regex)
			abort();
	return 0;
}
