/*
 * test_policy.c - decisions of a compiled profile, and its canonical form
 */
#include "tests/unit/check.h"

#include <netinet/in.h>

#include "policy/policy.h"
#include "policy/push.h"
#include "tests/unit/policy_fixture.h"

static const char precedence[] = NET
	"    allow:\n"
	"      - {host: '**.x.example'}\n"
	"      - {host: '*.x.example', ports: [8443], protocol: tls}\n"
	"      - {host: '**.deep.x.example', ports: [22]}\n"
	"      - {host: 'exact.x.example', ports: [5432], protocol: tcp, private: true}\n"
	"      - {host: 'denied.x.example'}\n"
	"      - {host: 'still.blocked.example'}\n"
	"      - {host: '**.gone.example'}\n"
	"    deny:\n"
	"      - {host: 'denied.x.example'}\n"
	"      - {host: '*.blocked.example'}\n"
	"      - {host: '**.gone.example'}\n"
	"      - {host: 'narrow.deep.x.example'}\n";

TEST(precedence)
{
	static const struct { const char *name; bool allowed; enum reason reason; const char *rule; uint16_t port; } rows[] = {
		{ "a.x.example", true, 0, "network.allow: *.x.example", 8443 },
		{ "a.b.x.example", true, 0, "network.allow: **.x.example", 443 },
		{ "a.deep.x.example", true, 0, "network.allow: **.deep.x.example", 22 },
		{ "deep.x.example", true, 0, "network.allow: *.x.example", 8443 },
		{ "exact.x.example", true, 0, "network.allow: exact.x.example", 5432 },
		{ "x.example", false, REASON_NAME_NOT_ALLOWED, "default", 0 },
		{ "evilx.example", false, REASON_NAME_NOT_ALLOWED, "default", 0 },
		{ "a.x.example.evil.test", false, REASON_NAME_NOT_ALLOWED, "default", 0 },
		{ "denied.x.example", false, REASON_NAME_DENIED, "network.deny: denied.x.example", 0 },
		{ "still.blocked.example", false, REASON_NAME_DENIED, "network.deny: *.blocked.example", 0 },
		{ "a.gone.example", false, REASON_NAME_DENIED, "network.deny: **.gone.example", 0 },
		{ "narrow.deep.x.example", false, REASON_NAME_DENIED, "network.deny: narrow.deep.x.example", 0 },
		{ "a.narrow.deep.x.example", true, 0, "network.allow: **.deep.x.example", 22 },
		{ "", false, REASON_NAME_NOT_ALLOWED, "default", 0 },
		{ "example", false, REASON_NAME_NOT_ALLOWED, "default", 0 },
	};
	AUTO(policy) struct policy *p = fixture_policy(precedence);

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct name_decision d;

		policy_decide_name(p, rows[i].name, &d);
		CHECK_EQ(rows[i].name, d.allowed, rows[i].allowed);
		CHECK_EQ(rows[i].name, d.reason, rows[i].reason);
		CHECK_STR(rows[i].name, d.rule, rows[i].rule);
		CHECK_EQ(rows[i].name, d.n_grants, rows[i].allowed);
		if (d.n_grants)
			CHECK_EQ(rows[i].name, d.grants[0].port, rows[i].port);
		CHECK_EQ(rows[i].name, d.private_ok, !strcmp(rows[i].name, "exact.x.example"));
	}
}

TEST(order_in_the_file_means_nothing)
{
	static const char a[] = NET "    allow: [{host: a.example}, {host: '**.b.example', ports: [443, 22]}]\n"
				    "    deny: [{host: c.example}, {host: d.example}]\n";
	static const char b[] = NET "    deny: [{host: D.example.}, {host: c.example}, {host: d.example}]\n"
				    "    allow: [{host: '**.b.example', ports: [22]}, {host: '**.B.example'}, {host: A.Example.}]\n";
	AUTO(policy) struct policy *pa = fixture_policy(a), *pb = fixture_policy(b);

	CHECK_STR("same policy, same hash", policy_sha256(pa), policy_sha256(pb));
}

TEST(ancestors)
{
	static const struct { const char *name; bool want; } rows[] = {
		{ "x.example", true }, { "example", true }, { "deep.x.example", false /* granted itself */ },
		{ "blocked.example", false /* nothing below is granted */ }, { "gone.example", false }, { "other", false },
		{ "a.exact.x.example", false },
	};
	AUTO(policy) struct policy *p = fixture_policy(precedence);

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct name_decision d;

		policy_decide_name(p, rows[i].name, &d);
		CHECK_EQ(rows[i].name, d.ancestor, rows[i].want);
	}
}

static const char ports[] = NET
	"    allow:\n"
	"      - {host: a.example}\n"
	"      - {host: a.example, ports: [22]}\n"
	"      - {host: a.example, ports: [5353, 22000], protocol: udp}\n"
	"      - {host: a.example, ports: [8443], protocol: tls}\n"
	"      - {host: b.example, protocol: ssh}\n"
	"  git: {enabled: true, allowed_hosts: [github.com]}\n";

TEST(ports)
{
	static const struct { const char *name; uint8_t proto; uint16_t port; enum grant_action want; } rows[] = {
		{ "a.example", IPPROTO_TCP, 443, GRANT_INSPECT }, { "a.example", IPPROTO_UDP, 443, GRANT_NONE },
		{ "a.example", IPPROTO_TCP, 80, GRANT_NONE }, { "a.example", IPPROTO_TCP, 22, GRANT_FORWARD },
		{ "a.example", IPPROTO_UDP, 5353, GRANT_FORWARD }, { "a.example", IPPROTO_TCP, 5353, GRANT_NONE },
		{ "a.example", IPPROTO_UDP, 22000, GRANT_FORWARD }, { "a.example", IPPROTO_TCP, 8443, GRANT_INSPECT },
		{ "b.example", IPPROTO_TCP, 22, GRANT_FORWARD }, { "b.example", IPPROTO_TCP, 443, GRANT_NONE },
		{ "github.com", IPPROTO_TCP, 443, GRANT_PROXY }, { "github.com", IPPROTO_TCP, 80, GRANT_PROXY },
		{ "github.com", IPPROTO_TCP, 22, GRANT_PROXY }, { "github.com", IPPROTO_UDP, 443, GRANT_NONE },
		{ "c.example", IPPROTO_TCP, 443, GRANT_NONE }, { "a.example", 0, 443, GRANT_NONE },
		{ "a.example", IPPROTO_TCP, 0, GRANT_NONE },
	};
	AUTO(policy) struct policy *p = fixture_policy(ports);
	struct name_decision d;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		CHECK_EQ(rows[i].name, policy_decide_port(p, rows[i].name, rows[i].proto, rows[i].port), rows[i].want);
	policy_decide_name(p, "github.com", &d);
	CHECK("a git host needs no real address", d.proxied && !d.wildcard);
	CHECK_STR("its rule", d.rule, "git.allowed_hosts: github.com");
	policy_decide_name(p, "a.example", &d);
	CHECK("a passed host does", !d.proxied);
}

