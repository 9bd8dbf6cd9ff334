/*
 * fuzz_lfs_answer.c - upstream's answer to a batch request
 *
 * Every step that is taken leads to a name by https, in one line, with fields of one line each.
 */
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>
#include <strings.h>

#include "gitproxy/keeper/lfs_echo.h"

static void check_line(const char *text)
{
	for (; *text; text++)
		if (*text < ' ' || *text > '~')
			abort();
}

static void check_action(const struct lfs_action *a)
{
	struct echo *e = NULL;

	if (strncasecmp(a->url, "https://", 8) || !a->host[0] || strlen(a->url) > LFS_URL_MAX || a->life_s > LFS_LIFE_S)
		abort();
	check_line(a->url);
	for (size_t i = 0; i < a->n; i++) {
		check_line(a->field[i]);
		if (!strstr(a->field[i], ": "))
			abort();
	}
	if (!lfs_echo_new(a, &e))
		echo_free(e);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static const struct lfs_object asked[2] = { { { 1 }, 5 }, { { 2 }, 6 } };

	for (int upload = 0; upload < 2; upload++) {
		struct lfs_found found[2] = { 0 };

		if (lfs_answer_read(rd_of(data, n), upload, asked, 2, 1800000000, found) < 0)
			continue;
		for (size_t i = 0; i < 2; i++) {
			if (found[i].result >= LFS_RESULTS || (found[i].action != NULL) != (found[i].result == LFS_LINKED))
				abort();
			if (found[i].action)
				check_action(found[i].action);
			if (found[i].verify)
				check_action(found[i].verify);
		}
		lfs_found_done(found, 2);
	}
	return 0;
}
