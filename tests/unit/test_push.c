/*
 * test_push.c - what rules of pushes say of refs and of paths
 */
#include "policy/push.h"

#include "policy/push_pattern.h"
#include "tests/unit/check.h"

static struct push_rules rules;

static void refs_are(const char *const *patterns)
{
	rules = (struct push_rules){ .allowed = 1, .create = 1 };
	for (; patterns && *patterns; patterns++)
		snprintf(rules.refs[rules.n_refs++], PUSH_PATTERN_MAX, "%s", *patterns);
}

static void paths_are(const char *const *patterns)
{
	rules = (struct push_rules){ .allowed = 1 };
	for (; *patterns; patterns++)
		snprintf(rules.denied[rules.n_denied++], PUSH_PATTERN_MAX, "%s", *patterns);
}

TEST(names)
{
	static const char *const patterns[] = { "refs/heads/agent/*", "refs/heads/deep/**", "refs/heads/below/",
						"refs/heads/**/end", "refs/heads/v*-rc*", "refs/tags/exact",
						"refs/notes/*", NULL };
	static const struct { const char *ref; bool ok; } rows[] = {
		{ "refs/heads/agent/x", true },
		{ "refs/heads/agent/x/y", false },
		{ "refs/heads/agent/", false },
		{ "refs/heads/agent", false },
		{ "refs/heads/Agent/x", false },
		{ "refs/Heads/agent/x", false },
		{ "refs//heads/agent/x", false },
		{ "refs/heads//agent/x", false },
		{ "refs/heads/agent/..", false },
		{ "refs/heads/agent/x..y", false },
		{ "refs/heads/agent/x.lock", false },
		{ "refs/heads/agent/.x", false },
		{ "refs/heads/agent/x y", false },
		{ "refs/heads/agent/x~1", false },
		{ "refs/heads/agent/x^", false },
		{ "refs/heads/agent/x:y", false },
		{ "refs/heads/agent/*", false },
		{ "refs/heads/agent/x?", false },
		{ "refs/heads/agent/[x]", false },
		{ "refs/heads/agent/x\\y", false },
		{ "refs/heads/agent/@{1}", false },
		{ "refs/heads/agent/x\x01", false },
		{ "refs/heads/agent/x\x7f", false },
		{ "refs/heads/agent/\xc3\xa4", true },
		{ "refs/heads/deep/x", true },
		{ "refs/heads/deep/x/y/z", true },
		{ "refs/heads/deep", false },
		{ "refs/heads/deeper", false },
		{ "refs/heads/below/x/y", true },
		{ "refs/heads/below", false },
		{ "refs/heads/end", true },
		{ "refs/heads/a/end", true },
		{ "refs/heads/a/b/end", true },
		{ "refs/heads/aend", false },
		{ "refs/heads/a/bend", false },
		{ "refs/heads/end/x", false },
		{ "refs/heads/v1-rc2", true },
		{ "refs/heads/v-rc", true },
		{ "refs/heads/v1/x-rc2", false },
		{ "refs/heads/v1-rc2/x", false },
		{ "refs/tags/exact", true },
		{ "refs/tags/exactly", false },
		{ "refs/notes/commits", true },
		{ "refs/heads/main", false },
		{ "refs/pull/1/head", false },
		{ "HEAD", false },
		{ "main", false },
		{ "heads/agent/x", false },
		{ "/refs/heads/agent/x", false },
		{ "refs/", false },
		{ "", false },
	};

	refs_are(patterns);
	CHECK("made well", push_rules_ok(&rules));
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		AUTO(mem) char *ref = check_exact(rows[i].ref, strlen(rows[i].ref) + 1);

		CHECK_EQ(rows[i].ref, push_rules_ref(&rules, ref, PUSH_CREATE, NULL),
			 rows[i].ok ? REASON_NONE : REASON_REF_NOT_ALLOWED);
	}
}

