/*
 * profile_checks.c - warnings that need the whole profile
 *
 * Theory of operation: nothing here refuses. Each warning names a grant that does less than it
 * seems (something denies it) or more (a resolver, a public suffix, another way into a git host).
 */
#include <stdio.h>
#include <string.h>

#include "policy/compile.h"

static void warn_side_doors(struct compile *c, const char *host)
{
	char door[POLICY_NAME_MAX + 16];

	for (size_t i = 0; known_side_door(i); i++) {
		struct name_decision d;
		const struct rule *r;

		if ((size_t)snprintf(door, sizeof(door), "%s.%s", known_side_door(i), host) >
		    POLICY_NAME_MAX)
			continue;
		policy_decide_name(c->p, door, &d);
		r = rule_index_match(&c->p->index, RULE_ALLOW, door);
		if (d.allowed && !r->git)
			caution(c, r,
				"%s is another way into %s that the repository policy does not see",
				door, host);
	}
}

static void warn_git_host(struct compile *c, const char *host)
{
	const struct rule *deny = rule_index_match(&c->p->index, RULE_DENY, host);

	if (deny)
		caution(c, deny, "denies the git host %s", host);
	else
		warn_side_doors(c, host);
}

static void warn_allow(struct compile *c, const struct rule *r)
{
	struct name_pattern pattern = { .kind = r->kind };
	const char *suffix = r->kind == PATTERN_ANY ? known_suffix_below(r->base) : NULL;
	const char *resolver;
	const struct rule *deny = NULL;

	snprintf(pattern.base, sizeof(pattern.base), "%s", r->base);
	resolver = known_resolver(&pattern);
	if (r->kind == PATTERN_EXACT)
		deny = rule_index_match(&c->p->index, RULE_DENY, r->base);
	if (deny && !r->git)
		caution(c, r, "never matches: %s (line %zu) denies it", deny->text, deny->line);
	if (resolver && !r->resolver)
		caution(c, r,
			"%s is a public DNS resolver, through which any name can be looked up "
			"unseen; "
			"say resolver: true if that is meant",
			resolver);
	if (suffix)
		caution(c, r, "covers %s, under which anyone can register a name", suffix);
}

void compile_checks(struct compile *c)
{
	for (size_t i = 0; i < c->p->n_rules; i++)
		if (c->p->rules[i]->verdict == RULE_ALLOW)
			warn_allow(c, c->p->rules[i]);
	for (size_t i = 0; c->p->git_enabled && i < c->p->n_git_hosts; i++)
		warn_git_host(c, c->p->git_hosts[i]);
	compile_push_checks(c);
}
