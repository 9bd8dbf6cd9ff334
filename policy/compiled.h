/*
 * compiled.h - what a profile is compiled to. Private to policy/.
 *
 * Theory of operation: profile.c fills it, canonical.c prints it, rules.c and policy.c decide with
 * it. Immutable once policy_compile() has returned it.
 */
#ifndef POLICY_COMPILED_H
#define POLICY_COMPILED_H

#include <stdatomic.h>

#include "policy/http_rule.h"
#include "policy/name.h"
#include "policy/policy.h"
#include "policy/push.h"
#include "policy/repo.h"

enum verdict { RULE_DENY = 0, RULE_ALLOW };
enum protocol {
	PROTOCOL_NONE = 0,
	PROTOCOL_HTTP,
	PROTOCOL_SSH,
	PROTOCOL_TCP,
	PROTOCOL_TLS,
	PROTOCOL_UDP,
	PROTOCOLS
};

/* All rows of one pattern and verdict. A host may hold a million: no fixed arrays. */
struct rule {
	char *text;	  /* "network.allow: *.files.example" */
	const char *base; /* "files.example", the end of text */
	enum pattern_kind kind;
	enum verdict verdict;
	struct grant *grants;	  /* sorted by protocol and port */
	enum protocol *protocols; /* of each grant */
	size_t n_grants;
	bool private_ok, resolver;
	struct http_rules http; /* none: any request, where the host is proxied */
	char *credential;	/* owned; NULL: none */
	struct wildcard_budget budget; /* zero unless a wildcard of network.allow */
	bool git, nested, ignores_case; /* from git.allowed_hosts */
	size_t line, column; /* of its first row */
};

/* What is known of one name: rules whose pattern has it as base, and whether granted names are
 * below it. */
struct slot {
	const char *name;	       /* inside a rule's pattern; NULL: free */
	uint32_t hash;
	const struct rule *rule[2][3]; /* by enum verdict and enum pattern_kind */
	bool ancestor;
};

/* Open addressing, at most half full. Names are the policy's, not the sandbox's: any hash will do.
 */
struct rule_index {
	struct slot *slots;
	size_t cap, n;
};

struct policy {
	atomic_uint refs;
	char *name, *canonical;
	size_t n_canonical;
	char sha256[65];
	struct rule **rules;
	size_t n_rules;
	struct rule_index index;
	struct policy_range *ranges; /* by prefix, protocol and port */
	size_t n_ranges;
	bool git_enabled, all_repos, git_stale_ok, git_lfs;
	enum git_source git_source;
	struct repo_set allowed_repos, denied_repos, push_repos;
	struct push_rules *push; /* of all push_repos; heap; NULL: nothing is pushed */
	char **git_hosts; /* as written in the policy, canonical, sorted */
	size_t n_git_hosts;
	struct policy_limits limits;
};

const char *rule_host(const struct rule *r); /* "*.files.example", as the text has it */
void rule_free(struct rule *r);
DEFINE_AUTO(rule, struct rule *, rule_free)

int rule_index_add(struct rule_index *x, const struct rule *r); /* 0 or -ENOMEM; r must stay */
/* The rule of exactly this pattern, or NULL. */
const struct rule *rule_index_get(const struct rule_index *x, enum verdict v,
				  const struct name_pattern *p);
/* The rule of this verdict that a name meets: exact, else the longest suffix (of equal ones, one
 * label). */
const struct rule *rule_index_match(const struct rule_index *x, enum verdict v, const char *name);
/* Mark the names above everything that is granted. After the last rule_index_add(). */
int rule_index_mark_ancestors(struct rule_index *x, struct rule *const *rules, size_t n);
bool rule_index_is_ancestor(const struct rule_index *x, const char *name);
void rule_index_done(struct rule_index *x);

/* The same prefix and protocol. */
bool range_same_row(const struct policy_range *a, const struct policy_range *b);

/* The canonical text and its hash into p. 0 or -ENOMEM. `root` gives plain values. */
struct node;
int policy_write_canonical(struct policy *p, const struct node *root);
/* Of a row of network.allow; NULL: what a row that says nothing has. */
struct wildcard_budget row_budget(const struct node *row);
const char *protocol_text(enum protocol p);

#endif
