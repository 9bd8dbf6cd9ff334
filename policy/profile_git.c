/*
 * profile_git.c - compile the section sandbox.git
 *
 * Theory of operation: each allowed host becomes a rule that hands its ports 443 and 80 to the
 * proxy (and 22, which only says why not), provided that git is enabled and that the CA may sign
 * for it. A row of network.allow for the same host is an error whether git is enabled or not: it
 * would go around the repository policy, now or as soon as somebody enables it. Repository rules
 * are read when all hosts are known, since they may name one.
 */
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "policy/compile.h"

#define GIT "sandbox.git."

static bool site_lists(const char *const *names, size_t n, const char *name)
{
	for (size_t i = 0; i < n; i++)
		if (!strcmp(name, names[i]))
			return true;
	return false;
}

static int git_host_remember(struct policy *p, const char *name)
{
	char **more;

	for (size_t i = 0; i < p->n_git_hosts; i++)
		if (!strcmp(p->git_hosts[i], name))
			return 0;
	more = reallocarray(p->git_hosts, p->n_git_hosts + 1, sizeof(*more));
	if (!more)
		return -ENOMEM;
	p->git_hosts = more;
	more[p->n_git_hosts] = strdup(name);
	return more[p->n_git_hosts] ? (p->n_git_hosts++, 0) : -ENOMEM;
}

/* 443, 80 and 22 of a git host, to the proxy. A row that grants the host otherwise would go around
 * it. */
static void git_host_grant(struct compile *c, const struct node *at,
			   const struct name_pattern *name)
{
	const struct policy_site *site = c->site;
	struct rule *r = compile_rule(c, RULE_ALLOW, name, "git.allowed_hosts", at);

	if (!r)
		return;
	r->git = true;
	r->nested = site_lists(site->nested_groups, site->n_nested_groups, name->base);
	r->ignores_case = known_ignores_case(name->base) ||
			  site_lists(site->ignore_case, site->n_ignore_case, name->base);
	compile_grant(c, r, PROTOCOL_NONE, (struct grant){ IPPROTO_TCP, 22, GRANT_PROXY });
	compile_grant(c, r, PROTOCOL_NONE, (struct grant){ IPPROTO_TCP, 80, GRANT_PROXY });
	compile_grant(c, r, PROTOCOL_NONE, (struct grant){ IPPROTO_TCP, 443, GRANT_PROXY });
	compile_ca_covers(c, at, name->base);
}

static void git_host_row(struct compile *c, const struct node *at)
{
	struct name_pattern name;
	const struct rule *twin;
	const char *why;

	if (at->bad)
		return;
	why = name_pattern_parse(at->text, &name);
	if (!why && name.kind != PATTERN_EXACT)
		why = "is a wildcard; git hosts are named one by one";
	if (why) {
		fault(c, at, "git host \"%.80s\" %s", at->text, why);
		return;
	}
	c->no_memory |= git_host_remember(c->p, name.base) != 0;
	twin = rule_index_get(&c->p->index, RULE_ALLOW, &name);
	if (twin && !twin->git)
		diag_error(c->d, c->file, twin->line, twin->column,
			   "%s is one of git.allowed_hosts: a row that grants it as well would go "
			   "around the "
			   "repository policy; remove the row",
			   name.base);
	else if (!twin && c->p->git_enabled)
		git_host_grant(c, at, &name);
}

void compile_repos(struct compile *c, const char *path, const char *key, struct repo_set *set)
{
	const struct node *list = node_at(c->root, path);
	size_t n = c->p->n_git_hosts;
	AUTO(mem) struct repo_host *hosts = calloc(n + 1, sizeof(*hosts));

	for (size_t i = 0; hosts && i < n; i++)
		hosts[i] = (struct repo_host){ c->p->git_hosts[i],
					       site_lists(c->site->nested_groups,
							  c->site->n_nested_groups,
							  c->p->git_hosts[i]) };
	c->no_memory |= !hosts;
	for (size_t i = 0; list && !list->bad && hosts && i < list->n; i++) {
		const struct node *at = list->items[i];
		const char *why = at->bad ? NULL : repo_set_add(set, key, at->text, hosts, n);

		if (why && *why)
			fault(c, at, "repository \"%.80s\" %s", at->text, why);
		c->no_memory |= why && !*why;
	}
	repo_set_sort(set);
}

static int text_order(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static bool word_is(const struct compile *c, const char *key, const char *word)
{
	return !strcmp(schema_text(SCHEMA_PROFILE, c->root, "", key), word);
}

void compile_git(struct compile *c)
{
	struct policy *p = c->p;
	const struct node *git = node_at(c->root, "sandbox.git");
	const struct node *repos = node_at(git, "allowed_repos");
	const struct node *hosts = node_at(git, "allowed_hosts");

	p->git_enabled = schema_number(SCHEMA_PROFILE, c->root, "", GIT "enabled");
	p->git_source = word_is(c, GIT "source", "host_mirror") ? GIT_SOURCE_HOST_MIRROR : GIT_SOURCE_UPSTREAM;
	p->git_stale_ok = word_is(c, GIT "stale", "allow");
	p->git_lfs = schema_number(SCHEMA_PROFILE, c->root, "", GIT "lfs");
	p->all_repos = !repos;
	p->denied_repos.deny = true;
	compile_each(c, GIT "allowed_hosts", git_host_row);
	if (p->n_git_hosts)
		qsort(p->git_hosts, p->n_git_hosts, sizeof(*p->git_hosts), text_order);
	compile_repos(c, GIT "allowed_repos", "git.allowed_repos", &p->allowed_repos);
	compile_repos(c, GIT "denied_repos", "git.denied_repos", &p->denied_repos);
	compile_push(c);
	if (p->git_enabled && !p->n_git_hosts && !(hosts && (hosts->bad || hosts->n)))
		fault(c, git, "git.enabled needs allowed_hosts, such as [github.com]");
	if (p->git_enabled && p->n_git_hosts && !repos)
		caution(c, git,
			"git.allowed_repos is absent: every repository of the allowed hosts may be "
			"read");
	if (!p->git_enabled && p->n_git_hosts)
		caution(c, hosts, "git is not enabled: allowed_hosts grants nothing");
}
