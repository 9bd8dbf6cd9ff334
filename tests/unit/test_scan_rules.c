/*
 * test_scan_rules.c - rule files that are wrong say where and what to do
 */
#include "gitproxy/scan/scan.h"

#include <errno.h>

#include "tests/unit/check.h"

#define HEAD "version: 1\nrules:\n  - id: a\n    description: b\n"
#define RULE HEAD "    regex: 'abc'\n"

static const struct { const char *what, *text, *error; } wrong[] = {
	{ "empty", "", "empty" },
	{ "a list", "- 1\n", "r.yaml:1:1: error: the file: a mapping is wanted" },
	{ "no rules", "version: 1\n", "rules is missing; add it" },
	{ "no rule", "version: 1\nrules: []\n", "r.yaml:2:8: error: rules: a list of 1 to" },
	{ "version", "version: 2\nrules: []\n", "version: must be 1" },
	{ "no regex", HEAD, "regex is missing; add it" },
	{ "typo", RULE "    entrpy: 3\n", "r.yaml:6:5: error: rules[]: unknown key \"entrpy\"; did you mean \"entropy\"?" },
	{ "id", "version: 1\nrules:\n  - id: A b\n    description: b\n    regex: c\n", "id: 1 to 64 of" },
	{ "twice", RULE "  - id: a\n    description: b\n    regex: c\n", "a second rule with the id a; rename one" },
	{ "entropy", RULE "    entropy: 9\n", "entropy: bits a byte" },
	{ "entropy sign", RULE "    entropy: -1\n", "entropy: bits a byte" },
	{ "entropy text", RULE "    entropy: 1.2.3\n", "entropy: bits a byte" },
	{ "group", RULE "    secretGroup: 1.5\n", "secretGroup: a number" },
	{ "keywords", RULE "    keywords: abc\n", "keywords: a list" },
	{ "empty keyword", RULE "    keywords: ['']\n", "keywords: a text is wanted" },
	{ "allowlist", RULE "    allowlist: {regex: ['a']}\n", "did you mean \"regexes\"?" },
	{ "examples", RULE "    examples: {secret: [x]}\n", "examples: harmless is missing" },
	{ "tab", "version: 1\nrules:\n\t- id: a\n", "tab character" },
	{ "not PCRE", HEAD "    regex: 'a('\n", "r.yaml:5:12: error: a: regex: missing closing parenthesis" },
	{ "look-around", HEAD "    regex: 'a(?=b)'\n", "write it without" },
	{ "unbounded", HEAD "    regex: 'ab+'\n", "bound its repeats" },
	{ "too wide", HEAD "    regex: 'a[bc]{1,4096}'\n", "bound its repeats" },
	{ "empty match", HEAD "    regex: 'a?'\n", "demand at least one byte" },
	{ "no such group", RULE "    secretGroup: 1\n", "has 0 groups, secretGroup is 1" },
	{ "allowed regex", RULE "    allowlist: {regexes: ['(']}\n", "allowlist: \"(\": missing closing" },
};

static int load(const char *text, struct diag *d)
{
	AUTO(mem) char *in = check_exact(text, strlen(text));
	AUTO(scan_rules) struct scan_rules *rules = NULL;
	AUTO(scan) struct scan *e = NULL;
	int err = scan_rules_parse("r.yaml", in, strlen(text), d, &rules);

	return err ? err : scan_new(rules, d, &e);
}

TEST(wrong_files)
{
	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
		AUTO(diag) struct diag *d = NULL;
		AUTO(mem) char *said = NULL;
		size_t n = 0;
		FILE *f = open_memstream(&said, &n);

		diag_new(&d);
		CHECK_EQ(wrong[i].what, load(wrong[i].text, d), -EINVAL);
		diag_print(d, f);
		fclose(f);
		if (!strstr(said, wrong[i].error))
			CHECK_FAIL("%s: said %s", wrong[i].what, said);
	}
}

TEST(a_right_file)
{
	AUTO(diag) struct diag *d = NULL;

	diag_new(&d);
	CHECK_EQ("small", load(RULE, d), 0);
	CHECK_EQ("all fields", load(RULE "    secretGroup: 0\n    entropy: 3.5\n    keywords: [A]\n"
				    "    allowlist: {regexes: ['x+'], stopwords: [y], paths: ['^z/']}\n"
				    "    examples: {secret: [x], harmless: [y]}\n", d), 0);
	CHECK_EQ("nothing said", diag_errors(d), 0);
}

