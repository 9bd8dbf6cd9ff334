/*
 * fuzz_http_rule.c - a path pattern and a path: what matches is plain, a pattern matches itself, and no
 * star stands for an escaped slash
 */
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>
#include <string.h>

#include "policy/http_rule.h"

/* The input is "pattern\npath". */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	const uint8_t *end = n ? memchr(data, '\n', n) : NULL;
	size_t pattern_n = end ? (size_t)(end - data) : n;
	struct rd path = end ? rd_of(end + 1, n - pattern_n - 1) : rd_of(NULL, 0);
	char *pattern = malloc(pattern_n + 1);
	bool plain = http_path_plain(path);

	if (!pattern)
		return 0;
	if (pattern_n)
		memcpy(pattern, data, pattern_n);
	pattern[pattern_n] = '\0';
	if (!http_pattern_wrong(pattern)) {
		if (plain && http_pattern_match(pattern, path) && path.p[0] != '/')
			abort();
		if (!strchr(pattern, '*') && !http_pattern_match(pattern, rd_str(pattern)))
			abort();
		if (!strchr(pattern, '*') && http_pattern_match(pattern, path) && !rd_eq_nocase(path, pattern))
			abort();
		if (!strchr(pattern, '%') && http_pattern_match(pattern, path) && http_path_has_escaped_slash(path))
			abort();
	}
	free(pattern);
	return 0;
}