struct repo_row {
	const char *host, *repo;
	int service, want;
	const char *rule;
};

static void check_repos(const char *text, const struct repo_row *rows, size_t n)
{
	AUTO(policy) struct policy *p = fixture_policy(text);

	for (size_t i = 0; i < n; i++) {
		struct repo_decision d;

		policy_decide_repo(p, rows[i].host, rows[i].repo, (enum git_service)rows[i].service, &d);
		CHECK_EQ(rows[i].repo, d.reason, rows[i].want);
		CHECK_EQ(rows[i].repo, d.allowed, rows[i].want == REASON_NONE);
		CHECK_STR(rows[i].repo, d.rule, rows[i].rule);
	}
}

enum { UP = GIT_SERVICE_UPLOAD_PACK, RECEIVE = GIT_SERVICE_RECEIVE_PACK };
enum { NO_REPO = REASON_REPOSITORY_NOT_ALLOWED, NO_HOST = REASON_HOST_NOT_ALLOWED };

TEST(repos)
{
	static const char text[] = HEAD
		"  git:\n    enabled: true\n    allowed_hosts: [GitHub.com, git.example]\n"
		"    allowed_repos: [Acme/Widgets.git, 'open/*', 'lib/x-*', git.example/only/here]\n"
		"    denied_repos: [open/payroll, 'open/secret-*', '*/private']\n"
		"  network: {deny: [{host: denied.git.example}]}\n";
	static const struct repo_row rows[] = {
		{ "github.com", "acme/widgets", UP, 0, "git.allowed_repos: Acme/Widgets" },
		{ "github.com", "ACME/Widgets", UP, 0, "git.allowed_repos: Acme/Widgets" },
		{ "git.example", "acme/widgets", UP, 0, "git.allowed_repos: Acme/Widgets" },
		{ "github.com", "acme/widgets.wiki", UP, NO_REPO, "default" },
		{ "github.com", "acme/widgets.git", UP, NO_REPO, "default" },
		{ "github.com", "acme/widget", UP, NO_REPO, "default" },
		{ "github.com", "acme/widgets2", UP, NO_REPO, "default" },
		{ "github.com", "acme/payroll", UP, NO_REPO, "default" },
		{ "github.com", "open/anything", UP, 0, "git.allowed_repos: open/*" },
		{ "github.com", "open/any/thing", UP, NO_REPO, "default" },
		{ "github.com", "open/", UP, NO_REPO, "default" },
		{ "github.com", "open/..", UP, NO_REPO, "default" },
		{ "github.com", "open/x.git", UP, NO_REPO, "default" },
		{ "github.com", "open/%2e", UP, NO_REPO, "default" },
		{ "github.com", "/open/x", UP, NO_REPO, "default" },
		{ "github.com", "open", UP, NO_REPO, "default" },
		{ "github.com", "", UP, NO_REPO, "default" },
		{ "github.com", "open/payroll", UP, NO_REPO, "git.denied_repos: open/payroll" },
		{ "github.com", "Open/Payroll", UP, NO_REPO, "git.denied_repos: open/payroll" },
		{ "github.com", "open/secret-1", UP, NO_REPO, "git.denied_repos: open/secret-*" },
		{ "github.com", "open/private", UP, NO_REPO, "git.denied_repos: */private" },
		{ "github.com", "lib/x-1", UP, 0, "git.allowed_repos: lib/x-*" },
		{ "github.com", "lib/x-", UP, 0, "git.allowed_repos: lib/x-*" },
		{ "github.com", "lib/x", UP, NO_REPO, "default" },
		{ "git.example", "only/here", UP, 0, "git.allowed_repos: git.example/only/here" },
		{ "github.com", "only/here", UP, NO_REPO, "default" },
		{ "evil.example", "acme/widgets", UP, NO_HOST, "default" },
		{ "denied.git.example", "acme/widgets", UP, NO_HOST, "default" },
		{ "github.com", "acme/widgets", RECEIVE, REASON_PUSH_NOT_ALLOWED, "default" },
		{ "github.com", "acme/payroll", RECEIVE, NO_REPO, "default" },
		{ "github.com", "acme/widgets", GIT_SERVICE_NONE, REASON_SERVICE_NOT_ALLOWED, "default" },
	};

	check_repos(text, rows, ARRAY_SIZE(rows));
}

/*
 * github.com is known to ignore case, git.x.example is said to, git.example minds it. What a decision says of the
 * spelling it says again when it is asked by that.
 */
