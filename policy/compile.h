/*
 * compile.h - a profile in the making: what profile.c, profile_git.c and profile_checks.c share.
 * Private to policy/.
 */
#ifndef POLICY_COMPILE_H
#define POLICY_COMPILE_H

#include "policy/compiled.h"
#include "policy/doc.h"
#include "policy/schema.h"

struct compile {
	const char *file;
	struct diag *d;
	const struct policy_site *site;
	const struct node *root; /* has passed schema_check() */
	struct policy *p;
	bool no_memory; /* sticky; nothing is returned then */
};

/* An error or a warning at anything that has a line and a column. */
#define fault(c, at, ...)   diag_error((c)->d, (c)->file, (at)->line, (at)->column, __VA_ARGS__)
#define caution(c, at, ...) diag_warn((c)->d, (c)->file, (at)->line, (at)->column, __VA_ARGS__)

/* A new rule, owned by the policy, its text "KEY: PATTERN". NULL: out of memory. */
struct rule *compile_rule(struct compile *c, enum verdict v, const struct name_pattern *pattern,
			  const char *key, const struct node *at);
void compile_grant(struct compile *c, struct rule *r, enum protocol proto, struct grant g);
/* Ports that no row can grant, and ports that deserve a word. */
bool compile_port(struct compile *c, const struct node *at, uint8_t proto, uint64_t port);
/* A row of network.allow with a cidr; and, after the last, ranges without overlaps, in order. */
void compile_range(struct compile *c, const struct node *row, const struct node *cidr);
void compile_ranges_settle(struct policy *p);
/* fn for each item of a list. */
void compile_each(struct compile *c, const char *path,
		  void (*fn)(struct compile *, const struct node *));

/* What a row of network.allow says of requests. After its ports. */
void compile_http_row(struct compile *c, struct rule *r, const struct node *row);
/* When all rows are there: hosts with rules of requests, or a credential, go to the proxy. */
void compile_http(struct compile *c);
/* An error when the CA may not sign for a host (and what is below a wildcard). */
void compile_ca_covers(struct compile *c, const struct node *at, const char *base);

/* The section sandbox.git, after the rows of sandbox.network. */
void compile_git(struct compile *c);
/* A list of repositories, when all git hosts are known. */
void compile_repos(struct compile *c, const char *path, const char *key, struct repo_set *set);
/* Its part sandbox.git.push; and warnings about it, with all rules. */
void compile_push(struct compile *c);
void compile_push_checks(struct compile *c);
/* Warnings that need all rules. */
void compile_checks(struct compile *c);

#endif
