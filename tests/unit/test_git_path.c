/*
 * test_git_path.c - every spelling of a path on a git host (threats C1-C3)
 */
#include "gitproxy/git_path.h"

#include <stdio.h>

#include "tests/unit/check.h"

#define UP GIT_SERVICE_UPLOAD_PACK
#define RECEIVE GIT_SERVICE_RECEIVE_PACK
#define TAIL "/info/refs?service=git-upload-pack"
#define A39 "abcdefghijabcdefghijabcdefghijabcdefghi"
#define A100                                                                                       \
	"abcdefghijabcdefghijabcdefghijabcdefghijabcdefghijabcdefghijabcdefghijabcdefghijabcdefgh" \
	"ijabcdefghij"

static const struct {
	const char *target;
	enum gp_kind kind;
	enum git_service service;
	const char *repo;
} good[] = {
	{ "/acme/widgets" TAIL, GP_INFO_REFS, UP, "acme/widgets" },
	{ "/acme/widgets.git" TAIL, GP_INFO_REFS, UP, "acme/widgets" },
	{ "/acme/widgets.git/info/refs?service=git-receive-pack", GP_INFO_REFS, RECEIVE,
	  "acme/widgets" },
	{ "/acme/widgets/git-upload-pack", GP_RPC, UP, "acme/widgets" },
	{ "/acme/widgets.git/git-upload-pack", GP_RPC, UP, "acme/widgets" },
	{ "/acme/widgets/git-receive-pack", GP_RPC, RECEIVE, "acme/widgets" },
	{ "/Acme/WidGets" TAIL, GP_INFO_REFS, UP, "Acme/WidGets" },
	{ "/acme/widgets.wiki.git" TAIL, GP_INFO_REFS, UP, "acme/widgets.wiki" },
	{ "/acme/.github" TAIL, GP_INFO_REFS, UP, "acme/.github" },
	{ "/acme/a.b-c_d" TAIL, GP_INFO_REFS, UP, "acme/a.b-c_d" },
	{ "/info/refs" TAIL, GP_INFO_REFS, UP, "info/refs" },
	{ "/" A39 "/" A100 ".git" TAIL, GP_INFO_REFS, UP, A39 "/" A100 },
	{ "/0/1/git-upload-pack", GP_RPC, UP, "0/1" },
};

TEST(accepted)
{
	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		size_t n = strlen(good[i].target);
		AUTO(mem) void *in = check_exact(good[i].target, n);
		struct gp_path p;
		enum reason reason;

		CHECK_EQ(good[i].target, gp_path_parse(rd_of(in, n), false, &p, &reason), PARSE_OK);
		CHECK_EQ(good[i].target, reason, REASON_NONE);
		CHECK_EQ(good[i].target, p.kind, good[i].kind);
		CHECK_EQ(good[i].target, p.service, good[i].service);
		CHECK_STR(good[i].target, p.repo, good[i].repo);
		CHECK("canonical form is one", gp_repo_valid(rd_str(p.repo), false));
	}
}

