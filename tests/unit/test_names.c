/*
 * test_names.c - synthetic addresses, real addresses and grants, against a kernel made of an array
 */
#include "tests/unit/check.h"

#include <netinet/in.h>

#include "netd/names_table.h"
#include "tests/unit/fake_ruleset.h"

static bool collide(const struct ruleset_elem *a, const struct ruleset_elem *b)
{
	return a->map == b->map && addr_eq(&a->addr, &b->addr) &&
	       (a->map != MAP_GRANTS ||
		(a->mark == b->mark && a->proto == b->proto && a->port == b->port));
}

static size_t count(enum ruleset_map map, uint8_t family, uint32_t mark)
{
	size_t n = 0;

	for (size_t i = 0; i < n_elems; i++)
		n += elems[i].map == map && elems[i].addr.family == family && elems[i].mark == mark;
	return n;
}

/* The real address of the one name in these tests. */
static const char *real(uint8_t family)
{
	static char text[ADDR_TEXT_MAX];

	for (size_t i = 0; i < n_elems; i++) {
		if (elems[i].map != MAP_REAL || elems[i].addr.family != family)
			continue;
		addr_format(&elems[i].real, text);
		return text;
	}
	return "none";
}

/* ---- policies ---- */

enum { PLAIN = 1, PRIVATE = 2, GIT = 3, STRICT = 4 };
#define PROFILE(rules) "version: 1\nsandbox:\n  network:\n    default: deny\n    allow:\n" rules
static const char *const texts[] = {
	[PLAIN] = PROFILE("      - host: db.example\n        ports: [5432]\n        protocol: tcp\n"
			  "      - host: web.example\n"),
	[PRIVATE] =
		PROFILE("      - host: db.example\n        ports: [5432]\n        protocol: tcp\n"
			"        private: true\n"),
	[GIT] = "version: 1\nsandbox:\n  git:\n    enabled: true\n    source: upstream\n"
		"    allowed_hosts: [db.example]\n",
	[STRICT] = PROFILE("      - host: web.example\n"),
};
static struct profiles profiles;
static struct host_config config;
static char agent[] = "agent";

static struct policy *compiled(int which)
{
	static const struct policy_site site;
	AUTO(diag) struct diag *d = NULL;
	struct policy *p = NULL;

	if (diag_new(&d) < 0)
		abort();
	if (policy_compile("agent", "agent.yaml", texts[which], strlen(texts[which]), &site, d,
			   &p) < 0) {
		diag_print(d, stdout);
		abort();
	}
	return p;
}

static struct names *fresh(void)
{
	struct names *t;

	if (!prefix_parse("198.18.0.0/15", &config.pool.v4) ||
	    !prefix_parse("fd63:6f72:646f::/64", &config.pool.v6))
		abort();
	for (uint16_t i = PLAIN; i <= STRICT; i++) {
		if (!profiles.policy[i])
			profiles.policy[i] = compiled(i);
		profiles.name[i] = agent;
	}
	n_elems = 0;
	commits = 0;
	fail_commit = 0;
	if (names_new(&config, NULL, &t) < 0)
		abort();
	return t;
}

static struct addr addr(const char *text)
{
	struct addr a = { 0 };

	if (!addr_parse(text, &a))
		abort();
	return a;
}

/* Offers up to two addresses (NULL: none). */
static enum reason pin(struct names *t, struct name *nm, uint16_t profile, const char *first,
		       const char *second, bool has[2])
{
	struct addr a[2][2];
	struct name_ask o = { .nm = nm, .profile = profile, .a = { a[0], a[1] } };
	const char *texts_[] = { first, second };

	for (size_t i = 0; i < 2; i++) {
		struct addr x = texts_[i] ? addr(texts_[i]) : (struct addr){ 0 };
		int f = x.family == 6;

		if (texts_[i])
			a[f][o.n[f]++] = x;
	}
	names_grant(t, &profiles, &o, 1);
	memcpy(has, o.has, sizeof(o.has));
	return o.reason;
}

static struct name *named(struct names *t, const char *text)
{
	struct name *nm = NULL;

	CHECK_EQ(text, names_add(t, text, &nm), 0);
	return nm;
}

#define MARK(profile) ((uint32_t)(profile) << 16)