TEST(spellings)
{
	static const char text[] = HEAD
		"  git:\n    enabled: true\n    allowed_hosts: [github.com, git.x.example, git.example]\n"
		"    allowed_repos: [Acme/Widgets.git, 'open/Lib-*', both/x, Both/X, one/Y, 'one/*', github.com/Deep/Read]\n"
		"    denied_repos: [open/lib-Secret, 'One/hidden*']\n"
		"    push: {allowed_repos: [acme/widgets, 'open/lib-*', Both/X, 'one/*']}\n";
	enum { NO_PUSH = REASON_PUSH_NOT_ALLOWED };
	static const struct { const char *host, *repo; int service, want; const char *spelled; } rows[] = {
		{ "github.com", "Acme/Widgets", UP, 0, "acme/widgets" },
		{ "github.com", "aCME/wIDGETS", RECEIVE, 0, "acme/widgets" },
		{ "github.com", "OPEN/LIB-A", UP, 0, "open/lib-a" },
		{ "github.com", "OPEN/LIB-A", RECEIVE, 0, "open/lib-a" },
		{ "github.com", "OPEN/LIB-SECRET", UP, NO_REPO, "open/lib-secret" },
		{ "github.com", "DEEP/read", UP, 0, "deep/read" },
		{ "github.com", "DEEP/read", RECEIVE, NO_PUSH, "deep/read" },
		{ "github.com", "Other/X", UP, NO_REPO, "other/x" },
		{ "git.x.example", "ACME/widgets", RECEIVE, 0, "acme/widgets" },
		{ "git.x.example", "Open/LIB-a", UP, 0, "open/lib-a" },
		/* an exact rule's spelling counts, whatever is asked for; what may be pushed to is that one */
		{ "git.example", "Acme/Widgets", UP, 0, "Acme/Widgets" },
		{ "git.example", "acme/widgets", UP, 0, "Acme/Widgets" },
		{ "git.example", "acme/widgets", RECEIVE, NO_PUSH, "Acme/Widgets" },
		{ "git.example", "both/x", UP, 0, "both/x" },
		{ "git.example", "Both/X", RECEIVE, 0, "Both/X" },
		{ "git.example", "both/x", RECEIVE, NO_PUSH, "both/x" },
		{ "git.example", "BOTH/X", UP, 0, "Both/X" },
		/* a pattern grants what it says; before an exact rule's other spelling */
		{ "git.example", "open/Lib-a", UP, 0, "open/Lib-a" },
		{ "git.example", "open/Lib-A", UP, 0, "open/Lib-A" },
		{ "git.example", "open/lib-a", UP, NO_REPO, "open/lib-a" },
		{ "git.example", "Open/Lib-a", UP, NO_REPO, "Open/Lib-a" },
		{ "git.example", "open/Lib-a", RECEIVE, NO_PUSH, "open/Lib-a" },
		{ "git.example", "one/y", UP, 0, "one/y" },
		{ "git.example", "one/Y", RECEIVE, 0, "one/Y" },
		{ "git.example", "ONE/y", UP, 0, "one/Y" },
		{ "git.example", "ONE/z", UP, NO_REPO, "ONE/z" },
		/* a denial is of all spellings */
		{ "git.example", "open/Lib-SECRET", UP, NO_REPO, "open/Lib-SECRET" },
		{ "git.example", "one/HIDDEN-x", RECEIVE, NO_REPO, "one/HIDDEN-x" },
	};
	AUTO(policy) struct policy *p = fixture_policy(text);

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		enum git_service service = (enum git_service)rows[i].service;
		struct repo_decision d, again;

		policy_decide_repo(p, rows[i].host, rows[i].repo, service, &d);
		CHECK_EQ(rows[i].repo, d.reason, rows[i].want);
		CHECK_STR(rows[i].repo, d.repo, rows[i].spelled);
		policy_decide_repo(p, rows[i].host, d.repo, service, &again);
		CHECK_EQ(rows[i].repo, again.reason, d.reason);
		CHECK_STR(rows[i].repo, again.repo, d.repo);
	}
}

/* Without a list of repositories, too. */
TEST(spellings_of_all)
{
	AUTO(policy) struct policy *p = fixture_policy(HEAD
		"  git: {enabled: true, allowed_hosts: [github.com, git.example]}\n");
	struct repo_decision d;

	policy_decide_repo(p, "github.com", "Any/Thing", GIT_SERVICE_UPLOAD_PACK, &d);
	CHECK_STR("one", d.repo, "any/thing");
	policy_decide_repo(p, "git.example", "Any/Thing", GIT_SERVICE_UPLOAD_PACK, &d);
	CHECK_STR("many", d.repo, "Any/Thing");
}

#define PUSH HEAD \
	"  git:\n    enabled: true\n    allowed_hosts: [github.com, git.example]\n" \
	"    allowed_repos: [acme/widgets, acme/gadgets, 'open/*']\n    denied_repos: [open/payroll]\n" \
	"    push:\n      allowed_repos: [Acme/Widgets.git, 'open/*', github.com/acme/gadgets, acme/hidden]\n"

TEST(repos_to_push_to)
{
	static const struct repo_row rows[] = {
		{ "github.com", "acme/widgets", RECEIVE, 0, "git.push.allowed_repos: Acme/Widgets" },
		{ "git.example", "ACME/widgets", RECEIVE, REASON_PUSH_NOT_ALLOWED, "default" },
		{ "github.com", "acme/gadgets", RECEIVE, 0, "git.push.allowed_repos: github.com/acme/gadgets" },
		{ "git.example", "acme/gadgets", RECEIVE, REASON_PUSH_NOT_ALLOWED, "default" },
		{ "git.example", "acme/gadgets", UP, 0, "git.allowed_repos: acme/gadgets" },
		{ "github.com", "acme/widgets.wiki", RECEIVE, NO_REPO, "default" },
		{ "github.com", "open/x", RECEIVE, 0, "git.push.allowed_repos: open/*" },
		{ "github.com", "open/payroll", RECEIVE, NO_REPO, "git.denied_repos: open/payroll" },
		{ "github.com", "acme/hidden", RECEIVE, NO_REPO, "default" },
		{ "evil.example", "acme/widgets", RECEIVE, NO_HOST, "default" },
	};

	check_repos(PUSH, rows, ARRAY_SIZE(rows));
}

TEST(push_rules)
{
	static const char text[] = PUSH "      refs: [refs/tags/*, 'refs/heads/agent/*', refs/tags/*]\n"
					"      create: false\n      force: true\n      delete: true\n"
					"      max_pack_bytes: 3MiB\n";
	AUTO(policy) struct policy *p = fixture_policy(text);
	AUTO(policy) struct policy *plain = fixture_policy(PUSH);
	struct push_rules r;

	policy_push_rules(p, "github.com", "Acme/Widgets", &r);
	CHECK("not by another spelling", !r.allowed);
	policy_push_rules(p, "github.com", "acme/widgets", &r);
	CHECK("ok", push_rules_ok(&r));
	CHECK_EQ("flags", r.allowed && !r.create && r.force && r.del, true);
	CHECK_EQ("size", r.max_pack_bytes, 3 << 20);
	CHECK_EQ("each once", r.n_refs, 2);
	CHECK_STR("sorted", r.refs[0], "refs/heads/agent/*");
	policy_push_rules(p, "github.com", "acme/payroll", &r);
	CHECK("another repository", !r.allowed && !r.n_refs && !r.force);
	policy_push_rules(plain, "github.com", "acme/widgets", &r);
	CHECK("defaults", push_rules_ok(&r) && r.allowed && r.create && !r.force && !r.del && !r.warn_only && !r.n_refs);
	CHECK_EQ("default size", r.max_pack_bytes, 512 << 20);
}

