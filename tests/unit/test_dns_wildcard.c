/*
 * test_dns_wildcard.c - what a sandbox may make up below a wildcard
 */
#include "tests/unit/check.h"

#include "dns/wildcard.h"

enum { SECOND = 1000, MINUTE = 60 * SECOND, HOUR = 60 * MINUTE, BEGIN = 5 * HOUR };

struct fixture {
	struct wildcards *w;
	struct view_sandbox sandbox;
	struct name_decision d;
};

static void start(struct fixture *f, uint32_t names, uint32_t bytes)
{
	*f = (struct fixture){ 0 };
	f->sandbox = (struct view_sandbox){ .id = 7, .name = "vm0" };
	f->d = (struct name_decision){ .allowed = true,
				       .wildcard = true,
				       .rule = "network.allow: *.a.example",
				       .budget = { names, bytes } };
	if (wildcards_new(&f->w))
		abort();
}

static void end(struct fixture *f)
{
	wildcards_free(f->w);
}

/* Of a name whose first label is `label`. */
static bool take(struct fixture *f, const char *label, uint64_t now_ms)
{
	char name[POLICY_NAME_MAX + 1];

	snprintf(name, sizeof(name), "%s.a.example", label);
	f->d.wild_n = strlen(label);
	return wildcards_take(f->w, &f->sandbox, name, &f->d, now_ms);
}

/* How many of n names that nobody has asked for are let through. */
static unsigned take_fresh(struct fixture *f, unsigned n, uint64_t now_ms)
{
	static unsigned serial;
	unsigned taken = 0;
	char label[16];

	for (unsigned i = 0; i < n; i++) {
		snprintf(label, sizeof(label), "n%08u", serial++);
		taken += take(f, label, now_ms);
	}
	return taken;
}

TEST(names_per_minute)
{
	struct fixture f;

	start(&f, 60, 1000000);
	CHECK_EQ("as many at once", take_fresh(&f, 400, BEGIN), 60);
	CHECK_EQ("none in the same second", take_fresh(&f, 400, BEGIN + 999), 0);
	CHECK_EQ("then one", take_fresh(&f, 400, BEGIN + SECOND), 1);
	CHECK_EQ("and one each second", take_fresh(&f, 400, BEGIN + 11 * SECOND), 10);
	CHECK_EQ("never more than a minute's", take_fresh(&f, 400, BEGIN + 9 * HOUR), 60);
	end(&f);
}

TEST(label_bytes_per_hour)
{
	struct fixture f;

	start(&f, 1000, 3600);
	CHECK_EQ("nine bytes each", take_fresh(&f, 1000, BEGIN), 400);
	CHECK_EQ("a byte a second", take_fresh(&f, 10, BEGIN + 8 * SECOND), 0);
	CHECK("what is left buys a short name", take(&f, "eightbyt", BEGIN + 8 * SECOND));
	CHECK("but nothing more", !take(&f, "a", BEGIN + 8 * SECOND));
	CHECK_EQ("an hour's later", take_fresh(&f, 1000, BEGIN + 9 * HOUR), 400);
	end(&f);
}

TEST(a_refusal_takes_nothing)
{
	struct fixture f;

	start(&f, 2, 10);
	CHECK("longer than the budget", !take(&f, "elevenbytes", BEGIN));
	CHECK("a name is still left", take(&f, "five5", BEGIN));
	CHECK("so are the bytes", take(&f, "5evif", BEGIN));
	CHECK("now nothing is", !take(&f, "a", BEGIN));
	end(&f);
}

TEST(repeats_are_free)
{
	struct fixture f;
	unsigned free_ones = 0;

	start(&f, 1, 10);
	CHECK("new", take(&f, "tenletters", BEGIN));
	CHECK("no other", !take(&f, "b", BEGIN));
	for (unsigned i = 0; i < 1000; i++)
		free_ones += take(&f, "tenletters", BEGIN + i * MINUTE / 2);
	CHECK_EQ("it again, for hours", free_ones, 1000);
	CHECK("a name that was refused is not known", !take(&f, "elevenbytes", BEGIN + 9 * HOUR));
	CHECK("nor is it then", !take(&f, "elevenbytes", BEGIN + 9 * HOUR));
	end(&f);
}

