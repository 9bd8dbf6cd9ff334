/*
 * fuzz_policy.c - any text compiles or is refused with an error; what compiles has a canonical form that
 * compiles to itself, and no decision that contradicts itself
 */
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>
#include <string.h>

#include "policy/policy.h"

static const char *const nested[] = { "gitlab.com" };
static const struct policy_site site = { .nested_groups = nested, .n_nested_groups = 1 };

static void expect(bool ok)
{
	if (!ok)
		abort();
}

static struct policy *compile(const char *text, size_t n)
{
	AUTO(diag) struct diag *d = NULL;
	struct policy *p = NULL;
	int err;

	expect(diag_new(&d) == 0);
	err = policy_compile("fuzz", "fuzz", text, n, &site, d, &p);
	expect((err == 0) == (p != NULL));
	expect((err == 0) == (diag_errors(d) == 0));
	return p;
}

static void decide(const struct policy *p)
{
	static const char *const names[] = { "", "a", "github.com", "a.github.com", "a.b.c.example", "example" };

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		struct repo_decision repo;
		struct name_decision name;

		policy_decide_name(p, names[i], &name);
		expect(name.allowed == (name.reason == REASON_NONE) && name.rule);
		expect(name.allowed || !name.n_grants);
		expect(policy_decide_port(p, names[i], 6, 53) == GRANT_NONE);
		policy_decide_repo(p, names[i], "acme/widgets", GIT_SERVICE_RECEIVE_PACK, &repo);
		expect(!repo.allowed && repo.reason != REASON_NONE);
		policy_decide_repo(p, names[i], "acme/widgets", GIT_SERVICE_UPLOAD_PACK, &repo);
		expect(!repo.allowed || policy_is_git_host(p, names[i]));
	}
}

/* The kernel's intervals: no two of one key overlap; and each range is what it says. */
static void ranges(const struct policy *p)
{
	size_t n;
	const struct policy_range *r = policy_ranges(p, &n);

	for (size_t i = 0; i < n; i++) {
		struct address_decision d;
		struct prefix part;

		policy_decide_address(p, &r[i].prefix.addr, r[i].proto, r[i].port, &d);
		expect(d.allowed && !strcmp(d.rule, r[i].rule) && r[i].port != 53);
		expect(!address_forbids(&r[i].prefix, NULL, &part));
		for (size_t j = 0; j < i; j++)
			expect(r[i].proto != r[j].proto || r[i].port != r[j].port ||
			       !prefix_overlap(&r[i].prefix, &r[j].prefix));
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	AUTO(policy) struct policy *p = compile((const char *)data, n), *again = NULL;
	const char *text;
	size_t len;

	if (!p)
		return 0;
	text = policy_canonical(p, &len);
	again = compile(text, len);
	expect(again && !strcmp(policy_sha256(again), policy_sha256(p)));
	decide(p);
	ranges(p);
	return 0;
}