/* Whatever the patterns say. */
TEST(reserved_names)
{
	static const char *const all[] = { "refs/**", NULL };
	static const struct { const char *ref; bool ok; } rows[] = {
		{ "refs/heads/x", true },	       { "refs/pulls/1", true },
		{ "refs/heads/pull/1", true },	       { "refs/for/main", true },
		{ "refs/pull/1/head", false },	       { "refs/Pull/1/head", false },
		{ "refs/pull", false },		       { "refs/merge-requests/1/head", false },
		{ "refs/pull-requests/1/from", false }, { "refs/replace/0123", false },
		{ "refs/REPLACE/0123", false },	       { "HEAD", false },
		{ "FETCH_HEAD", false },	       { "refs", false },
	};

	refs_are(all);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		CHECK_EQ(rows[i].ref, push_rules_ref(&rules, rows[i].ref, PUSH_CREATE, NULL) == REASON_NONE,
			 rows[i].ok);
}

TEST(rights)
{
	static const char *const some[] = { "refs/heads/agent/*", "refs/tags/*", NULL };
	static const struct {
		const char *what, *ref;
		enum push_op op;
		bool create, force, del;
		enum reason want;
	} rows[] = {
		{ "create", "refs/heads/agent/x", PUSH_CREATE, 1, 0, 0, REASON_NONE },
		{ "no create", "refs/heads/agent/x", PUSH_CREATE, 0, 1, 1, REASON_REF_NOT_ALLOWED },
		{ "update", "refs/heads/agent/x", PUSH_UPDATE, 0, 0, 0, REASON_NONE },
		{ "force", "refs/heads/agent/x", PUSH_FORCE, 0, 1, 0, REASON_NONE },
		{ "no force", "refs/heads/agent/x", PUSH_FORCE, 1, 0, 1, REASON_FORCE_NOT_ALLOWED },
		{ "delete", "refs/heads/agent/x", PUSH_DELETE, 0, 0, 1, REASON_NONE },
		{ "no delete", "refs/heads/agent/x", PUSH_DELETE, 1, 1, 0, REASON_DELETE_NOT_ALLOWED },
		{ "tag", "refs/tags/v1", PUSH_CREATE, 1, 0, 0, REASON_NONE },
		{ "tag moves", "refs/tags/v1", PUSH_UPDATE, 1, 0, 1, REASON_FORCE_NOT_ALLOWED },
		{ "tag may move", "refs/tags/v1", PUSH_UPDATE, 0, 1, 0, REASON_NONE },
		{ "nothing", "refs/heads/agent/x", PUSH_NONE, 1, 1, 1, REASON_REF_NOT_ALLOWED },
		{ "unknown", "refs/heads/agent/x", (enum push_op)9, 1, 1, 1, REASON_REF_NOT_ALLOWED },
		{ "elsewhere", "refs/heads/main", PUSH_UPDATE, 1, 1, 1, REASON_REF_NOT_ALLOWED },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		refs_are(some);
		rules.create = rows[i].create;
		rules.force = rows[i].force;
		rules.del = rows[i].del;
		CHECK_EQ(rows[i].what, push_rules_ref(&rules, rows[i].ref, rows[i].op, NULL), rows[i].want);
		rules.allowed = 0;
		CHECK_EQ(rows[i].what, push_rules_ref(&rules, rows[i].ref, rows[i].op, NULL), REASON_PUSH_NOT_ALLOWED);
	}
	rules = (struct push_rules){ 0 };
	CHECK_EQ("zero", push_rules_ref(&rules, "refs/heads/agent/x", PUSH_UPDATE, NULL), REASON_PUSH_NOT_ALLOWED);
}