TEST(repos_of_groups)
{
	static const char text[] = HEAD
		"  git:\n    enabled: true\n    allowed_hosts: [gitlab.com, github.com]\n"
		"    allowed_repos: ['group/**', 'flat/*', gitlab.com/a/b/c]\n    denied_repos: ['group/sub/*']\n";
	static const struct repo_row rows[] = {
		{ "gitlab.com", "group/x", UP, 0, "git.allowed_repos: group/**" },
		{ "gitlab.com", "group/a/b/c/x", UP, 0, "git.allowed_repos: group/**" },
		{ "gitlab.com", "group/sub/x", UP, NO_REPO, "git.denied_repos: group/sub/*" },
		{ "gitlab.com", "group/sub/deeper/x", UP, NO_REPO, "git.denied_repos: group/sub/*" },
		{ "gitlab.com", "flat/x", UP, 0, "git.allowed_repos: flat/*" },
		{ "gitlab.com", "flat/x/y", UP, NO_REPO, "default" },
		{ "gitlab.com", "a/b/c", UP, 0, "git.allowed_repos: gitlab.com/a/b/c" },
		{ "github.com", "group/x", UP, 0, "git.allowed_repos: group/**" },
		{ "github.com", "group/a/x", UP, NO_REPO, "default" },
		{ "github.com", "a/b/c", UP, NO_REPO, "default" },
	};
	AUTO(policy) struct policy *p = fixture_policy(text);

	check_repos(text, rows, ARRAY_SIZE(rows));
	CHECK("gitlab.com has groups", policy_git_nested(p, "gitlab.com"));
	CHECK("github.com has none", !policy_git_nested(p, "github.com"));
}

TEST(absent_and_empty_repos)
{
	static const struct repo_row all[] = { { "github.com", "any/thing", UP, 0, "git.allowed_hosts: github.com" },
					       { "github.com", "any/no", UP, NO_REPO, "git.denied_repos: any/no" } };
	static const struct repo_row none[] = { { "github.com", "any/thing", UP, NO_REPO, "default" } };

	check_repos(HEAD "  git: {enabled: true, allowed_hosts: [github.com], denied_repos: [any/no]}\n", all, 2);
	check_repos(HEAD "  git: {enabled: true, allowed_hosts: [github.com], allowed_repos: []}\n", none, 1);
}

TEST(git_hosts)
{
	AUTO(policy) struct policy *off = fixture_policy(HEAD "  git: {enabled: false, allowed_hosts: [github.com]}\n");
	AUTO(policy) struct policy *denied = fixture_policy(
		HEAD "  git: {enabled: true, allowed_hosts: [github.com, git.x.example]}\n"
		     "  network: {deny: [{host: github.com}], allow: [{host: '*.x.example'}]}\n");
	struct name_decision d;

	policy_decide_name(denied, "github.com", &d);
	CHECK_EQ("deny wins over a git host", d.reason, REASON_NAME_DENIED);
	CHECK("which is none then", !policy_is_git_host(denied, "github.com"));
	policy_decide_name(denied, "git.x.example", &d);
	CHECK("a git host wins over a wildcard", d.proxied && policy_is_git_host(denied, "git.x.example"));
	CHECK("a wildcard makes no git host", !policy_is_git_host(denied, "a.x.example"));
	CHECK("not enabled: no git host", !policy_is_git_host(off, "github.com"));
	CHECK_EQ("and no grant", policy_decide_port(off, "github.com", IPPROTO_TCP, 443), GRANT_NONE);
}

static const char budgets[] = NET
	"    allow:\n"
	"      - {host: a.example}\n"
	"      - {host: '*.b.example'}\n"
	"      - {host: '*.c.example', wildcard_budget: {names_per_minute: 5}}\n"
	"      - {host: '**.d.example', wildcard_budget: {names_per_minute: 5, label_bytes_per_hour: 70}, ports: [443, 22]}\n"
	"      - {host: '**.d.example', wildcard_budget: {names_per_minute: 5, label_bytes_per_hour: 70}, ports: [2222], "
	"protocol: ssh}\n";

TEST(wildcard_budgets)
{
	static const struct { const char *name; bool wildcard; unsigned n, names, bytes; } rows[] = {
		{ "a.example", false, 0, 0, 0 }, { "a.b.example", true, 1, 60, 4096 },
		{ "four.c.example", true, 4, 5, 4096 }, { "a.bcd.d.example", true, 5 /* its dot too */, 5, 70 },
		{ "a.b.c.example", false, 0, 0, 0 /* denied */ },
	};
	AUTO(policy) struct policy *p = fixture_policy(budgets);

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct name_decision d;

		policy_decide_name(p, rows[i].name, &d);
		CHECK_EQ(rows[i].name, d.wildcard, rows[i].wildcard);
		CHECK_EQ(rows[i].name, d.wild_n, rows[i].n);
		CHECK_EQ(rows[i].name, d.budget.names_per_minute, rows[i].names);
		CHECK_EQ(rows[i].name, d.budget.label_bytes_per_hour, rows[i].bytes);
	}
}

static const char ranges[] = NET
	"    allow:\n"
	"      - {cidr: '2A04:4E42:0::/48', ports: [7000], protocol: udp}\n"
	"      - {cidr: 10.20.4.0/24, ports: [9000, 22]}\n"
	"      - {cidr: 10.20.0.0/16, ports: [9001, 9000, 9000]}\n"
	"      - {host: a.example}\n"
	"      - {cidr: 10.20.4.0/24, ports: [9000], protocol: udp}\n"
	"      - {cidr: 10.20.0.0/16, ports: [9001], protocol: ssh}\n"
	"      - {cidr: 10.30.0.5/32, ports: [9000]}\n";

TEST(addresses)
{
	static const struct { const char *addr; uint8_t proto; uint16_t port; const char *rule; } rows[] = {
		{ "10.20.0.0", IPPROTO_TCP, 9000, "network.allow: 10.20.0.0/16" },
		{ "10.20.255.255", IPPROTO_TCP, 9001, "network.allow: 10.20.0.0/16" },
		{ "10.20.4.1", IPPROTO_TCP, 9000, "network.allow: 10.20.0.0/16" },
		{ "10.20.4.1", IPPROTO_TCP, 22, "network.allow: 10.20.4.0/24" },
		{ "10.20.5.1", IPPROTO_TCP, 22, NULL }, { "10.20.4.1", IPPROTO_UDP, 9000, "network.allow: 10.20.4.0/24" },
		{ "10.20.5.1", IPPROTO_UDP, 9000, NULL }, { "10.20.4.1", IPPROTO_UDP, 9001, NULL },
		{ "10.19.255.255", IPPROTO_TCP, 9000, NULL }, { "10.21.0.0", IPPROTO_TCP, 9000, NULL },
		{ "10.30.0.5", IPPROTO_TCP, 9000, "network.allow: 10.30.0.5/32" }, { "10.30.0.4", IPPROTO_TCP, 9000, NULL },
		{ "2a04:4e42::1", IPPROTO_UDP, 7000, "network.allow: 2a04:4e42::/48" },
		{ "2a04:4e42:1::1", IPPROTO_UDP, 7000, NULL }, { "::ffff:10.20.0.1", IPPROTO_TCP, 9000, NULL },
		{ "10.20.0.1", 0, 9000, NULL }, { "10.20.0.1", IPPROTO_TCP, 0, NULL },
	};
	AUTO(policy) struct policy *p = fixture_policy(ranges);
	struct address_decision d;
	struct addr none = { 0 };

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct addr a;

		CHECK(rows[i].addr, addr_parse(rows[i].addr, &a));
		policy_decide_address(p, &a, rows[i].proto, rows[i].port, &d);
		CHECK_EQ(rows[i].addr, d.allowed, rows[i].rule != NULL);
		CHECK_EQ(rows[i].addr, d.reason, rows[i].rule ? REASON_NONE : REASON_ADDRESS_NOT_GRANTED);
		CHECK_STR(rows[i].addr, d.rule, rows[i].rule ? rows[i].rule : "default");
	}
	policy_decide_address(p, &none, IPPROTO_TCP, 9000, &d);
	CHECK("no address", !d.allowed);
}

