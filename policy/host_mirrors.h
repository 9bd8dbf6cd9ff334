/*
 * host_mirrors.h - git.mirrors of the host configuration
 */
#ifndef POLICY_HOST_MIRRORS_H
#define POLICY_HOST_MIRRORS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "policy/diag.h"

struct host_config;
struct node;

struct host_repository { char *host, *path; };	/* canonical host; path without .git, in lower case where
						   the host ignores it, else as written */

struct host_mirrors {
	uint64_t max_bytes;		/* of repositories and answers together */
	uint32_t window_ms;		/* answers of upstream that are shared are no older */
	uint32_t prewarm_every_ms;
	struct host_repository *prewarm; size_t n_prewarm;
};

/* HOST/OWNER/REPO; c says which hosts may have deeper paths, and which ignore case. False: it is none. */
bool host_repository_parse(const struct host_config *c, const char *text, struct host_repository *ret);
void host_repository_done(struct host_repository *r);

/* Fill c->mirrors; what is said of hosts is there. Errors go to d; -ENOMEM. */
int host_mirrors_load(struct host_config *c, const struct node *root, struct diag *d);
void host_mirrors_free(struct host_config *c);
/* Is it to be fetched before it is asked for? As policy_decide_repo() spells it. */
bool host_mirrors_prewarms(const struct host_mirrors *m, const char *host, const char *repo);

#endif