TEST(what_is_allowed_is_told)
{
	static const char *const two[] = { "refs/heads/agent/*", "refs/tags/*", NULL };
	char long_one[PUSH_PATTERN_MAX], text[PUSH_TEXT + 1];
	const char *many[PUSH_PATTERNS_MAX + 1] = { 0 };
	struct wr w = wr_of(text, PUSH_TEXT);

	refs_are(two);
	push_rules_ref(&rules, "refs/heads/main", PUSH_UPDATE, &w);
	text[w.n] = '\0';
	CHECK_STR("two", text, "allowed are refs/heads/agent/*, refs/tags/*");

	for (size_t i = 0; i < PUSH_PATTERNS_MAX; i++)
		many[i] = "refs/heads/a-name-of-some-length/*";
	refs_are(many);
	w = wr_of(text, PUSH_TEXT);
	push_rules_ref(&rules, "refs/heads/main", PUSH_UPDATE, &w);
	text[w.n] = '\0';
	CHECK("fits", wr_ok(&w) && strstr(text, " and others"));

	snprintf(long_one, sizeof(long_one), "refs/heads/%0*d", PUSH_PATTERN_MAX - 12, 0);
	many[0] = long_one;
	many[1] = NULL;
	refs_are(many);
	w = wr_of(text, PUSH_TEXT);
	push_rules_ref(&rules, "refs/heads/main", PUSH_UPDATE, &w);
	CHECK("says something", wr_ok(&w) && w.n);

	refs_are(NULL);
	w = wr_of(text, PUSH_TEXT);
	push_rules_ref(&rules, "refs/heads/main", PUSH_UPDATE, &w);
	text[w.n] = '\0';
	CHECK_STR("none", text, "the policy allows none");
}

TEST(paths)
{
	static const char *const patterns[] = { ".github/workflows/**", "ci/", "**/secrets.txt", "Jenkinsfile",
						"deploy/*.sh", NULL };
	static const struct { const char *path; bool denied; } rows[] = {
		{ ".github/workflows/x.yml", true },
		{ ".github/workflows/a/b.yml", true },
		{ ".GitHub/Workflows/x.yml", true },
		{ ".github/workflows", true },		/* a link in its place */
		{ ".github", true },
		{ ".git", false },
		{ ".github/dependabot.yml", false },
		{ ".github/workflowsx", false },
		{ "x/.github/workflows/a", false },
		{ "ci/x", true },
		{ "ci", true },
		{ "CI/x", true },
		{ "cix", false },
		{ "secrets.txt", true },
		{ "a/b/secrets.txt", true },
		{ "a/xsecrets.txt", false },
		{ "secrets.txt/x", false },
		{ "Jenkinsfile", true },
		{ "jenkinsfile", true },
		{ "a/Jenkinsfile", false },
		{ "deploy/x.sh", true },
		{ "deploy/a/x.sh", false },
		{ "deploy/x.py", false },
		{ "deploy", true },
		{ "README", false },
		{ "", false },
	};

	paths_are(patterns);
	CHECK("made well", push_rules_ok(&rules));
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		AUTO(mem) void *in = check_exact(rows[i].path, strlen(rows[i].path));

		CHECK_EQ(rows[i].path, push_rules_path_denied(&rules, rd_of(in, strlen(rows[i].path))), rows[i].denied);
	}
}

/* Trees that need no look are those below which nothing is denied. */
TEST(trees)
{
	static const char *const plain[] = { ".github/workflows/**", "deploy/*/x", NULL };
	static const char *const any[] = { "**/secrets.txt", NULL };
	static const struct { const char *path; bool matters; } rows[] = {
		{ "", true }, { ".github", true }, { ".github/workflows", true }, { ".github/workflows/a", true },
		{ "deploy", true }, { "deploy/a", true }, { "deploy/a/b", false }, { "src", false }, { "src/deploy", false },
	};

	paths_are(plain);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		CHECK_EQ(rows[i].path, push_rules_tree_matters(&rules, rd_str(rows[i].path)), rows[i].matters);
	paths_are(any);
	CHECK("anywhere", push_rules_tree_matters(&rules, rd_str("a/b/c")));
}