/* What the kernel's intervals demand. */
TEST(no_two_ranges_overlap)
{
	AUTO(policy) struct policy *p = fixture_policy(ranges);
	size_t n;
	const struct policy_range *r = policy_ranges(p, &n);

	CHECK_EQ("of eight", n, 6);
	for (size_t i = 0; i < n; i++)
		for (size_t j = 0; j < i; j++)
			CHECK(r[i].rule, r[i].proto != r[j].proto || r[i].port != r[j].port ||
						 !prefix_overlap(&r[i].prefix, &r[j].prefix));
}

static const char requests[] = NET
	"    allow:\n"
	"      - {host: git.x.example, http: [{methods: [GET, POST], path: '/v1/**'}, {path: /health}]}\n"
	"      - {host: git.x.example, http: [{methods: [DELETE], path: '/v1/jobs/*'}]}\n"
	"      - {host: git.x.example, ports: [22]}\n"
	"      - {host: '*.git.example', http: [{path: '/pool/a*'}]}\n"
	"      - {host: npm.git.example, http: [{path: '/@acme%2f*'}, {path: '/x/@*%2F*'}, {path: '/a/**'}]}\n"
	"      - {host: deb.example, protocol: http}\n"
	"      - {host: plain.example, ports: [80]}\n"
	"      - {host: '**.api.git.x.example', http: [{path: '/v1/**'}], credential: api}\n"
	"      - {host: npm.api.git.x.example, credential: npm}\n"
	"      - {host: npm.api.git.x.example, ports: [22]}\n"
	"      - {host: free.api.git.x.example, http: [{path: '/**'}]}\n"
	"    deny: [{host: no.git.example}]\n"
	"  git: {enabled: true, allowed_hosts: [github.com]}\n";

/* Rules add up: one that says so is enough, and only for what it allows. */
TEST(upgrades)
{
	static const struct { const char *host, *method, *path; bool upgrade; } rows[] = {
		{ "git.x.example", "GET", "/ws", true }, { "git.x.example", "GET", "/ws/x", false },
		{ "git.x.example", "POST", "/ws", false }, { "git.x.example", "GET", "/other", false },
		{ "git.x.example", "HEAD", "/ws", false }, { "git.x.example", "GET", "/b/x", true },
		{ "plain.example", "GET", "/ws", false },
	};
	AUTO(policy) struct policy *p = fixture_policy(NET
		"    allow:\n"
		"      - {host: git.x.example, http: [{path: '/**', methods: [GET, HEAD, POST]}, "
		"{path: /ws, methods: [GET], upgrade: true}, {path: '/b/**', upgrade: true}, "
		"{path: '/b/*', upgrade: false}]}\n"
		"      - {host: plain.example, ports: [80]}\n");
	struct http_decision d;
	size_t n;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		policy_decide_http(p, rows[i].host, rd_str(rows[i].method), rd_str(rows[i].path), &d);
		CHECK_EQ(rows[i].path, d.allowed, true);
		CHECK_EQ(rows[i].path, d.upgrade, rows[i].upgrade);
	}
	CHECK("canonical", strstr(policy_canonical(p, &n), "{methods: [GET], path: \"/ws\", upgrade: true}"));
}

/* --- canonical form --- */

TEST(canonical_ranges)
{
	static const char want[] =
		"    allow:\n"
		"      - {host: \"a.example\", ports: [443], protocol: tls}\n"
		"      - {cidr: \"10.20.0.0/16\", ports: [9000, 9001], protocol: tcp}\n"
		"      - {cidr: \"10.20.4.0/24\", ports: [22], protocol: tcp}\n"
		"      - {cidr: \"10.20.4.0/24\", ports: [9000], protocol: udp}\n"
		"      - {cidr: \"10.30.0.5/32\", ports: [9000], protocol: tcp}\n"
		"      - {cidr: \"2a04:4e42::/48\", ports: [7000], protocol: udp}\n"
		"    deny: []\n";
	AUTO(policy) struct policy *p = fixture_policy(ranges);
	AUTO(policy) struct policy *alone = fixture_policy(NET "    allow: [{cidr: 10.20.0.0/16, ports: [1]}]\n");
	size_t n;

	CHECK("swallowed, sorted, merged", strstr(policy_canonical(p, &n), want) != NULL);
	CHECK("without a host", strstr(policy_canonical(alone, &n), "    allow:\n      - {cidr: ") != NULL);
}

TEST(canonical_is_a_fixed_point)
{
	static const char *const texts[] = {
		"version: 1\nsandbox: {}\n", precedence, ports, budgets, requests,
		HEAD "  git: {enabled: true, allowed_hosts: [gitlab.com, github.com], allowed_repos: "
		     "[B/a, a/B.git, 'a/*', GitHub.com/x/y, 'g/**', a/b], denied_repos: ['*/p', a/b]}\n"
		     "  limits: {request_bytes: 3072, names: 7, connections: 1}\n",
		HEAD "  git: {enabled: true, allowed_hosts: [github.com], allowed_repos: []}\n",
		PUSH "      refs: ['refs/heads/b/**', 'refs/heads/a\"*', 'refs/tags/\xc3\xa4/']\n      delete: true\n"
		     "      max_pack_bytes: 1024\n",
		HEAD "  git: {enabled: true, allowed_hosts: [github.com], push: {refs: [refs/heads/x]}}\n",
		NET "    allow: [{host: dns.google, resolver: true, private: true}, {host: dns.google, ports: [22]"
		    ", private: true}]\n",
		ranges,
		NET "    allow: [{host: m\xc3\xbcnchen.example}]\n    quic: reject\n    ech: deny\n    icmp_echo: false\n",
	};

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		AUTO(policy) struct policy *p = fixture_policy(texts[i]);
		size_t n;
		const char *text = policy_canonical(p, &n);
		AUTO(policy) struct policy *again = fixture_policy(text);

		CHECK_EQ(text, n, strlen(text));
		CHECK_STR(texts[i], policy_canonical(again, &n), text);
		CHECK_STR(texts[i], policy_sha256(again), policy_sha256(p));
		CHECK_EQ(texts[i], strlen(policy_sha256(p)), 64);
	}
}

