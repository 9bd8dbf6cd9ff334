/*
 * policy_fixture.h - compile a policy text in one line. For unit tests only.
 */
#ifndef UNIT_POLICY_FIXTURE_H
#define UNIT_POLICY_FIXTURE_H

#include "policy/host_config.h"

static const char *const fixture_ca[] = { "github.com", "gitlab.com", "git.example", "git.x.example", "cordon.internal" };
static const char *const fixture_nested[] = { "gitlab.com" };
static const char *const fixture_ignore_case[] = { "git.x.example" };
static const char *const fixture_credentials[] = { "api", "npm" };
static const struct policy_site fixture_site = {
	.credentials = fixture_credentials, .n_credentials = ARRAY_SIZE(fixture_credentials),
	.ca_names = fixture_ca, .n_ca_names = ARRAY_SIZE(fixture_ca),
	.nested_groups = fixture_nested, .n_nested_groups = ARRAY_SIZE(fixture_nested),
	.ignore_case = fixture_ignore_case, .n_ignore_case = ARRAY_SIZE(fixture_ignore_case),
};

/* NULL on errors. What the compiler said, in *ret_said (heap). */
static inline struct policy *fixture_compile(const char *text, size_t n, char **ret_said)
{
	AUTO(diag) struct diag *d = NULL;
	AUTO(mem) void *in = check_exact(text, n);
	struct policy *p = NULL;
	size_t said;
	FILE *to = open_memstream(ret_said, &said);
	int err;

	if (!to || diag_new(&d))
		abort();
	err = policy_compile("p", "p", in, n, &fixture_site, d, &p);
	diag_print(d, to);
	fclose(to);
	CHECK_EQ(*ret_said, err == 0, diag_errors(d) == 0);
	CHECK_EQ(*ret_said, p != NULL, err == 0);
	return p;
}

/* A policy that must compile. */
static inline struct policy *fixture_policy(const char *text)
{
	AUTO(mem) char *said = NULL;
	struct policy *p = fixture_compile(text, strlen(text), &said);

	CHECK(said, p != NULL);
	if (!p)
		abort();
	return p;
}

#define HEAD "version: 1\nsandbox:\n"
#define NET HEAD "  network:\n"

#endif
