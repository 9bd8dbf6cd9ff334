/*
 * repo.c - repository rules: grammar, globs, look-up
 *
 * Theory of operation: a rule is [host/]owner/name. It is found by its lower case; where the host minds
 * case it is found as it was written, too. The first part is a host when it is one of
 * git.allowed_hosts. `*` stands for any run of characters inside one part, and only the last part of
 * an allow rule may hold it: anyone can register an owner that a pattern would match. `**` as the last
 * part takes any depth, on hosts with nested groups. One .git is stripped; a name that still ends in
 * .git, or is . or .., is refused both in rules and in requests, since servers do not agree on what it
 * means. Exact rules are found by bisection, globs one by one. Spec: threats C1, C3.
 */
#include "policy/repo.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { REPO_PART_MAX = 100, REPO_OWNER_MAX = 100 };

static const char part_bytes[] = "abcdefghijklmnopqrstuvwxyz0123456789._-";

static bool ends_with(const char *p, size_t n, const char *end)
{
	size_t e = strlen(end);

	return n >= e && !strncmp(p + n - e, end, e);
}

/* One part of a path. `star`: may hold wildcards. */
static bool part_ok(const char *p, size_t n, bool star)
{
	if (n < 1 || n > REPO_PART_MAX)
		return false;
	for (size_t i = 0; i < n; i++)
		if (!strchr(part_bytes, p[i]) && !(star && p[i] == '*'))
			return false;
	return strncmp(p, ".", n) && strncmp(p, "..", n) && !ends_with(p, n, ".git");
}

/* Every part fits and their number is between 2 and `most`. */
static bool path_ok(const char *path, size_t most, bool star_last, bool star_all)
{
	size_t parts = 0, n;

	for (const char *at = path;; at += n + 1) {
		bool last;

		n = strcspn(at, "/");
		last = !at[n];
		if (!part_ok(at, n, star_all || (last && star_last)))
			return false;
		parts++;
		if (last)
			return parts >= 2 && parts <= most;
	}
}

static void fold(char *text)
{
	for (; *text; text++)
		if (*text >= 'A' && *text <= 'Z')
			*text += 'a' - 'A';
}

bool repo_fold(const char *repo, bool nested, char out[REPO_PATH_MAX + 1])
{
	int n = snprintf(out, REPO_PATH_MAX + 1, "%s", repo);

	fold(out);
	return n > 0 && n <= REPO_PATH_MAX &&
	       path_ok(out, nested ? REPO_DEPTH_MAX : 2, false, false);
}

/*
 * A star is any run without a slash, two are any run at all. Only the last star is ever tried
 * again: an earlier one that could reach further would need a later one that does.
 */
static bool glob_matches(const char *glob, const char *text, bool all_deep)
{
	const char *star = NULL, *from = NULL;
	bool deep = false;

	while (*text) {
		if (*glob == '*') {
			deep = all_deep || glob[1] == '*';
			glob += strspn(glob, "*");
			star = glob;
			from = text;
		} else if (*glob == *text) {
			glob++;
			text++;
		} else if (star && (deep || *from != '/')) {
			glob = star;
			text = ++from;
		} else {
			return false;
		}
	}
	return !glob[strspn(glob, "*")];
}

/* An exact rule's order: path, then host, those for every host first. Spellings of one are equal. */
static int name_order(const struct repo_rule *a, const struct repo_rule *b)
{
	int c = (int)a->glob - (int)b->glob;

	c = c ? c : strcmp(a->path, b->path);
	return c ? c : strcmp(a->host ? a->host : "", b->host ? b->host : "");
}

static int name_order_void(const void *a, const void *b)
{
	return name_order(a, b);
}

static int rule_order(const struct repo_rule *a, const struct repo_rule *b)
{
	int c = name_order(a, b);

	return c ? c : strcmp(a->spelled, b->spelled);
}

static int rule_order_void(const void *a, const void *b)
{
	return rule_order(a, b);
}

static void rule_done(struct repo_rule *r)
{
	free(r->host);
	free(r->path);
	free(r->spelled);
	free(r->text);
}

void repo_set_sort(struct repo_set *s)
{
	size_t n = 0;

	if (s->n)
		qsort(s->rules, s->n, sizeof(*s->rules), rule_order_void);
	for (size_t i = 0; i < s->n; i++) {
		if (n && !rule_order(&s->rules[n - 1], &s->rules[i]))
			rule_done(&s->rules[i]);
		else
			s->rules[n++] = s->rules[i];
	}
	s->n = n;
	s->n_exact = 0;
	while (s->n_exact < s->n && !s->rules[s->n_exact].glob)
		s->n_exact++;
}

void repo_set_done(struct repo_set *s)
{
	for (size_t i = 0; i < s->n; i++)
		rule_done(&s->rules[i]);
	free(s->rules);
	*s = (struct repo_set){ 0 };
}

static const struct repo_rule *set_exact(const struct repo_set *s, const char *host,
					 const char *repo)
{
	const struct repo_rule key = { .host = (char *)host, .path = (char *)repo };
	const struct repo_rule *r = NULL;

	if (s->n_exact)
		r = bsearch(&key, s->rules, s->n_exact, sizeof(key), name_order_void);
	while (r && r > s->rules && !name_order(r - 1, r))
		r--;			/* the first of its spellings */
	return r;
}