TEST(canonical_text)
{
	static const char want[] =
		"version: 1\nsandbox:\n  mode: enforce\n  network:\n    default: deny\n    allow:\n"
		"      - {host: \"a.example\", ports: [22], protocol: ssh}\n"
		"      - {host: \"a.example\", ports: [443, 8443], protocol: tls}\n"
		"      - {host: \"a.example\", ports: [5353, 22000], protocol: udp}\n"
		"      - {host: \"b.example\", ports: [22], protocol: ssh}\n"
		"    deny: []\n    quic: reject\n    ech: deny\n    icmp_echo: false\n  git:\n    enabled: true\n"
		"    source: upstream\n    allowed_hosts: [\"github.com\"]\n    denied_repos: []\n    stale: deny\n"
		"    lfs: false\n  limits:\n    connections: 256\n"
		"    new_connections_per_second: 50\n    dns_queries_per_second: 200\n    names: 512\n    git_transfers: 8\n    request_bytes: 1MiB\n    upgrades: 32\n"
		"    audit_lines_per_second: 100\n";
	AUTO(policy) struct policy *p = fixture_policy(ports);
	size_t n;

	CHECK_STR("all keys, sorted rows", policy_canonical(p, &n), want);
}

static const struct { const char *host, *method, *path; enum reason reason; } asked[] = {
	{ "git.x.example", "GET", "/v1/a", REASON_NONE }, { "git.x.example", "POST", "/v1/a/b/c", REASON_NONE },
	{ "git.x.example", "GET", "/v1/", REASON_NONE }, { "git.x.example", "GET", "/health", REASON_NONE },
	{ "git.x.example", "HEAD", "/health", REASON_NONE },
	{ "git.x.example", "DELETE", "/v1/jobs/7", REASON_NONE },
	{ "git.x.example", "GET", "/v1", REASON_PATH_NOT_ALLOWED },
	{ "git.x.example", "GET", "/v10/a", REASON_PATH_NOT_ALLOWED },
	{ "git.x.example", "GET", "/V1/a", REASON_PATH_NOT_ALLOWED },
	{ "git.x.example", "GET", "/health/", REASON_PATH_NOT_ALLOWED },
	{ "git.x.example", "GET", "/", REASON_PATH_NOT_ALLOWED },
	{ "git.x.example", "PUT", "/v1/a", REASON_METHOD_NOT_ALLOWED },
	{ "git.x.example", "DELETE", "/v1/jobs/7/log", REASON_METHOD_NOT_ALLOWED },
	{ "git.x.example", "get", "/v1/a", REASON_METHOD_NOT_ALLOWED },
	{ "git.x.example", "TRACE", "/v1/a", REASON_METHOD_NOT_ALLOWED },
	{ "a.git.example", "GET", "/pool/apt", REASON_NONE },
	{ "a.git.example", "GET", "/pool/a", REASON_PATH_NOT_ALLOWED },
	{ "a.git.example", "GET", "/pool/b", REASON_PATH_NOT_ALLOWED },
	{ "a.git.example", "GET", "/pool/apt/x", REASON_PATH_NOT_ALLOWED },
	{ "deb.example", "GET", "/", REASON_NONE }, { "deb.example", "DELETE", "/a%20b/c", REASON_NONE },
	{ "plain.example", "GET", "/a/b", REASON_NONE },
	/* one path to us, another to a server */
	{ "git.x.example", "GET", "/v1/../etc", REASON_PATH_NOT_ALLOWED },
	{ "git.x.example", "GET", "/v1/%2e%2e/etc", REASON_PATH_NOT_ALLOWED },
	{ "git.x.example", "GET", "/v1/..%20/etc", REASON_PATH_NOT_ALLOWED },
	{ "git.x.example", "GET", "/v1/%20../etc", REASON_PATH_NOT_ALLOWED },
	{ "git.x.example", "GET", "/v1/%20.", REASON_PATH_NOT_ALLOWED },
	{ "git.x.example", "GET", "/v1/..%20%20", REASON_PATH_NOT_ALLOWED },
	{ "git.x.example", "GET", "/v1/.%20./etc", REASON_PATH_NOT_ALLOWED },
	{ "git.x.example", "GET", "/v1/%20.../etc", REASON_PATH_NOT_ALLOWED },
	{ "git.x.example", "GET", "/v1/%c0%ae%c0%ae/etc", REASON_PATH_NOT_ALLOWED },
	{ "git.x.example", "GET", "/v1/%e0%80%ae/etc", REASON_PATH_NOT_ALLOWED },
	{ "git.x.example", "GET", "/v1/%f0%80%80%ae", REASON_PATH_NOT_ALLOWED },
	{ "git.x.example", "GET", "/v1/%c0%af", REASON_PATH_NOT_ALLOWED },
	{ "git.x.example", "GET", "/v1/%80", REASON_PATH_NOT_ALLOWED },
	{ "git.x.example", "GET", "/v1/%ff", REASON_PATH_NOT_ALLOWED },
	{ "git.x.example", "GET", "/v1/%c3", REASON_PATH_NOT_ALLOWED },
	{ "git.x.example", "GET", "/v1/%c3/a", REASON_PATH_NOT_ALLOWED },
	{ "git.x.example", "GET", "/v1/%c3a%bc", REASON_PATH_NOT_ALLOWED },
	{ "git.x.example", "GET", "/v1/%ed%a0%80", REASON_PATH_NOT_ALLOWED },
	{ "git.x.example", "GET", "/v1/%f4%90%80%80", REASON_PATH_NOT_ALLOWED },
	{ "git.x.example", "GET", "/v1/%f5%80%80%80", REASON_PATH_NOT_ALLOWED },
	{ "git.x.example", "GET", "/v1/%c3%2f%bc", REASON_PATH_NOT_ALLOWED },
	{ "git.x.example", "GET", "/v1/%c3%bc", REASON_NONE },
	{ "git.x.example", "GET", "/v1/a%C3%BCb", REASON_NONE },
	{ "git.x.example", "GET", "/v1/%e0%a0%80", REASON_NONE },
	{ "git.x.example", "GET", "/v1/%ed%9f%bf", REASON_NONE },
	{ "git.x.example", "GET", "/v1/%f0%9f%98%80", REASON_NONE },
	{ "git.x.example", "GET", "/v1/%f4%8f%bf%bf", REASON_NONE },
	{ "git.x.example", "GET", "/v1/a%20.", REASON_NONE },
	{ "git.x.example", "GET", "/v1/...", REASON_NONE },
	{ "git.x.example", "GET", "/v1/.a%20", REASON_NONE },
	{ "git.x.example", "GET", "/v1/%20", REASON_NONE },
	{ "git.x.example", "GET", "/v1/%252e%252e/etc", REASON_PATH_NOT_ALLOWED },
	{ "git.x.example", "GET", "/v1//a", REASON_PATH_NOT_ALLOWED },
	{ "git.x.example", "GET", "/v1/./a", REASON_PATH_NOT_ALLOWED },
	{ "git.x.example", "GET", "/v1/..", REASON_PATH_NOT_ALLOWED },
	{ "git.x.example", "GET", "/v1\\a", REASON_PATH_NOT_ALLOWED },
	{ "git.x.example", "GET", "/v1/a;b=c", REASON_PATH_NOT_ALLOWED },
	{ "git.x.example", "GET", "/v1/a%2fb", REASON_PATH_NOT_ALLOWED },
	{ "git.x.example", "GET", "/v1/a%3Bb", REASON_PATH_NOT_ALLOWED },
	{ "git.x.example", "GET", "/v1/a%00", REASON_PATH_NOT_ALLOWED },
	{ "git.x.example", "GET", "/v1/a%0d%0a", REASON_PATH_NOT_ALLOWED },
	{ "git.x.example", "GET", "/v1/a%", REASON_PATH_NOT_ALLOWED },
	{ "git.x.example", "GET", "/v1/a%4", REASON_PATH_NOT_ALLOWED },
	{ "git.x.example", "GET", "/v1/a%zz", REASON_PATH_NOT_ALLOWED },
	{ "git.x.example", "GET", "v1/a", REASON_PATH_NOT_ALLOWED },
	{ "git.x.example", "GET", "", REASON_PATH_NOT_ALLOWED },
	/* an escaped slash, only where a rule has one */
	{ "npm.git.example", "GET", "/@acme%2fwidget", REASON_NONE },
	{ "npm.git.example", "GET", "/@acme%2Fwidget", REASON_NONE },
	{ "npm.git.example", "GET", "/x/@b%2fy", REASON_NONE },
	{ "npm.git.example", "GET", "/x/@%2fy", REASON_PATH_NOT_ALLOWED },
	{ "npm.git.example", "GET", "/@acme/widget", REASON_PATH_NOT_ALLOWED },
	{ "npm.git.example", "GET", "/@other%2fwidget", REASON_PATH_NOT_ALLOWED },
	{ "npm.git.example", "GET", "/@acme%2fwidget/a", REASON_PATH_NOT_ALLOWED },
	{ "npm.git.example", "GET", "/@acme%2fwidget%2fa", REASON_PATH_NOT_ALLOWED },
	{ "npm.git.example", "GET", "/@acme%2f", REASON_PATH_NOT_ALLOWED },
	{ "npm.git.example", "GET", "/@acme%2f..", REASON_PATH_NOT_ALLOWED },
	{ "npm.git.example", "GET", "/@acme%2f.", REASON_PATH_NOT_ALLOWED },
	{ "npm.git.example", "GET", "/@acme%2f%2fb", REASON_PATH_NOT_ALLOWED },
	{ "npm.git.example", "GET", "/@acme%2f/b", REASON_PATH_NOT_ALLOWED },
	{ "npm.git.example", "GET", "/@acme/%2fb", REASON_PATH_NOT_ALLOWED },
	{ "npm.git.example", "GET", "/@acme%252fb", REASON_PATH_NOT_ALLOWED },
	{ "npm.git.example", "GET", "/@acme%%2fb", REASON_PATH_NOT_ALLOWED },
	{ "npm.git.example", "GET", "/@acme%2%2fb", REASON_PATH_NOT_ALLOWED },
	{ "npm.git.example", "GET", "/a/b%2fc", REASON_PATH_NOT_ALLOWED },
	{ "npm.git.example", "GET", "/a%2fb", REASON_PATH_NOT_ALLOWED },
	{ "npm.git.example", "GET", "%2fa/b", REASON_PATH_NOT_ALLOWED },
	{ "deb.example", "GET", "/a%2fb", REASON_PATH_NOT_ALLOWED },
	{ "deb.example", "GET", "/a/b%2Fc", REASON_PATH_NOT_ALLOWED },
	/* not the proxy's to decide */
	{ "github.com", "GET", "/v1/a", REASON_HOST_NOT_ALLOWED },
	{ "no.git.example", "GET", "/pool/apt", REASON_HOST_NOT_ALLOWED },
	{ "else.example", "GET", "/", REASON_HOST_NOT_ALLOWED },
};