/* ---- tests ---- */

TEST(a_pin_writes_name_real_and_grant)
{
	AUTO(names) struct names *t = fresh();
	struct name *nm = named(t, "db.example");
	bool has[2];

	CHECK_EQ("pin", pin(t, nm, PLAIN, "93.184.216.34", NULL, has), REASON_NONE);
	CHECK("v4 only", has[0] && !has[1]);
	CHECK_EQ("names of both families", count(MAP_NAMES, 4, 0) + count(MAP_NAMES, 6, 0), 2);
	CHECK_STR("real", real(4), "93.184.216.34");
	CHECK_EQ("grant", count(MAP_GRANTS, 4, MARK(PLAIN)), 1);
	CHECK_EQ("no v6 grant without a v6 address", count(MAP_GRANTS, 6, MARK(PLAIN)), 0);
	CHECK_EQ("one transaction", commits, 1);
	CHECK_EQ("again", pin(t, nm, PLAIN, "93.184.216.34", NULL, has), REASON_NONE);
	CHECK_EQ("nothing new, nothing written", commits, 1);
}

TEST(a_real_address_stays_while_it_is_offered)
{
	AUTO(names) struct names *t = fresh();
	struct name *nm = named(t, "web.example");
	bool has[2];

	pin(t, nm, PLAIN, "93.184.216.34", NULL, has);
	pin(t, nm, PLAIN, "93.184.216.35", "93.184.216.34", has);
	CHECK_STR("stays", real(4), "93.184.216.34");
	CHECK_EQ("not written", commits, 1);
	pin(t, nm, PLAIN, "93.184.216.36", "93.184.216.35", has);
	CHECK_STR("moves", real(4), "93.184.216.36");
	CHECK_EQ("grant stays", count(MAP_GRANTS, 4, MARK(PLAIN)), 1);
	pin(t, nm, PLAIN, "2600::1", NULL, has);
	CHECK("an answer for one family leaves the other", has[0] && has[1]);
	CHECK_STR("v4 as before", real(4), "93.184.216.36");
}

TEST(rebinding)
{
	static const char *const bad[] = { "127.0.0.1",	 "10.0.0.5", "169.254.169.254", "::1",
					   "198.18.0.9", "fe80::1",  "::ffff:127.0.0.1" };
	AUTO(names) struct names *t = fresh();
	struct name *nm = named(t, "db.example");
	bool has[2];

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		CHECK_EQ(bad[i], pin(t, nm, PLAIN, bad[i], NULL, has), REASON_REBINDING_BLOCKED);
		CHECK(bad[i], !has[0] && !has[1]);
	}
	CHECK_EQ("nothing was written", commits, 0);
	CHECK_EQ("one of two is usable", pin(t, nm, PLAIN, "127.0.0.1", "93.184.216.34", has),
		 REASON_NONE);
	CHECK_STR("that one", real(4), "93.184.216.34");
	CHECK_EQ("later only bad ones", pin(t, nm, PLAIN, "127.0.0.1", NULL, has),
		 REASON_REBINDING_BLOCKED);
	CHECK_STR("the old one stays", real(4), "93.184.216.34");
}

TEST(a_private_address_serves_only_private_rules)
{
	AUTO(names) struct names *t = fresh();
	struct name *nm = named(t, "db.example");
	bool has[2];

	CHECK_EQ("private", pin(t, nm, PRIVATE, "10.0.0.5", NULL, has), REASON_NONE);
	CHECK_EQ("plain, no address of its own", pin(t, nm, PLAIN, NULL, NULL, has),
		 REASON_RESOLVER_UNREACHABLE);
	CHECK_EQ("no grant", count(MAP_GRANTS, 4, MARK(PLAIN)), 0);
	CHECK_EQ("plain brings a public one", pin(t, nm, PLAIN, "10.0.0.5", "93.184.216.34", has),
		 REASON_NONE);
	CHECK_STR("for both", real(4), "93.184.216.34");
	CHECK_EQ("both granted",
		 count(MAP_GRANTS, 4, MARK(PLAIN)) + count(MAP_GRANTS, 4, MARK(PRIVATE)), 2);
	CHECK_EQ("private again", pin(t, nm, PRIVATE, "10.0.0.5", NULL, has), REASON_NONE);
	CHECK_STR("moves back", real(4), "10.0.0.5");
	CHECK_EQ("and the plain grant is gone", count(MAP_GRANTS, 4, MARK(PLAIN)), 0);
	CHECK_EQ("the private one is not", count(MAP_GRANTS, 4, MARK(PRIVATE)), 1);
}

