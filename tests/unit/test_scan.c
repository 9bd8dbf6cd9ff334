/*
 * test_scan.c - every rule by its examples; findings do not depend on where and how bytes come
 */
#include "gitproxy/scan/scan.h"

#include "policy/file.h"
#include "tests/unit/check.h"
#include "tests/unit/scan_fixture.h"

enum { SEEDS = 4 };

static enum scan_verdict run(struct scan_fixture *f, const void *p, size_t n, struct scan_got *g)
{
	AUTO(mem) void *in = check_exact(p, n);

	scan_got_init(g);
	return scan_buffer(f->scratch, "a/b", rd_of(in, n), &g->sink);
}

static void check_examples(struct scan_fixture *f, const struct scan_rule *r, const struct scan_texts *list,
			   bool secret)
{
	struct scan_got g;

	for (size_t i = 0; i < list->n; i++)
		for (uint32_t seed = 1; seed <= SEEDS; seed++) {
			AUTO(mem) char *text = scan_example(list->text[i], seed * 7919);
			enum scan_verdict v = run(f, text, strlen(text), &g);

			if (v != SCAN_CLEAN && v != SCAN_FOUND)
				CHECK_FAIL("%s: %s: verdict %d", r->id, text, v);
			if (scan_got_has(&g, r->id) != secret)
				CHECK_FAIL("%s: %sfound: %s", r->id, secret ? "not " : "", text);
		}
}

TEST(every_rule_by_its_examples)
{
	struct scan_fixture f;

	scan_fixture_init(&f);
	CHECK("at least forty", f.rules->n >= 40);
	for (size_t i = 0; i < f.rules->n; i++) {
		const struct scan_rule *r = &f.rules->rule[i];

		CHECK(r->id, r->secret.n && r->harmless.n);
		check_examples(&f, r, &r->secret, true);
		check_examples(&f, r, &r->harmless, false);
	}
	scan_fixture_done(&f);
}

TEST(the_rules_file_holds_no_secret)
{
	AUTO(mem) char *text = NULL;
	struct scan_fixture f;
	struct scan_got g;
	size_t n = 0;

	scan_fixture_init(&f);
	CHECK_EQ("read", file_read("gitproxy/scan/rules.yaml", 1 << 20, f.d, &text, &n), 0);
	CHECK_EQ("clean", run(&f, text, n, &g), SCAN_CLEAN);
	for (size_t i = 0; i < g.n; i++)
		CHECK_FAIL("rules.yaml:%zu: %s", (size_t)g.at[i].line, g.at[i].rule->id);
	scan_fixture_done(&f);
}