TEST(requests)
{
	AUTO(policy) struct policy *p = fixture_policy(requests);

	for (size_t i = 0; i < ARRAY_SIZE(asked); i++) {
		AUTO(mem) void *path = check_exact(asked[i].path, strlen(asked[i].path));
		struct http_decision d;

		policy_decide_http(p, asked[i].host, rd_str(asked[i].method), rd_of(path, strlen(asked[i].path)), &d);
		CHECK_EQ(asked[i].path, d.reason, asked[i].reason);
		CHECK_EQ(asked[i].path, d.allowed, asked[i].reason == REASON_NONE);
	}
}

/* Only with a request that the policy allows, and of the row that counts for the name. */
TEST(credentials)
{
	static const struct { const char *host, *method, *path, *want; } rows[] = {
		{ "a.api.git.x.example", "GET", "/v1/a", "api" }, { "a.b.api.git.x.example", "HEAD", "/v1/a", "api" },
		{ "a.api.git.x.example", "GET", "/v2/a", NULL }, { "a.api.git.x.example", "POST", "/v1/a", NULL },
		{ "a.api.git.x.example", "GET", "/v1/../v1/a", NULL },
		{ "npm.api.git.x.example", "DELETE", "/any", "npm" }, { "npm.api.git.x.example", "TRACE", "/any", NULL },
		{ "free.api.git.x.example", "GET", "/v1/a", NULL }, { "api.git.x.example", "GET", "/v1/a", NULL },
		{ "git.x.example", "GET", "/v1/a", NULL }, { "no.git.example", "GET", "/v1/a", NULL },
	};
	AUTO(policy) struct policy *p = fixture_policy(requests);

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct http_decision d;

		policy_decide_http(p, rows[i].host, rd_str(rows[i].method), rd_str(rows[i].path), &d);
		CHECK_STR(rows[i].host, d.credential ? d.credential : "none", rows[i].want ? rows[i].want : "none");
	}
	CHECK("named", policy_names_credential(p, "npm"));
	CHECK("not named", !policy_names_credential(p, "git"));
}