static const struct { const char *what, *target; size_t n; enum reason want;
} bad[] = {
	{ "empty", W(""), REASON_NOT_GIT },
	{ "root", W("/"), REASON_NOT_GIT },
	{ "no slash", W("acme/widgets" TAIL), REASON_NOT_GIT },
	{ "web page", W("/acme/widgets"), REASON_NOT_GIT },
	{ "API", W("/api/v3/repos/acme/widgets"), REASON_NOT_GIT },
	{ "archive", W("/acme/widgets/archive/main.zip"), REASON_NOT_GIT },
	{ "dot dot", W("/acme/../evil/x" TAIL), REASON_NOT_GIT },
	{ "dot dot behind", W("/acme/widgets/../payroll" TAIL), REASON_NOT_GIT },
	{ "dot dot as owner", W("/../widgets" TAIL), REASON_NOT_GIT },
	{ "dot dot as repo", W("/acme/.." TAIL), REASON_NOT_GIT },
	{ "dot as repo", W("/acme/." TAIL), REASON_NOT_GIT },
	{ "dot segment", W("/acme/./widgets" TAIL), REASON_NOT_GIT },
	{ "double slash in front", W("//acme/widgets" TAIL), REASON_NOT_GIT },
	{ "double slash inside", W("/acme//widgets" TAIL), REASON_NOT_GIT },
	{ "double slash behind", W("/acme/widgets//info/refs?service=git-upload-pack"),
	  REASON_NOT_GIT },
	{ "percent dot", W("/acme/%2e%2e/x" TAIL), REASON_NOT_GIT },
	{ "double percent", W("/acme/%252e%252e/x" TAIL), REASON_NOT_GIT },
	{ "percent slash", W("/acme%2fwidgets" TAIL), REASON_NOT_GIT },
	{ "percent letter", W("/acme/%77idgets" TAIL), REASON_NOT_GIT },
	{ "percent question", W("/acme/widgets%3f" TAIL), REASON_NOT_GIT },
	{ "percent NUL", W("/acme/widgets%00" TAIL), REASON_NOT_GIT },
	{ "NUL", W("/acme/widgets\0" TAIL), REASON_NOT_GIT },
	{ "backslash", W("/acme\\widgets" TAIL), REASON_NOT_GIT },
	{ "parameters", W("/acme;v=1/widgets" TAIL), REASON_NOT_GIT },
	{ "fragment", W("/acme/widgets#x" TAIL), REASON_NOT_GIT },
	{ "space at the end", W("/acme/widgets " TAIL), REASON_NOT_GIT },
	{ "dot at the end", W("/acme/widgets." TAIL), REASON_NOT_GIT },
	{ "dot then .git", W("/acme/widgets..git" TAIL), REASON_NOT_GIT },
	{ "high byte", W("/acme/widg\xc3\xa9ts" TAIL), REASON_NOT_GIT },
	{ "absolute", W("https://github.com/acme/widgets" TAIL), REASON_NOT_GIT },
	{ "trailing slash of the repo", W("/acme/widgets/" TAIL), REASON_NOT_GIT },
	{ "trailing slash of the service", W("/acme/widgets/git-upload-pack/"), REASON_NOT_GIT },
	{ "trailing slash of refs", W("/acme/widgets/info/refs/?service=git-upload-pack"),
	  REASON_NOT_GIT },
	{ ".git twice", W("/acme/widgets.git.git" TAIL), REASON_NOT_GIT },
	{ ".git thrice", W("/acme/widgets.git.git.git" TAIL), REASON_NOT_GIT },
	{ ".GIT", W("/acme/widgets.GIT" TAIL), REASON_NOT_GIT },
	{ ".Git.git", W("/acme/widgets.Git.git" TAIL), REASON_NOT_GIT },
	{ "only .git", W("/acme/.git" TAIL), REASON_NOT_GIT },
	{ "only .git, twice", W("/acme/.git.git" TAIL), REASON_NOT_GIT },
	{ "owner with a dot", W("/ac.me/widgets" TAIL), REASON_NOT_GIT },
	{ "owner with a dash first", W("/-acme/widgets" TAIL), REASON_NOT_GIT },
	{ "owner with underscore", W("/ac_me/widgets" TAIL), REASON_NOT_GIT },
	{ "owner too long", W("/" A39 "x/widgets" TAIL), REASON_NOT_GIT },
	{ "repo too long", W("/acme/" A100 "x" TAIL), REASON_NOT_GIT },
	{ "one name", W("/widgets" TAIL), REASON_NOT_GIT },
	{ "three names", W("/acme/group/widgets" TAIL), REASON_NOT_GIT },
	{ "userinfo", W("/user@acme/widgets" TAIL), REASON_NOT_GIT },
	{ "no service", W("/acme/widgets/info/refs"), REASON_DUMB_HTTP_NOT_ALLOWED },
	{ "dumb HEAD", W("/acme/widgets/HEAD"), REASON_DUMB_HTTP_NOT_ALLOWED },
	{ "dumb object", W("/acme/widgets/objects/info/packs"), REASON_NOT_GIT },
	{ "empty query", W("/acme/widgets/info/refs?"), REASON_SERVICE_NOT_ALLOWED },
	{ "service twice",
	  W("/acme/widgets/info/refs?service=git-upload-pack&service=git-receive-pack"),
	  REASON_SERVICE_NOT_ALLOWED },
	{ "service with more", W("/acme/widgets/info/refs?service=git-upload-pack&x=1"),
	  REASON_SERVICE_NOT_ALLOWED },
	{ "more before service", W("/acme/widgets/info/refs?x=1&service=git-upload-pack"),
	  REASON_SERVICE_NOT_ALLOWED },
	{ "semicolon", W("/acme/widgets/info/refs?service=git-upload-pack;x"),
	  REASON_SERVICE_NOT_ALLOWED },
	{ "service encoded", W("/acme/widgets/info/refs?service=git%2dupload-pack"),
	  REASON_SERVICE_NOT_ALLOWED },
	{ "name encoded", W("/acme/widgets/info/refs?%73ervice=git-upload-pack"),
	  REASON_SERVICE_NOT_ALLOWED },
	{ "service in capitals", W("/acme/widgets/info/refs?service=GIT-UPLOAD-PACK"),
	  REASON_SERVICE_NOT_ALLOWED },
	{ "name in capitals", W("/acme/widgets/info/refs?Service=git-upload-pack"),
	  REASON_SERVICE_NOT_ALLOWED },
	{ "unknown service", W("/acme/widgets/info/refs?service=git-upload-archive"),
	  REASON_SERVICE_NOT_ALLOWED },
	{ "service with a space", W("/acme/widgets/info/refs?service=git-upload-pack "),
	  REASON_SERVICE_NOT_ALLOWED },
	{ "two questions", W("/acme/widgets/info/refs??service=git-upload-pack"),
	  REASON_SERVICE_NOT_ALLOWED },
	{ "archive service", W("/acme/widgets/git-upload-archive"), REASON_SERVICE_NOT_ALLOWED },
	{ "rpc with a query", W("/acme/widgets/git-upload-pack?x"), REASON_NOT_GIT },
	{ "rpc with an empty query", W("/acme/widgets/git-upload-pack?"), REASON_NOT_GIT },
	{ "rpc in capitals", W("/acme/widgets/Git-Upload-Pack"), REASON_NOT_GIT },
	{ "refs in capitals", W("/acme/widgets/info/Refs?service=git-upload-pack"),
	  REASON_NOT_GIT },
	{ "LFS without more", W("/acme/widgets.git/info/lfs"), REASON_NOT_GIT },
	{ "LFS of a bad repo", W("/acme/../info/lfs/objects/batch"), REASON_NOT_GIT },
	{ "endless", W("/a/b/c/d/e/f/g/h/i/j/k/l/m/n/o/p/q/r/s/t/u/v/w/x/y/z" TAIL),
	  REASON_NOT_GIT },
};