/* Many stars over a long text: as many steps as their product, not an exponent of it. */
TEST(many_stars)
{
	char text[4096];
	const char *patterns[] = { NULL, NULL };
	char stars[PUSH_PATTERN_MAX] = "refs/";

	memset(text, 'a', sizeof(text));
	for (size_t i = 5; i + 2 < sizeof(stars); i += 2)
		memcpy(stars + i, "*a", 3);
	patterns[0] = stars;
	paths_are(patterns);
	CHECK("not this one", !push_rules_path_denied(&rules, rd_of(text, sizeof(text))));
	memcpy(text, "refs/", 5);
	text[sizeof(text) - 1] = 'b';
	CHECK("nor this", !push_rules_path_denied(&rules, rd_of(text, sizeof(text))));
	text[sizeof(text) - 1] = 'a';
	CHECK("but this", push_rules_path_denied(&rules, rd_of(text, sizeof(text))));
}

TEST(grammar)
{
	static const struct { const char *text; bool ref, path; } rows[] = {
		{ "refs/heads/agent/*", true, true },
		{ "refs/heads/**", true, true },
		{ "refs/heads/x/", true, true },
		{ "refs/*", true, true },
		{ "refs/heads/a*b/**/c", true, true },
		{ "heads/x", false, true },
		{ "agent/*", false, true },
		{ "*", false, true },
		{ "**", false, true },
		{ "HEAD", false, true },
		{ "refs/", false, true },
		{ "refs//heads/x", false, false },
		{ "refs/heads/x//", false, false },
		{ "refs/heads/.x", false, true },
		{ "refs/heads/x..y", false, true },
		{ "refs/heads/x y", false, true },
		{ "refs/heads/[ab]", false, false },
		{ "refs/heads/a?", false, false },
		{ "refs/heads/a\\*", false, false },
		{ "!refs/heads/a", false, false },
		{ "refs/pull/*", false, true },
		{ "refs/replace/**", false, true },
		{ "/refs/heads/a", false, false },
		{ "../x", false, false },
		{ "a/./b", false, false },
		{ "a\nb", false, false },
		{ "", false, false },
		{ "/", false, false },
	};
	char name[PUSH_PATTERN_MAX + 1];

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		CHECK_EQ(rows[i].text, !push_ref_pattern_fault(rows[i].text), rows[i].ref);
		CHECK_EQ(rows[i].text, !push_path_pattern_fault(rows[i].text), rows[i].path);
	}
	memset(name, 'a', sizeof(name));
	memcpy(name, "refs/", 5);
	name[PUSH_PATTERN_MAX] = '\0';
	CHECK("ref too long", push_ref_pattern_fault(name));
	CHECK("path too long", push_path_pattern_fault(name));
	name[PUSH_PATTERN_MAX - 1] = '\0';
	CHECK("ref just fits", !push_ref_pattern_fault(name));
	CHECK("path just fits", !push_path_pattern_fault(name));
}

TEST(struct_is_checked)
{
	static const char *const some[] = { "refs/heads/agent/*", NULL };

#define LIE(what, change) \
	do { \
		refs_are(some); \
		rules.n_denied = 1; \
		strcpy(rules.denied[0], "ci/**"); \
		change; \
		CHECK(what, !push_rules_ok(&rules)); \
	} while (0)
	LIE("flag", rules.allowed = 2);
	LIE("force", rules.force = 255);
	LIE("too many refs", rules.n_refs = PUSH_PATTERNS_MAX + 1);
	LIE("too many paths", rules.n_denied = UINT32_MAX);
	LIE("empty ref", rules.n_refs = 2);
	LIE("empty path", rules.n_denied = 2);
	LIE("ref without an end", memset(rules.refs[0] + 5, 'a', PUSH_PATTERN_MAX - 5));
	LIE("path without an end", memset(rules.denied[0], 'a', PUSH_PATTERN_MAX));
	LIE("no ref", strcpy(rules.refs[0], "main"));
#undef LIE
	rules = (struct push_rules){ 0 };
	CHECK("zero", push_rules_ok(&rules));
}