TEST(proxied_names_need_no_address)
{
	AUTO(names) struct names *t = fresh();
	struct name *nm = named(t, "db.example");
	bool has[2];

	CHECK_EQ("pin", pin(t, nm, GIT, NULL, NULL, has), REASON_NONE);
	CHECK("both families", has[0] && has[1]);
	CHECK_EQ("no real address", count(MAP_REAL, 4, 0), 0);
	CHECK("443 and 80",
	      count(MAP_GRANTS, 4, MARK(GIT)) >= 2 && count(MAP_GRANTS, 6, MARK(GIT)) >= 2);
}

TEST(not_allowed)
{
	AUTO(names) struct names *t = fresh();
	struct name *nm = named(t, "evil.example");
	bool has[2];

	CHECK_EQ("name", pin(t, nm, PLAIN, "93.184.216.34", NULL, has), REASON_NAME_NOT_ALLOWED);
	CHECK("no such profile", pin(t, nm, 99, "93.184.216.34", NULL, has) != REASON_NONE);
	CHECK_EQ("nothing", n_elems, 0);
}

TEST(a_failed_transaction_changes_nothing)
{
	AUTO(names) struct names *t = fresh();
	struct name *nm = named(t, "db.example");
	bool has[2];

	fail_commit = -ENOMEM;
	CHECK_EQ("fails", pin(t, nm, PLAIN, "93.184.216.34", NULL, has), REASON_INTERNAL_ERROR);
	CHECK("no family", !has[0] && !has[1]);
	fail_commit = 0;
	CHECK_EQ("works", pin(t, nm, PLAIN, "93.184.216.34", NULL, has), REASON_NONE);
	CHECK_EQ("grant", count(MAP_GRANTS, 4, MARK(PLAIN)), 1);
}

TEST(several_in_one_transaction)
{
	AUTO(names) struct names *t = fresh();
	struct addr good = addr("93.184.216.34"), bad = addr("127.0.0.1");
	struct name_ask asks[] = {
		{ .nm = named(t, "web.example"),
		  .profile = PLAIN,
		  .a = { &good, NULL },
		  .n = { 1, 0 } },
		{ .nm = named(t, "evil.example"),
		  .profile = PLAIN,
		  .a = { &good, NULL },
		  .n = { 1, 0 } },
		{ .nm = named(t, "db.example"),
		  .profile = PLAIN,
		  .a = { &good, NULL },
		  .n = { 1, 0 } },
		{ .nm = named(t, "bad.example"),
		  .profile = PLAIN,
		  .a = { &bad, NULL },
		  .n = { 1, 0 } },
	};
	static const enum reason want[] = { REASON_NONE, REASON_NAME_NOT_ALLOWED, REASON_NONE,
					    REASON_NAME_NOT_ALLOWED };

	names_grant(t, &profiles, asks, ARRAY_SIZE(asks));
	for (size_t i = 0; i < ARRAY_SIZE(asks); i++)
		CHECK_EQ(asks[i].nm->text, asks[i].reason, want[i]);
	CHECK_EQ("one transaction", commits, 1);
	CHECK_EQ("two grants", count(MAP_GRANTS, 4, MARK(PLAIN)), 2);
}

TEST(one_that_fails_takes_no_other_along)
{
	AUTO(names) struct names *t = fresh();
	struct addr good = addr("93.184.216.34");
	struct name_ask asks[] = {
		{ .nm = named(t, "web.example"),
		  .profile = PLAIN,
		  .a = { &good, NULL },
		  .n = { 1, 0 } },
		{ .nm = named(t, "db.example"),
		  .profile = PLAIN,
		  .a = { &good, NULL },
		  .n = { 1, 0 } },
	};

	elems[n_elems++] = (struct ruleset_elem){ .map = MAP_NAMES,
						  .addr = names_synthetic(t, asks[0].nm, 4) };
	names_grant(t, &profiles, asks, 2);
	CHECK_EQ("in the way", asks[0].reason, REASON_INTERNAL_ERROR);
	CHECK_EQ("the other", asks[1].reason, REASON_NONE);
	CHECK_EQ("granted", count(MAP_GRANTS, 4, MARK(PLAIN)), 1);
}