TEST(refused)
{
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		AUTO(mem) void *in = check_exact(bad[i].target, bad[i].n);
		struct gp_path p;
		enum reason reason;

		CHECK_EQ(bad[i].what, gp_path_parse(rd_of(in, bad[i].n), false, &p, &reason),
			 PARSE_BAD);
		CHECK_EQ(bad[i].what, reason, bad[i].want);
		CHECK_EQ(bad[i].what, p.kind, GP_NONE);
	}
}

static const struct { const char *target, *repo; } nested[] = {
	{ "/acme/widgets" TAIL, "acme/widgets" },
	{ "/acme/team.x/sub_group/widgets.git" TAIL, "acme/team.x/sub_group/widgets" },
	{ "/a/b/c/d/e/f/g/h/git-upload-pack", "a/b/c/d/e/f/g/h" },
	{ "/a/b/c/d/e/f/g/h/i/git-upload-pack", NULL },
	{ "/acme/.hidden/widgets" TAIL, NULL },
	{ "/acme/group.git/widgets" TAIL, NULL },
	{ "/acme/../widgets" TAIL, NULL },
	{ "/acme/group./widgets" TAIL, NULL },
	{ "/a/b/c/info/lfs/objects/batch", "a/b/c" },
	{ "/a/b/info/lfs/c.git/git-upload-pack", "a/b" },
	{ "/widgets" TAIL, NULL },
};

