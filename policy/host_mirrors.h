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

struct host_repository { char *host, *path; };	/* canonical host; path as written, without .git */

struct host_mirrors {
	uint64_t max_bytes;		/* of repositories and answers together */
	uint32_t window_ms;		/* answers of upstream that are shared are no older */
	uint32_t prewarm_every_ms;
	struct host_repository *prewarm; size_t n_prewarm;
};

/* HOST/OWNER/REPO; nested_groups of c say which hosts may have deeper paths. False: it is none. */
bool host_repository_parse(const struct host_config *c, const char *text, struct host_repository *ret);
void host_repository_done(struct host_repository *r);

/* Fill c->mirrors; nested_groups are there. Errors go to d; -ENOMEM. */
int host_mirrors_load(struct host_config *c, const struct node *root, struct diag *d);
void host_mirrors_free(struct host_config *c);
/* Is it to be fetched before it is asked for? Case does not matter. */
/* How the first of them that is this repository, but for case, is written. NULL: none is. */
const char *host_mirrors_spelling(const struct host_mirrors *m, const char *host, const char *repo);
bool host_mirrors_prewarms(const struct host_config *c, const char *host, const char *repo);

#endif