/* ---- moving ---- */

TEST(a_silent_address_is_left_for_the_next)
{
	AUTO(names) struct names *t = fresh();
	struct name *nm = named(t, "web.example");
	struct addr offered[] = { addr("93.184.216.34"), addr("127.0.0.1"), addr("93.184.216.35"),
				  addr("93.184.216.34"), addr("93.184.216.36") };
	struct name_ask o = {
		.nm = nm, .profile = PLAIN, .a = { offered, NULL }, .n = { ARRAY_SIZE(offered), 0 }
	};
	static const char *const way[] = { "93.184.216.35", "93.184.216.36", "93.184.216.34",
					   "93.184.216.35" };
	bool has[2];

	names_grant(t, &profiles, &o, 1);
	CHECK_EQ("usable ones besides the first, once each", nm->others[0].n, 2);
	for (size_t i = 0; i < ARRAY_SIZE(way); i++) {
		commits = 0;
		CHECK_EQ(way[i], names_move(t, &profiles, nm, 0), 0);
		CHECK_STR("round and round", real(4), way[i]);
		CHECK_EQ("one transaction", commits, 1);
		CHECK_EQ("the grant stays", count(MAP_GRANTS, 4, MARK(PLAIN)), 1);
	}
	CHECK_EQ("no IPv6 to move to", names_move(t, &profiles, nm, 1), -EACCES);
	fail_commit = -EIO;
	CHECK_EQ("fails", names_move(t, &profiles, nm, 0), -EIO);
	CHECK_STR("then nothing changed", real(4), "93.184.216.35");
	fail_commit = 0;
	pin(t, nm, PLAIN, "93.184.216.35", NULL, has);
	CHECK_EQ("a newer answer counts", nm->others[0].n, 0);
	CHECK_EQ("alone", names_move(t, &profiles, nm, 0), -EACCES);
}

TEST(a_move_takes_no_grant_away)
{
	AUTO(names) struct names *t = fresh();
	struct name *nm = named(t, "db.example");
	bool has[2];

	pin(t, nm, PLAIN, "93.184.216.34", NULL, has);
	pin(t, nm, PRIVATE, "93.184.216.34", "10.0.0.5", has);
	CHECK_EQ("known", nm->others[0].n, 1);
	CHECK_EQ("but not for everybody", names_move(t, &profiles, nm, 0), -EACCES);
	CHECK_STR("stays", real(4), "93.184.216.34");
}

/* ---- forgetting ---- */

TEST(a_forgotten_name_leaves_nothing_but_its_index)
{
	AUTO(names) struct names *t = fresh();
	struct name *nm = named(t, "db.example"), *other = named(t, "web.example"), *again;
	uint32_t index = nm->index;
	bool has[2];

	pin(t, nm, PLAIN, "93.184.216.34", "2600::1", has);
	pin(t, other, PLAIN, "93.184.216.35", NULL, has);
	fail_commit = -EIO;
	CHECK_EQ("fails", names_forget(t, &nm, 1), -EIO);
	CHECK("then it is there", names_find(t, "db.example") == nm);
	fail_commit = 0;
	commits = 0;
	CHECK_EQ("gone", names_forget(t, &nm, 1), 0);
	CHECK_EQ("in one transaction", commits, 1);
	CHECK_EQ("two names, real and grant of the other", n_elems, 4);
	CHECK("by text", !names_find(t, "db.example"));
	CHECK("by index", !names_at(t, index));
	CHECK_EQ("count", names_count(t), 1);
	again = named(t, "db.example");
	CHECK("another index", again->index != index);
	names_release(t, nm, 1000);
	CHECK_EQ("while the parts are told, too", names_count(t), 2);
}

