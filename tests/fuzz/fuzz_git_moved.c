/*
 * fuzz_git_moved.c - Location fields of a git server
 *
 * Whatever is accepted is a repository that the keeper would dial, and nothing is said otherwise.
 */
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>

#include "gitproxy/git_moved.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static const enum gp_kind kinds[] = { GP_INFO_REFS, GP_RPC };
	char repo[GP_REPO_MAX + 1];

	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		enum parse r = gp_moved_parse(rd_of(data, n), "github.com", kinds[i],
					      GIT_SERVICE_UPLOAD_PACK, repo);

		if (r == PARSE_OK ? !gp_repo_valid(rd_str(repo), true) : repo[0])
			abort();
	}
	return 0;
}
