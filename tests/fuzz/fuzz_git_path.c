/*
 * fuzz_git_path.c - paths on a git host
 *
 * What is accepted has one canonical form: it is valid by the keeper's own check, and the path that
 * the keeper dials for it parses to the same request again. Hosts with nested groups accept no less
 * than others, and mean the same.
 */
#include "tests/fuzz/fuzz.h"

#include <stdio.h>
#include <stdlib.h>

#include "gitproxy/git_path.h"

static void check_again(const struct gp_path *p, bool nested)
{
	const char *service =
		p->service == GIT_SERVICE_UPLOAD_PACK ? "git-upload-pack" : "git-receive-pack";
	struct gp_path again;
	enum reason reason;
	char text[512];

	if (gp_kind_is_lfs(p->kind)) {
		if (!gp_repo_valid(rd_str(p->repo), nested) || p->service != GIT_SERVICE_NONE)
			abort();
		return;
	}
	snprintf(text, sizeof(text), "/%s.git/%s%s", p->repo,
		 p->kind == GP_INFO_REFS ? "info/refs?service=" : "", service);
	if (gp_path_parse(rd_str(text), nested, &again, &reason) != PARSE_OK ||
	    again.kind != p->kind || again.service != p->service || strcmp(again.repo, p->repo))
		abort();
	if (!gp_repo_valid(rd_str(p->repo), nested) || strstr(p->repo, "..") == p->repo)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct gp_path flat, nested;
	enum reason r1, r2;
	enum parse p1 = gp_path_parse(rd_of(data, n), false, &flat, &r1);
	enum parse p2 = gp_path_parse(rd_of(data, n), true, &nested, &r2);

	if ((p1 == PARSE_OK) != (r1 == REASON_NONE) || (p2 == PARSE_OK) != (r2 == REASON_NONE))
		abort();
	if (p1 == PARSE_OK)
		check_again(&flat, false);
	if (p2 == PARSE_OK)
		check_again(&nested, true);
	if (p1 == PARSE_OK && p2 == PARSE_OK && strcmp(flat.repo, nested.repo))
		abort();
	gp_repo_valid(rd_of(data, n), true);
	return 0;
}