TEST(groups)
{
	for (size_t i = 0; i < ARRAY_SIZE(nested); i++) {
		size_t n = strlen(nested[i].target);
		AUTO(mem) void *in = check_exact(nested[i].target, n);
		struct gp_path p;
		enum reason reason;

		CHECK_EQ(nested[i].target, gp_path_parse(rd_of(in, n), true, &p, &reason),
			 nested[i].repo ? PARSE_OK : PARSE_BAD);
		if (nested[i].repo)
			CHECK_STR(nested[i].target, p.repo, nested[i].repo);
	}
}

#define ID "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define LINK "00112233445566778899aabbccddeeff"

static const struct { const char *tail; enum gp_kind kind; bool linked; } lfs[] = {
	{ "objects/batch", GP_LFS_BATCH, false },
	{ "objects/batch?x", GP_LFS_OTHER, false },
	{ "objects/Batch", GP_LFS_OTHER, false },
	{ "objects/batch/x", GP_LFS_OTHER, false },
	{ "objects", GP_LFS_OTHER, false },
	{ "x", GP_LFS_OTHER, false },
	{ "locks", GP_LFS_LOCKS, false },
	{ "locks?path=x", GP_LFS_LOCKS, false },
	{ "locks/verify", GP_LFS_LOCKS, false },
	{ "locks/1/unlock", GP_LFS_LOCKS, false },
	{ "objects/" ID "?link=" LINK, GP_LFS_OBJECT, true },
	{ "objects/" ID "/verify?link=" LINK, GP_LFS_VERIFY, true },
	{ "objects/" ID, GP_LFS_OBJECT, false },
	{ "objects/" ID "?", GP_LFS_OBJECT, false },
	{ "objects/" ID "?link=", GP_LFS_OBJECT, false },
	{ "objects/" ID "?link=" LINK "0", GP_LFS_OBJECT, false },
	{ "objects/" ID "?link=" LINK "&x", GP_LFS_OBJECT, false },
	{ "objects/" ID "?x&link=" LINK, GP_LFS_OBJECT, false },
	{ "objects/" ID "?Link=" LINK, GP_LFS_OBJECT, false },
	{ "objects/" ID "?link=00112233445566778899AABBCCDDEEFF", GP_LFS_OBJECT, false },
	{ "objects/" ID "0?link=" LINK, GP_LFS_OTHER, false },
	{ "objects/0123456789ABCDEF0123456789abcdef0123456789abcdef0123456789abcdef?link=" LINK, GP_LFS_OTHER, false },
	{ "objects/" ID "/verify/x?link=" LINK, GP_LFS_OTHER, false },
	{ "objects/" ID "/other?link=" LINK, GP_LFS_OTHER, false },
};

TEST(large_files)
{
	static const uint8_t none[LFS_LINK];

	for (size_t i = 0; i < ARRAY_SIZE(lfs); i++) {
		AUTO(mem) char *text = NULL;
		int n = asprintf(&text, "/acme/widgets.git/info/lfs/%s", lfs[i].tail);
		AUTO(mem) void *in = check_exact(text, (size_t)n);
		struct gp_path p;
		enum reason reason;

		CHECK_EQ(text, gp_path_parse(rd_of(in, (size_t)n), false, &p, &reason), PARSE_OK);
		CHECK_EQ(text, p.kind, lfs[i].kind);
		CHECK_EQ(text, p.service, GIT_SERVICE_NONE);
		CHECK_STR(text, p.repo, "acme/widgets");
		CHECK_EQ(text, memcmp(p.link, none, sizeof(none)) != 0, lfs[i].linked);
		CHECK("the id", p.kind != GP_LFS_OBJECT || (p.oid[0] == 0x01 && p.oid[31] == 0xef));
	}
}

static const struct { const char *repo; bool nested, want;
} repos[] = {
	{ "acme/widgets", false, true },
	{ "acme/widgets.git", false, false },
	{ "acme", false, false },
	{ "/acme/widgets", false, false },
	{ "acme/widgets/", false, false },
	{ "acme/..", false, false },
	{ "a/b/c", false, false },
	{ "a/b/c", true, true },
	{ "", true, false },
	{ "a/b?x", true, false },
};

TEST(canonical_repositories)
{
	for (size_t i = 0; i < ARRAY_SIZE(repos); i++)
		CHECK_EQ(repos[i].repo, gp_repo_valid(rd_str(repos[i].repo), repos[i].nested),
			 repos[i].want);
}
