/*
 * test_ranges.c - the maps of ranges follow the policies, against a kernel made of an array
 *
 * Each step is what two profiles say and what must then be there, have been written, and be closed.
 */
#include "tests/unit/check.h"

#include <netinet/in.h>

#include "netd/ranges.h"
#include "policy/mark.h"
#include "tests/unit/fake_ruleset.h"

/* No two ranges that overlap under one key. */
static bool collide(const struct ruleset_elem *a, const struct ruleset_elem *b)
{
	struct prefix pa = { a->addr, a->bits }, pb = { b->addr, b->bits };

	return a->mark == b->mark && a->proto == b->proto && a->port == b->port && prefix_overlap(&pa, &pb);
}

/* ---- what is said of flows: a line each ---- */

static char said[4096];

static void say(const char *what, const struct flow_key *k)
{
	char text[ADDR_TEXT_MAX];
	size_t n = strlen(said);

	prefix_format(&k->to, text);
	snprintf(said + n, sizeof(said) - n, "%s %u %s %s/%u\n", what, k->profile, text,
		 k->proto == IPPROTO_UDP ? "udp" : "tcp", k->port);
}

void flows_lost(struct flow_list *l, struct flow_key key)
{
	l->lost++;
	say("lost", &key);
}

void flows_kept(struct flow_list *l, struct flow_key key)
{
	(void)l;
	say("kept", &key);
}

/* ---- policies ---- */

static struct profiles profiles;

static void profile_is(uint16_t id, const char *rows)
{
	static const struct policy_site site;
	AUTO(diag) struct diag *d = NULL;
	char text[1024];
	int n = snprintf(text, sizeof(text), "version: 1\nsandbox: {network: {allow: [%s]}}\n", rows ? rows : "");

	policy_unref(profiles.policy[id]);
	profiles.policy[id] = NULL;
	if (rows && (diag_new(&d) < 0 || policy_compile("p", "p", text, (size_t)n, &site, d, &profiles.policy[id]) < 0)) {
		diag_print(d, stdout);
		abort();
	}
}

static bool holds(uint16_t profile, const char *prefix, uint8_t proto, uint16_t port)
{
	struct prefix p;

	if (!prefix_parse(prefix, &p))
		abort();
	for (size_t i = 0; i < n_elems; i++) {
		const struct ruleset_elem *e = &elems[i];

		if (e->map == MAP_RANGES && e->mark == mark_of(profile, 0) && e->bits == p.bits && addr_eq(&e->addr, &p.addr) &&
		    e->proto == proto && e->port == port && e->action == GRANT_FORWARD && strstr(e->note, prefix))
			return true;
	}
	return false;
}

static void fresh(void)
{
	n_elems = 0;
	commits = 0;
	fail_commit = 0;
	profile_is(1, NULL);
	profile_is(2, NULL);
}

static int rebase(void)
{
	struct flow_list lost = { 0 };

	*said = '\0';
	return ranges_rebase(NULL, &profiles, &lost);
}