const struct repo_rule *repo_set_find(const struct repo_set *s, const char *host, const char *repo)
{
	const struct repo_rule *r = set_exact(s, host, repo);

	r = r ? r : set_exact(s, NULL, repo);
	for (size_t i = s->n_exact; !r && i < s->n; i++) {
		const struct repo_rule *g = &s->rules[i];

		if ((!g->host || !strcmp(g->host, host)) && glob_matches(g->path, repo, s->deny))
			r = g;
	}
	return r;
}

static const struct repo_rule *exact_spelled(const struct repo_set *s, const char *host, const char *repo,
					     const char *spelled)
{
	const struct repo_rule *first = set_exact(s, host, repo), *end = s->rules + s->n_exact;

	for (const struct repo_rule *r = first; r && r < end && !name_order(r, first); r++)
		if (!strcmp(r->spelled, spelled))
			return r;
	return NULL;
}

const struct repo_rule *repo_set_find_spelled(const struct repo_set *s, const char *host, const char *repo,
					      const char *spelled)
{
	const struct repo_rule *r = exact_spelled(s, host, repo, spelled);

	r = r ? r : exact_spelled(s, NULL, repo, spelled);
	for (size_t i = s->n_exact; !r && i < s->n; i++) {
		const struct repo_rule *g = &s->rules[i];

		if ((!g->host || !strcmp(g->host, host)) && glob_matches(g->spelled, spelled, s->deny))
			r = g;
	}
	return r;
}

static const struct repo_host *host_of(const struct repo_host *hosts, size_t n_hosts,
				       const char *path)
{
	size_t n = strcspn(path, "/");

	for (size_t i = 0; path[n] && i < n_hosts; i++)
		if (strlen(hosts[i].name) == n && !strncmp(hosts[i].name, path, n))
			return &hosts[i];
	return NULL;
}

static bool any_nested(const struct repo_host *hosts, size_t n_hosts)
{
	for (size_t i = 0; i < n_hosts; i++)
		if (hosts[i].nested)
			return true;
	return false;
}

static size_t count_slashes(const char *path)
{
	size_t n = 0;

	for (; *path; path++)
		n += *path == '/';
	return n;
}

static const char *path_fault(const char *path, bool nested)
{
	if (strstr(path, "://"))
		return "is a URL; write owner/name";
	if (!strchr(path, '/'))
		return "needs an owner: owner/name or owner/*";
	if (count_slashes(path) > 1 && !nested)
		return "has more than two parts, and its first is none of git.allowed_hosts";
	if (strchr(path, '*'))
		return "may have * only in its last part, and never alone for an owner";
	return "is not owner/name of a-z, 0-9, ., _ and - (at most 100 each, no second .git)";
}

static bool set_append(struct repo_set *s, const struct repo_rule *r)
{
	if (!(s->n & (s->n - 1))) {
		struct repo_rule *more = reallocarray(s->rules, s->n ? 2 * s->n : 1, sizeof(*more));

		if (!more)
			return false;
		s->rules = more;
	}
	s->rules[s->n++] = *r;
	return true;
}

static const char *set_put(struct repo_set *s, const char *key, const struct repo_host *host,
			   const char *path, const char *written)
{
	AUTO(mem) char *h = host ? strdup(host->name) : NULL, *p = strdup(path), *text = NULL;
	AUTO(mem) char *spelled = strndup(s->deny ? path : written, strlen(path));
	struct repo_rule r;

	if ((host && !h) || !p || !spelled ||
	    asprintf(&text, "%s: %s%s%s", key, host ? host->name : "", host ? "/" : "", spelled) < 0)
		return "";
	r = (struct repo_rule){ h, p, spelled, text, strchr(path, '*') != NULL };
	if (!set_append(s, &r))
		return "";
	h = p = spelled = text = NULL; /* the set's now */
	return NULL;
}

const char *repo_set_add(struct repo_set *s, const char *key, const char *text,
			 const struct repo_host *hosts, size_t n_hosts)
{
	char path[REPO_PATH_MAX + 1], *repo = path;
	const struct repo_host *host;
	bool nested;
	size_t n;

	if ((size_t)snprintf(path, sizeof(path), "%s", text) >= sizeof(path))
		return "is too long";
	fold(path);
	host = host_of(hosts, n_hosts, path);
	if (host)
		repo = strchr(path, '/') + 1;
	nested = host ? host->nested : any_nested(hosts, n_hosts);
	n = strlen(repo);
	if (ends_with(repo, n, ".git"))
		repo[n - 4] = 0;
	if (strstr(repo, "**") && (!nested || !ends_with(repo, strlen(repo), "/**")))
		return "may have ** only as its last part, and on hosts of git.nested_groups";
	if (!path_ok(repo, nested ? REPO_DEPTH_MAX : 2, true, s->deny))
		return path_fault(repo, nested);
	return set_put(s, key, host, repo, text + (repo - path));
}