/* What entropy, keywords, stop words, paths and groups do, on rules of the test's own. */
static const char own[] = "version: 1\nrules:\n"
			  "  - {id: e, description: d, regex: 'E=[a-z]{8}', entropy: 2.5}\n"
			  "  - {id: k, description: d, regex: 'K=[a-z]{4}', keywords: [NEAR]}\n"
			  "  - {id: w, description: d, regex: 'W=[a-z]{4}', allowlist: {stopwords: [Bad]}}\n"
			  "  - {id: p, description: d, regex: 'P=[a-z]{4}', allowlist: {paths: ['^doc/']}}\n"
			  "  - {id: x, description: d, regex: 'X=([a-z]{4})', allowlist: {regexes: ['^good$']}}\n"
			  "  - {id: one, description: d, regex: 'O=[a-z]{4}'}\n"
			  "  - {id: two, description: d, regex: '[A-Z]=[o-p]{4}'}\n"
			  "  - {id: g, description: d, regex: 'G=(a{1,3}b|(c{3}))', secretGroup: 0, entropy: 0}\n";

struct got {
	struct scan_sink sink;
	char ids[256];
	uint64_t column;
};

static void got_one(struct scan_sink *sink, const struct scan_finding *f)
{
	struct got *g = container_of(sink, struct got, sink);

	strcat(strcat(g->ids, f->rule->id), " ");
	g->column = f->column;
}

TEST(filters)
{
	static const struct { const char *path, *text, *ids; unsigned column; } rows[] = {
		{ "a", "E=abcdefgh", "e ", 1 }, { "a", "E=aaaaaaab", "", 0 },
		{ "a", "K=abcd", "", 0 }, { "a", "near K=abcd", "k ", 6 }, { "a", "K=abcd NeaR", "k ", 1 },
		{ "a", "W=abcd", "w ", 1 }, { "a", "W=abda", "w ", 1 }, { "a", "W=xbad", "", 0 },
		{ "a", "P=abcd", "p ", 1 }, { "doc/a", "P=abcd", "", 0 }, { "a/doc/a", "P=abcd", "p ", 1 },
		{ "a", "X=good", "", 0 }, { "a", "X=bood X=good", "x ", 3 },
		{ "a", "O=oopp", "one ", 1 }, { "a", "Q=oopp", "two ", 1 }, { "a", "O=oopp Q=oopp", "one two ", 8 },
		{ "a", "G=ccc", "g ", 3 },
	};
	AUTO(diag) struct diag *d = NULL;
	AUTO(scan_rules) struct scan_rules *rules = NULL;
	AUTO(scan) struct scan *e = NULL;
	AUTO(scan_scratch) struct scan_scratch *s = NULL;

	diag_new(&d);
	if (scan_rules_parse("r", own, sizeof(own) - 1, d, &rules) || scan_new(rules, d, &e) || scan_scratch_new(e, &s)) {
		diag_print(d, stdout);
		CHECK("compiled", false);
		return;
	}
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct got g = { .sink.found = got_one };

		scan_buffer(s, rows[i].path, rd_str(rows[i].text), &g.sink);
		CHECK_STR(rows[i].text, g.ids, rows[i].ids);
		CHECK_EQ(rows[i].text, g.column, rows[i].column);
	}
}

/* A keyword counts SCAN_NEAR bytes before and behind, and not one farther. */
TEST(how_near_a_keyword_is)
{
	AUTO(diag) struct diag *d = NULL;
	AUTO(scan_rules) struct scan_rules *rules = NULL;
	AUTO(scan) struct scan *e = NULL;
	AUTO(scan_scratch) struct scan_scratch *s = NULL;
	char text[2048];

	diag_new(&d);
	CHECK_EQ("rules", scan_rules_parse("r", own, sizeof(own) - 1, d, &rules), 0);
	CHECK_EQ("engine", scan_new(rules, d, &e) || scan_scratch_new(e, &s), 0);
	for (size_t far = SCAN_NEAR - 6; s && far < SCAN_NEAR + 4; far++)
		for (int behind = 0; behind < 2; behind++) {
			struct got g = { .sink.found = got_one };

			memset(text, '.', sizeof(text));
			memcpy(text + 1000, "K=abcd", 6);
			memcpy(behind ? text + 1006 + far : text + 1000 - far - 4, "near", 4);
			scan_buffer(s, "a", rd_of(text, sizeof(text)), &g.sink);
			CHECK_STR(behind ? "behind" : "before", g.ids, far + 4 <= SCAN_NEAR ? "k " : "");
		}
}