TEST(who_reads)
{
	static const struct { const char *host; uint16_t port; enum grant_action action; bool http; } rows[] = {
		{ "git.x.example", 443, GRANT_PROXY, true }, { "git.x.example", 22, GRANT_FORWARD, false },
		{ "deb.example", 80, GRANT_PROXY, true }, { "deb.example", 443, GRANT_NONE, false },
		{ "github.com", 443, GRANT_PROXY, false }, { "a.git.example", 443, GRANT_PROXY, true },
	};
	AUTO(policy) struct policy *p = fixture_policy(requests);

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		CHECK_EQ(rows[i].host, policy_decide_port(p, rows[i].host, IPPROTO_TCP, rows[i].port), rows[i].action);
		CHECK_EQ(rows[i].host, policy_is_http_host(p, rows[i].host, rows[i].port), rows[i].http);
	}
}

TEST(canonical_requests)
{
	static const char want[] =
		"    allow:\n"
		"      - {host: \"**.api.git.x.example\", ports: [443], protocol: tls, "
		"http: [{methods: [GET, HEAD], path: \"/v1/**\", upgrade: false}], credential: api}\n"
		"      - {host: \"deb.example\", ports: [80], protocol: http}\n"
		"      - {host: \"free.api.git.x.example\", ports: [443], protocol: tls, "
		"http: [{methods: [GET, HEAD], path: \"/**\", upgrade: false}]}\n"
		"      - {host: \"*.git.example\", ports: [443], protocol: tls, "
		"http: [{methods: [GET, HEAD], path: \"/pool/a*\", upgrade: false}]}\n"
		"      - {host: \"git.x.example\", ports: [22], protocol: ssh}\n"
		"      - {host: \"git.x.example\", ports: [443], protocol: tls, "
		"http: [{methods: [GET, HEAD], path: \"/health\", upgrade: false}, "
		"{methods: [GET, POST], path: \"/v1/**\", upgrade: false}, "
		"{methods: [DELETE], path: \"/v1/jobs/*\", upgrade: false}]}\n"
		"      - {host: \"npm.api.git.x.example\", ports: [22], protocol: ssh}\n"
		"      - {host: \"npm.api.git.x.example\", ports: [443], protocol: tls, credential: npm}\n"
		"      - {host: \"npm.git.example\", ports: [443], protocol: tls, "
		"http: [{methods: [GET, HEAD], path: \"/@acme%2f*\", upgrade: false}, "
		"{methods: [GET, HEAD], path: \"/a/**\", upgrade: false}, "
		"{methods: [GET, HEAD], path: \"/x/@*%2F*\", upgrade: false}]}\n"
		"      - {host: \"plain.example\", ports: [80], protocol: http}\n";
	AUTO(policy) struct policy *p = fixture_policy(requests);
	size_t n;

	CHECK("rules add up, sorted", strstr(policy_canonical(p, &n), want));
}

TEST(canonical_budget)
{
	static const char want[] =
		"    allow:\n"
		"      - {host: \"a.example\", ports: [443], protocol: tls}\n"
		"      - {host: \"*.b.example\", ports: [443], protocol: tls}\n"
		"      - {host: \"*.c.example\", ports: [443], protocol: tls, "
		"wildcard_budget: {names_per_minute: 5, label_bytes_per_hour: 4096}}\n"
		"      - {host: \"**.d.example\", ports: [22, 2222], protocol: ssh, "
		"wildcard_budget: {names_per_minute: 5, label_bytes_per_hour: 70}}\n"
		"      - {host: \"**.d.example\", ports: [443], protocol: tls, "
		"wildcard_budget: {names_per_minute: 5, label_bytes_per_hour: 70}}\n";
	AUTO(policy) struct policy *p = fixture_policy(budgets);
	size_t n;

	CHECK("in every row of its rule, unless it is the default", strstr(policy_canonical(p, &n), want));
}

TEST(limits)
{
	AUTO(policy) struct policy *p = fixture_policy(HEAD "  limits: {request_bytes: 2MiB, connections: 7}\n");
	const struct policy_limits *l = policy_limits(p);

	CHECK_EQ("given", l->connections, 7);
	CHECK_EQ("given in MiB", l->request_bytes, 2 << 20);
	CHECK_EQ("default", l->names, 512);
	CHECK_EQ("default", l->dns_queries_per_second, 200);
	CHECK_EQ("default", l->git_transfers, 8);
}

TEST(references)
{
	struct policy *p = fixture_policy(ports), *also = policy_ref(p);

	policy_unref(p);
	CHECK_STR("still there", policy_name(also), "p");
	policy_unref(also);
	policy_unref(NULL);
}

/* Thousands of rules, so that a quadratic reader or a linear look-up would be felt. */
TEST(many_rules)
{
	enum { RULES = 5000 };
	AUTO(mem) char *text = NULL;
	size_t n;
	FILE *to = open_memstream(&text, &n);
	struct name_decision d;

	fputs(NET "    allow:\n", to);
	for (int i = 0; i < RULES; i++)
		fprintf(to, "      - {host: 'h%d.example'}\n      - {host: '**.w%d.example'}\n", i, i);
	fclose(to);
	AUTO(policy) struct policy *p = fixture_policy(text);

	for (int i = 0; i < RULES; i++) {
		char name[64];

		snprintf(name, sizeof(name), "a.b.c.w%d.example", i);
		policy_decide_name(p, name, &d);
		CHECK(name, d.allowed && d.wildcard);
		snprintf(name, sizeof(name), "h%d.example", i);
		policy_decide_name(p, name, &d);
		CHECK(name, d.allowed && !d.wildcard);
		snprintf(name, sizeof(name), "a.h%d.example", i);
		policy_decide_name(p, name, &d);
		CHECK(name, !d.allowed && !d.ancestor);
	}
}
