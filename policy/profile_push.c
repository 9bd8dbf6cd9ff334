/*
 * profile_push.c - compile the section sandbox.git.push
 *
 * Theory of operation: one set of rules for all repositories that may be pushed to, in the form in
 * which the gate gets it (push.h). A section without repositories is none: what it says otherwise is
 * checked and then counts for nothing. Warnings name what goes further than it seems.
 */
#include <stdlib.h>
#include <string.h>

#include "policy/compile.h"
#include "policy/push_pattern.h"

#define PUSH "sandbox.git.push."

static int pattern_order(const void *a, const void *b)
{
	return strcmp(a, b);
}

/* A list of patterns, sorted, each once. */
static uint32_t patterns(struct compile *c, const char *path, const char *(*fault_of)(const char *),
			 char (*ret)[PUSH_PATTERN_MAX])
{
	const struct node *list = node_at(c->root, path);
	uint32_t n = 0, unique = 0;

	for (size_t i = 0; list && !list->bad && i < list->n; i++) {
		const struct node *at = list->items[i];
		const char *why = at->bad ? NULL : fault_of(at->text);

		if (why)
			fault(c, at, "pattern \"%.80s\" %s", at->text, why);
		else if (!at->bad && n == PUSH_PATTERNS_MAX)
			fault(c, at, "more than %d patterns", PUSH_PATTERNS_MAX);
		else if (!at->bad)
			snprintf(ret[n++], PUSH_PATTERN_MAX, "%s", at->text);
	}
	qsort(ret, n, sizeof(*ret), pattern_order);
	for (uint32_t i = 0; i < n; i++)
		if (!i || strcmp(ret[i], ret[unique - 1]))
			memmove(ret[unique++], ret[i], sizeof(*ret));
	memset(ret[unique], 0, (n - unique) * sizeof(*ret));
	return unique;
}

static uint64_t number(const struct compile *c, const char *key)
{
	return schema_number(SCHEMA_PROFILE, c->root, "", key);
}

static void fill(struct compile *c, struct push_rules *r)
{
	r->allowed = 1;
	r->create = number(c, PUSH "create");
	r->force = number(c, PUSH "force");
	r->del = number(c, PUSH "delete");
	r->warn_only = !strcmp(schema_text(SCHEMA_PROFILE, c->root, "", PUSH "secrets"), "warn");
	r->options = number(c, PUSH "options");
	r->lfs = number(c, "sandbox.git.lfs");
	r->max_pack_bytes = number(c, PUSH "max_pack_bytes");
	r->n_refs = patterns(c, PUSH "refs", push_ref_pattern_fault, r->refs);
	r->n_denied = patterns(c, PUSH "denied_paths", push_path_pattern_fault, r->denied);
}

/* What stands there and is wrong is an error already. */
static bool says_nothing(const struct compile *c, const char *path)
{
	const struct node *list = node_at(c->root, path);

	return !list || !(list->bad || list->n);
}

void compile_push(struct compile *c)
{
	const struct node *at = node_at(c->root, "sandbox.git.push");
	struct policy *p = c->p;

	if (!at || at->bad)
		return;
	p->push = calloc(1, sizeof(*p->push));
	c->no_memory |= !p->push;
	if (!p->push)
		return;
	compile_repos(c, PUSH "allowed_repos", "git.push.allowed_repos", &p->push_repos);
	fill(c, p->push);
	if (p->push_repos.n)
		return;
	if (says_nothing(c, PUSH "allowed_repos"))
		caution(c, at, "git.push.allowed_repos names none: nothing can be pushed");
	free(p->push);
	p->push = NULL;
}

/* ---- what deserves a word ---- */

static bool readable(const struct policy *p, const struct repo_rule *r)
{
	for (size_t i = 0; i < p->n_git_hosts; i++) {
		struct repo_decision d;

		if (r->host && strcmp(r->host, p->git_hosts[i]))
			continue;
		policy_decide_repo(p, p->git_hosts[i], r->spelled, GIT_SERVICE_RECEIVE_PACK, &d);
		if (d.allowed)
			return true;
	}
	return false;
}

static void warn_repos(struct compile *c, const struct node *at)
{
	for (size_t i = 0; c->p->git_enabled && i < c->p->push_repos.n; i++) {
		const struct repo_rule *r = &c->p->push_repos.rules[i];

		if (!r->glob && !readable(c->p, r))
			caution(c, at, "%s: it may not be read, so nothing can be pushed to it", r->text);
	}
}

/* Names that are usually others'. */
static void warn_refs(struct compile *c, const struct node *at)
{
	static const char *const names[] = { "refs/heads/main", "refs/heads/master" };
	const struct push_rules *r = c->p->push;

	if (says_nothing(c, PUSH "refs"))
		caution(c, at, "git.push.refs names none: every push is refused");
	for (uint32_t i = 0; i < r->n_refs; i++)
		for (size_t k = 0; k < ARRAY_SIZE(names); k++)
			if (strcmp(r->refs[i], names[k]) &&
			    push_pattern_match(r->refs[i], rd_str(names[k]), false) == PATTERN_MATCHES) {
				caution(c, at, "git.push.refs: %s covers %s", r->refs[i], names[k]);
				break;
			}
}

/* What is pushed there runs at the host, with what the repository's owner keeps there for it. */
static void warn_paths(struct compile *c, const struct node *at)
{
	static const struct { const char *host, *shown, *path; } rows[] = {
		{ "github.com", ".github/workflows/", ".github/workflows/x.yml" },
		{ "gitlab.com", ".gitlab-ci.yml", ".gitlab-ci.yml" },
	};

	for (size_t i = 0; i < c->p->n_git_hosts; i++)
		for (size_t k = 0; k < ARRAY_SIZE(rows); k++)
			if (!strcmp(c->p->git_hosts[i], rows[k].host) &&
			    !push_rules_path_denied(c->p->push, rd_str(rows[k].path)))
				caution(c, at, "git.push.denied_paths leaves %s open: what is pushed there runs in %s's CI",
					rows[k].shown, rows[k].host);
}

void compile_push_checks(struct compile *c)
{
	const struct node *at = node_at(c->root, "sandbox.git.push");

	if (!c->p->push || !at)
		return;
	warn_repos(c, at);
	warn_refs(c, at);
	if (c->p->push->n_refs)
		warn_paths(c, at);
	if (c->p->push->warn_only)
		caution(c, at, "git.push.secrets: warn lets secrets out: a push with findings is forwarded");
}