TEST(an_hour_forgets)
{
	struct fixture f;

	start(&f, 10, 10);
	CHECK("new", take(&f, "tenletters", BEGIN));
	CHECK("known", take(&f, "tenletters", BEGIN + HOUR - 1));
	CHECK("unknown after an hour", take(&f, "tenletters", BEGIN + 2 * HOUR));
	CHECK("and paid for", !take(&f, "a", BEGIN + 2 * HOUR));
	end(&f);
}

TEST(memory_for_names_is_bounded)
{
	struct fixture f;

	start(&f, 100000, 10000000);
	CHECK("the first", take(&f, "first", BEGIN));
	take_fresh(&f, WILDCARD_NAMES_MAX, BEGIN + 1);
	f.d.budget = (struct wildcard_budget){ 1, 1 };
	CHECK("was forgotten for the last, and costs again", !take(&f, "first", BEGIN + 1));
	end(&f);
}

TEST(sandboxes_and_rules_are_apart)
{
	struct fixture f;

	start(&f, 1, 100);
	CHECK("one", take(&f, "a", BEGIN));
	CHECK("no more", !take(&f, "b", BEGIN));
	f.d.rule = "network.allow: *.b.example";
	CHECK("another rule", take(&f, "b", BEGIN));
	f.d.rule = "network.allow: *.a.example";
	f.sandbox.id = 8;
	CHECK("another sandbox", take(&f, "b", BEGIN));
	CHECK("which does not know the first one's name", !take(&f, "a", BEGIN));
	f.sandbox = (struct view_sandbox){ .id = 7, .name = "vm1" };
	CHECK("another that has the id of a former one", take(&f, "c", BEGIN));
	end(&f);
}

TEST(a_reload_does_not_fill_it)
{
	char rule[] = "network.allow: *.a.example";	/* of another policy object */
	struct fixture f;

	start(&f, 1, 100);
	CHECK("one", take(&f, "a", BEGIN));
	f.d.rule = rule;
	CHECK("no more", !take(&f, "b", BEGIN));
	f.d.budget = (struct wildcard_budget){ 1000, 100 };
	CHECK("a larger budget is not a full one", !take(&f, "b", BEGIN));
	CHECK("but fills faster", take(&f, "b", BEGIN + 60));
	end(&f);
}

TEST(one_sandbox_cannot_take_every_place)
{
	char rule[64];
	struct fixture f;
	unsigned taken = 0;

	start(&f, 2, 100);
	f.d.rule = rule;
	for (unsigned i = 0; i < 2 * WILDCARD_RULES_MAX; i++) {
		snprintf(rule, sizeof(rule), "network.allow: *.%u.example", i);
		taken += take(&f, "a", BEGIN);
	}
	CHECK_EQ("places of one sandbox", taken, WILDCARD_RULES_MAX);
	CHECK("more are refused", !take(&f, "a", BEGIN));
	f.sandbox.id = 8;
	CHECK("others have theirs", take(&f, "a", BEGIN));
	f.sandbox.id = 7;
	CHECK("and one that is full again is given up", take(&f, "a", BEGIN + MINUTE));
	end(&f);
}

TEST(a_full_table_refuses)
{
	char rule[64];
	struct fixture f;
	unsigned taken = 0;

	start(&f, 2, 100);
	f.d.rule = rule;
	for (unsigned i = 0; i < WILDCARD_ACCOUNTS_MAX + 5; i++) {
		f.sandbox.id = 1 + i / WILDCARD_RULES_MAX;
		snprintf(rule, sizeof(rule), "network.allow: *.%u.example", i);
		taken += take(&f, "a", BEGIN);
	}
	CHECK_EQ("as many as there are places", taken, WILDCARD_ACCOUNTS_MAX);
	f.sandbox.id = 1000;
	CHECK("then nobody", !take(&f, "a", BEGIN));
	CHECK("until one is full again", take(&f, "a", BEGIN + MINUTE));
	end(&f);
}