TEST(indexes_rest)
{
	AUTO(names) struct names *t = NULL;
	struct name *nm = NULL, *first = NULL;
	char text[64];
	int r = 0;

	names_free(fresh());
	if (!prefix_parse("198.18.0.0/23", &config.pool.v4) || names_new(&config, NULL, &t) < 0)
		abort();
	for (int i = 0; r >= 0; i++) {
		snprintf(text, sizeof(text), "n%d.example", i);
		r = names_add(t, text, &nm);
		first = first ? first : nm;
	}
	CHECK_EQ("full", r, -ENOSPC);
	for (uint32_t i = 0; i < 100; i++) {
		nm = names_at(t, POOL_FIRST_NAME + i);
		CHECK_EQ("forget", names_forget(t, &nm, 1), 0);
		CHECK_EQ("not while the parts know it", names_add(t, "x.example", &first), -ENOSPC);
		names_release(t, nm, 1000 + i);
	}
	names_rested(t, 999 + NAMES_REST_MS);
	CHECK_EQ("all rest", names_add(t, "x.example", &nm), -ENOSPC);
	names_rested(t, 1001 + NAMES_REST_MS);
	CHECK_EQ("two have rested", names_add(t, "x.example", &nm), 0);
	CHECK_EQ("the first", nm->index, POOL_FIRST_NAME);
	CHECK_EQ("and the second", names_add(t, "y.example", &nm), 0);
	CHECK_EQ("no more", names_add(t, "z.example", &nm), -ENOSPC);
	names_rested(t, UINT64_MAX);
	for (int i = 0; i < 98; i++) {
		snprintf(text, sizeof(text), "m%d.example", i);
		CHECK_EQ(text, names_add(t, text, &nm), 0);
	}
	CHECK_EQ("full again", names_add(t, "z.example", &nm), -ENOSPC);
}

/* A name of n bytes in labels of 63 bytes, whose first bytes are these in turn. */
static const char *long_name(size_t n, const char *first)
{
	static char text[POLICY_NAME_MAX + 1];

	for (size_t i = 0; i < n; i++)
		text[i] = i % 64 == 63 ? '.' : i % 64 || i == 0 ? 'a' : first[i / 64 - 1];
	text[n] = '\0';
	return text;
}

TEST(every_name_is_read_back)
{
	static const struct {
		size_t n;
		const char *first;
	} cases[] = { { 1, "" }, { 199, "abc" }, { 250, "a0_" }, { 251, "a0_" }, { 252, "xyz" },
		      { 253, "abc" }, { 253, "019" }, { 253, "_-z" } };

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const char *text = long_name(cases[i].n, cases[i].first);
		char note[RULESET_NOTE_MAX + 1], back[POLICY_NAME_MAX + 1] = "";

		names_note(text, note);
		CHECK("read", names_of_note(note, back));
		CHECK_STR("the same", back, text);
		CHECK("told apart from a comment that was cut",
		      strlen(text) <= RULESET_NOTE_MAX || strlen(note) < RULESET_NOTE_MAX);
	}
}

TEST(comments_that_are_no_names)
{
	static const char *const bad[] = { "", "NOT A NAME", "A", "a..b", "a.B", "a\x80", "a!!b.",
					   "-.-;" };
	char text[POLICY_NAME_MAX + 1], longer[RULESET_NOTE_MAX + 1];

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		CHECK(bad[i], !names_of_note(bad[i], text));
	memset(longer, 'A', RULESET_NOTE_MAX);
	longer[RULESET_NOTE_MAX] = '\0';
	CHECK("unfolds to more than a name", !names_of_note(longer, text));
}

static size_t n_lost;
static void lost(void *owner, const struct addr *synthetic, const struct name_grant *g)
{
	(void)owner;
	CHECK_EQ("profile", g->profile, PLAIN);
	CHECK_EQ("family", synthetic->family, 4);
	n_lost++;
}

