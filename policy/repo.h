/*
 * repo.h - repositories as a policy writes them, and which of them a request means. Private to
 * policy/.
 */
#ifndef POLICY_REPO_H
#define POLICY_REPO_H

#include "policy/policy.h"

enum { REPO_PATH_MAX = POLICY_REPO_MAX, REPO_DEPTH_MAX = 20 };

struct repo_rule {
	char *host; /* canonical; NULL: every git host of the profile */
	char *path; /* "acme/widgets", lower case; the last part may hold *; "group/" + "**" any
		       depth */
	char *spelled; /* the same as it was written; of a denial in lower case */
	char *text; /* "git.allowed_repos: acme/widgets" */
	bool glob;
};

struct repo_set {
	struct repo_rule *rules; /* exact ones first, sorted by path, host and spelling; then the globs */
	size_t n, n_exact;
	bool deny; /* then a wildcard takes any depth, so that subgroups are denied too */
};

/* What of a git host matters for reading a rule. */
struct repo_host {
	const char *name;
	bool nested;
};

/*
 * Read one entry of a list and add it. `key` is "git.allowed_repos". NULL, or
 * what is wrong, as the end of a sentence that begins with the repository; "" means out of memory.
 */
const char *repo_set_add(struct repo_set *s, const char *key, const char *text,
			 const struct repo_host *hosts, size_t n_hosts);
void repo_set_sort(struct repo_set *s); /* and drop what is there twice */
void repo_set_done(struct repo_set *s);
/* The rule that this lower-case repository of this host meets, or NULL. Only after repo_set_sort().
 */
const struct repo_rule *repo_set_find(const struct repo_set *s, const char *host, const char *repo);
/* The rule that it meets letter by letter, or NULL. `repo` as above, `spelled` the same before that. */
const struct repo_rule *repo_set_find_spelled(const struct repo_set *s, const char *host, const char *repo,
					      const char *spelled);

/* Lower case of a canonical "owner/repo"; false if it is not one (then it is refused). */
bool repo_fold(const char *repo, bool nested, char out[REPO_PATH_MAX + 1]);

#endif
