/*
 * wildcard.h - what a sandbox may make up below a wildcard
 */
#ifndef DNS_WILDCARD_H
#define DNS_WILDCARD_H

#include <stdbool.h>
#include <stdint.h>

#include "base/mem.h"
#include "policy/policy.h"
#include "policy/view.h"

enum { WILDCARD_NAMES_MAX = 512,	/* known names of one account */
       WILDCARD_RULES_MAX = 128,	/* accounts of one sandbox */
       WILDCARD_ACCOUNTS_MAX = 4096 };

struct wildcards;
int wildcards_new(struct wildcards **ret);	/* 0 or -errno */
void wildcards_free(struct wildcards *w);
DEFINE_AUTO(wildcards, struct wildcards *, wildcards_free)

/*
 * May the question for this name go on, which `d` allows by a wildcard? Takes it from the sandbox's
 * budget under the rule, unless the sandbox asked for it within the last hour. False: over budget,
 * or no place to count it; nothing is taken then.
 */
bool wildcards_take(struct wildcards *w, const struct view_sandbox *s, const char *name,
		    const struct name_decision *d, uint64_t now_ms);

#endif