TEST(reload_takes_away_and_adds)
{
	AUTO(names) struct names *t = fresh();
	struct name *db = named(t, "db.example"), *web = named(t, "web.example");
	struct policy *before = profiles.policy[PLAIN];
	bool has[2];

	pin(t, db, PLAIN, "93.184.216.34", NULL, has);
	pin(t, db, PRIVATE, "93.184.216.34", NULL, has);
	pin(t, web, PLAIN, "93.184.216.35", NULL, has);
	n_lost = 0;
	profiles.policy[PLAIN] = profiles.policy[STRICT];
	fail_commit = -EIO;
	CHECK_EQ("fails", names_rebase(t, &profiles, lost, NULL), -EIO);
	CHECK_EQ("then nothing is lost", n_lost, 0);
	fail_commit = 0;
	commits = 0;
	CHECK_EQ("works", names_rebase(t, &profiles, lost, NULL), 0);
	CHECK_EQ("in one transaction", commits, 1);
	CHECK_EQ("db is lost", n_lost, 1);
	CHECK_EQ("web stays", count(MAP_GRANTS, 4, MARK(PLAIN)), 1);
	CHECK_EQ("the other profile stays", count(MAP_GRANTS, 4, MARK(PRIVATE)), 1);
	profiles.policy[PLAIN] = before;
	CHECK_EQ("back", names_rebase(t, &profiles, lost, NULL), 0);
	CHECK_EQ("comes back with the next pin only", count(MAP_GRANTS, 4, MARK(PLAIN)), 1);
}

TEST(read_back)
{
	struct names *t = fresh();
	struct name *nm = named(t, "db.example");
	struct ruleset_elem odd = {
		.map = MAP_GRANTS, .mark = MARK(77), .proto = 6, .port = 1, .action = GRANT_FORWARD
	};
	uint32_t index = nm->index;
	bool has[2];

	pin(t, nm, PLAIN, "93.184.216.34", "2600::1", has);
	odd.addr = names_synthetic(t, nm, 4);
	elems[n_elems++] = odd; /* of a profile nobody has */
	odd = (struct ruleset_elem){ .map = MAP_NAMES,
				     .addr = addr("198.18.9.9"),
				     .note = "NOT A NAME" };
	elems[n_elems++] = odd;
	odd = (struct ruleset_elem){ .map = MAP_REAL,
				     .addr = addr("198.18.9.10"),
				     .real = addr("9.9.9.9") };
	elems[n_elems++] = odd; /* of no name */
	names_free(t);
	if (names_new(&config, NULL, &t) < 0)
		abort();
	CHECK_EQ("read", names_read_back(t, &profiles), 0);
	nm = names_find(t, "db.example");
	CHECK("there", nm && nm->index == index && nm->known && nm->n_grants == 2);
	CHECK_EQ("strays are gone", n_elems, 6);
	commits = 0;
	CHECK_EQ("in line", names_rebase(t, &profiles, NULL, NULL), 0);
	CHECK_EQ("nothing to write", commits, 0);
	if (nm)
		CHECK_EQ("pin", pin(t, nm, PLAIN, "93.184.216.34", NULL, has), REASON_NONE);
	CHECK_EQ("still nothing", commits, 0);
	names_free(t);
}

TEST(refill)
{
	AUTO(names) struct names *t = fresh();
	struct name *nm = named(t, "db.example");
	bool has[2];

	pin(t, nm, PLAIN, "93.184.216.34", "2600::1", has);
	named(t, "unpinned.example");
	n_elems = 0;
	CHECK_EQ("refill", names_refill(t), 0);
	CHECK_EQ("two names, two real, two grants", n_elems, 6);
}

TEST(many_names)
{
	AUTO(names) struct names *t = fresh();
	struct name *nm;
	char text[64];

	for (int i = 0; i < 5000; i++) {
		snprintf(text, sizeof(text), "n%d.example", i);
		named(t, text);
	}
	CHECK_EQ("count", names_count(t), 5000);
	nm = names_find(t, "n4999.example");
	CHECK("last", nm && names_at(t, nm->index) == nm && nm->index >= POOL_FIRST_NAME);
	CHECK("none", !names_find(t, "n5000.example"));
}

TEST(pool_used_up)
{
	AUTO(names) struct names *t = NULL;
	struct name *nm;
	char text[64];
	int r = 0;

	names_free(fresh());
	if (!prefix_parse("198.18.0.0/23", &config.pool.v4) || names_new(&config, NULL, &t) < 0)
		abort();
	for (int i = 0; r >= 0 && i < 600; i++) {
		snprintf(text, sizeof(text), "n%d.example", i);
		r = names_add(t, text, &nm);
	}
	CHECK_EQ("used up", r, -ENOSPC);
	CHECK("the services' own are not given out", names_count(t) < 512 - POOL_FIRST_NAME + 1);
}
