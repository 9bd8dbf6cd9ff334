/*
 * test_git_moved.c - where a redirect may lead (threats C8)
 */
#include "gitproxy/git_moved.h"

#include "tests/unit/check.h"

#define TAIL "/info/refs?service=git-upload-pack"

static const struct {
	const char *location, *repo;	/* repo NULL: it leads elsewhere */
} refs[] = {
	{ "https://github.com/acme/gadgets.git" TAIL, "acme/gadgets" },
	{ "https://github.com/acme/gadgets" TAIL, "acme/gadgets" },
	{ "https://github.com:443/acme/gadgets" TAIL, "acme/gadgets" },
	{ "https://GitHub.com./acme/gadgets" TAIL, "acme/gadgets" },
	{ "/acme/gadgets" TAIL, "acme/gadgets" },
	{ "https://github.com/a/b/c" TAIL, "a/b/c" },	/* the policy says whether groups nest */
	{ "", NULL },
	{ "https://", NULL },
	{ "https://github.com", NULL },
	{ "http://github.com/acme/gadgets" TAIL, NULL },
	{ "HTTPS://github.com/acme/gadgets" TAIL, NULL },	/* nobody sends it: not worth a rule */
	{ "ftp://github.com/acme/gadgets" TAIL, NULL },
	{ "//github.com/acme/gadgets" TAIL, NULL },
	{ "//evil.example/acme/gadgets" TAIL, NULL },
	{ "https://github.com:80/acme/gadgets" TAIL, NULL },
	{ "https://github.com:8443/acme/gadgets" TAIL, NULL },
	{ "https://github.com:/acme/gadgets" TAIL, NULL },
	{ "https://evil.example/acme/gadgets" TAIL, NULL },
	{ "https://github.com.evil.example/acme/gadgets" TAIL, NULL },
	{ "https://evil.example#github.com/acme/gadgets" TAIL, NULL },
	{ "https://evil.example?github.com/acme/gadgets" TAIL, NULL },
	{ "https://evil.example\\github.com/acme/gadgets" TAIL, NULL },
	{ "https://github.com@evil.example/acme/gadgets" TAIL, NULL },
	{ "https://x@github.com/acme/gadgets" TAIL, NULL },
	{ "https://127.0.0.1/acme/gadgets" TAIL, NULL },
	{ "acme/gadgets" TAIL, NULL },
	{ "https://github.com/login?return_to=/acme/gadgets" TAIL, NULL },
	{ "https://github.com/acme/gadgets", NULL },
	{ "https://github.com/acme/gadgets/info/refs", NULL },
	{ "https://github.com/acme/gadgets/info/refs?service=git-receive-pack", NULL },
	{ "https://github.com/acme/gadgets/git-upload-pack", NULL },
	{ "https://github.com/acme/../acme/gadgets" TAIL, NULL },
	{ "https://github.com/acme/%67adgets" TAIL, NULL },
	{ "https://github.com/acme/gadgets" TAIL "#x", NULL },
	{ "https://github.com/acme/gadgets" TAIL " x", NULL },
};

TEST(of_refs)
{
	char repo[GP_REPO_MAX + 1];

	for (size_t i = 0; i < ARRAY_SIZE(refs); i++) {
		const char *text = refs[i].location;
		AUTO(mem) void *in = check_exact(text, strlen(text));
		enum parse r = gp_moved_parse(rd_of(in, strlen(text)), "github.com", GP_INFO_REFS,
					      GIT_SERVICE_UPLOAD_PACK, repo);

		CHECK_EQ(text, r, refs[i].repo ? PARSE_OK : PARSE_BAD);
		CHECK_STR(text, repo, refs[i].repo ? refs[i].repo : "");
	}
}

TEST(of_a_request)
{
	struct rd in = rd_str("https://github.com/acme/gadgets.git/git-upload-pack");
	char repo[GP_REPO_MAX + 1];

	CHECK_EQ("the same one",
		 gp_moved_parse(in, "github.com", GP_RPC, GIT_SERVICE_UPLOAD_PACK, repo), PARSE_OK);
	CHECK_STR("its repository", repo, "acme/gadgets");
	CHECK_EQ("another service",
		 gp_moved_parse(in, "github.com", GP_RPC, GIT_SERVICE_RECEIVE_PACK, repo), PARSE_BAD);
	CHECK_EQ("another host",
		 gp_moved_parse(in, "gitlab.com", GP_RPC, GIT_SERVICE_UPLOAD_PACK, repo), PARSE_BAD);
}