TEST(steps)
{
	static const struct {
		const char *what, *one, *two;
		size_t n;
		unsigned written;
		const char *prefix;	/* that profile 1 then has on tcp 9000 */
		const char *said;
	} rows[] = {
		{ "nothing", "", "", 0, 0, NULL, "" },
		{ "a range", "{cidr: 10.20.0.0/16, ports: [9000]}", "", 1, 1, "10.20.0.0/16", "kept 1 10.20.0.0/16 tcp/9000\n" },
		{ "the same again", "{cidr: 10.20.0.0/16, ports: [9000]}", "", 1, 0, "10.20.0.0/16", "" },
		{ "in other words", "{cidr: 10.20.0.0/16, ports: [9000], protocol: ssh}, {cidr: 10.20.3.0/24, ports: [9000]}", "",
		  1, 0, "10.20.0.0/16", "" },
		{ "smaller", "{cidr: 10.20.0.0/17, ports: [9000]}", "", 1, 1, "10.20.0.0/17",
		  "lost 1 10.20.0.0/16 tcp/9000\nkept 1 10.20.0.0/17 tcp/9000\n" },
		{ "larger", "{cidr: 10.0.0.0/8, ports: [9000]}", "", 1, 1, "10.0.0.0/8",
		  "lost 1 10.20.0.0/17 tcp/9000\nkept 1 10.0.0.0/8 tcp/9000\n" },
		{ "another profile", "{cidr: 10.0.0.0/8, ports: [9000]}", "{cidr: 10.0.0.0/8, ports: [9000]}", 2, 1, "10.0.0.0/8",
		  "kept 2 10.0.0.0/8 tcp/9000\n" },
		{ "both families, both protocols", "{cidr: 10.0.0.0/8, ports: [9000]}, {cidr: '2a04::/32', ports: [9000], protocol: udp}",
		  "", 2, 1, "10.0.0.0/8", "lost 2 10.0.0.0/8 tcp/9000\nkept 1 2a04::/32 udp/9000\n" },
		{ "a profile that is gone", NULL, "", 0, 1, NULL, "lost 1 10.0.0.0/8 tcp/9000\nlost 1 2a04::/32 udp/9000\n" },
	};

	fresh();
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		unsigned before = commits;

		profile_is(1, rows[i].one);
		profile_is(2, rows[i].two);
		CHECK_EQ(rows[i].what, rebase(), 0);
		CHECK_EQ(rows[i].what, n_elems, rows[i].n);
		CHECK_EQ(rows[i].what, commits - before, rows[i].written);
		CHECK_STR(rows[i].what, said, rows[i].said);
		CHECK(rows[i].what, !rows[i].prefix || holds(1, rows[i].prefix, IPPROTO_TCP, 9000));
	}
	fresh();
}

TEST(failure_changes_nothing_and_closes_nothing)
{
	fresh();
	profile_is(1, "{cidr: 10.20.0.0/16, ports: [9000]}");
	CHECK_EQ("first", rebase(), 0);
	profile_is(1, "{cidr: 10.30.0.0/16, ports: [9000]}");
	fail_commit = -ENOMEM;
	CHECK_EQ("fails", rebase(), -ENOMEM);
	CHECK_STR("no flow is lost", said, "");
	CHECK("the old one is there", n_elems == 1 && holds(1, "10.20.0.0/16", IPPROTO_TCP, 9000));
	fail_commit = 0;
	CHECK_EQ("then works", rebase(), 0);
	CHECK("the new one is there", n_elems == 1 && holds(1, "10.30.0.0/16", IPPROTO_TCP, 9000));
	fresh();
}

TEST(kernel_is_the_database)
{
	fresh();
	profile_is(1, "{cidr: 10.20.0.0/16, ports: [9000, 9001]}");
	CHECK_EQ("first", rebase(), 0);
	n_elems = 0;
	CHECK_EQ("after a flush", rebase(), 0);
	CHECK_EQ("all are back", n_elems, 2);
	n_elems = 1;
	CHECK_EQ("after somebody deleted one", rebase(), 0);
	CHECK_EQ("it is back", n_elems, 2);
	elems[0].action = GRANT_PROXY;
	CHECK_EQ("after somebody changed one", rebase(), 0);
	CHECK("it is right", holds(1, "10.20.0.0/16", IPPROTO_TCP, 9000) && holds(1, "10.20.0.0/16", IPPROTO_TCP, 9001));
	elems[0].mark = mark_of(7, 0);
	CHECK_EQ("of a profile that nobody has", rebase(), 0);
	CHECK_EQ("is deleted", n_elems, 2);
	CHECK("and its flows end", strstr(said, "lost 7 10.20.0.0/16") != NULL);
	CHECK_EQ("without a list", ranges_rebase(NULL, &profiles, NULL), 0);
	fresh();
}
