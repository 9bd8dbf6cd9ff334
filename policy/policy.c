/*
 * policy.c - the compiled profile as others see it: references, decisions, plain values
 *
 * Theory of operation: decisions are look-ups without side effects, and what is not found is
 * denied. A denial of any kind is asked first, so it wins over every grant and over git hosts. Who
 * pushes must be allowed to read as well, and a repository that is not allowed says so first, since
 * that is the larger truth.
 */
#include "policy/policy.h"

#include <stdlib.h>
#include <string.h>

#include "policy/compiled.h"

struct policy *policy_ref(const struct policy *p)
{
	struct policy *own = (struct policy *)p; /* the count is the one thing that changes */

	atomic_fetch_add_explicit(&own->refs, 1, memory_order_relaxed);
	return own;
}

static void policy_free(struct policy *p)
{
	for (size_t i = 0; i < p->n_rules; i++)
		rule_free(p->rules[i]);
	for (size_t i = 0; i < p->n_git_hosts; i++)
		free(p->git_hosts[i]);
	rule_index_done(&p->index);
	repo_set_done(&p->allowed_repos);
	repo_set_done(&p->denied_repos);
	repo_set_done(&p->push_repos);
	free(p->push);
	free(p->git_hosts);
	free(p->rules);
	free(p->ranges);
	free(p->canonical);
	free(p->name);
	free(p);
}

void policy_unref(struct policy *p)
{
	if (p && atomic_fetch_sub_explicit(&p->refs, 1, memory_order_acq_rel) == 1)
		policy_free(p);
}

const char *policy_name(const struct policy *p)
{
	return p->name;
}

const char *policy_canonical(const struct policy *p, size_t *ret_n)
{
	*ret_n = p->n_canonical;
	return p->canonical;
}

const char *policy_sha256(const struct policy *p)
{
	return p->sha256;
}

const struct policy_limits *policy_limits(const struct policy *p)
{
	return &p->limits;
}

static bool rule_is_proxied(const struct rule *r)
{
	for (size_t i = 0; i < r->n_grants; i++)
		if (r->grants[i].action != GRANT_PROXY)
			return false;
	return true;
}

void policy_decide_name(const struct policy *p, const char *name, struct name_decision *ret)
{
	const struct rule *deny = rule_index_match(&p->index, RULE_DENY, name);
	const struct rule *allow = deny ? NULL : rule_index_match(&p->index, RULE_ALLOW, name);

	*ret = (struct name_decision){ .reason = REASON_NAME_NOT_ALLOWED,
				       .rule = "default",
				       .ancestor = rule_index_is_ancestor(&p->index, name) };
	if (deny) {
		ret->reason = REASON_NAME_DENIED;
		ret->rule = deny->text;
	} else if (allow) {
		*ret = (struct name_decision){
			.allowed = true,
			.rule = allow->text,
			.grants = allow->grants,
			.n_grants = allow->n_grants,
			.proxied = rule_is_proxied(allow),
			.private_ok = allow->private_ok,
			.wildcard = allow->kind != PATTERN_EXACT,
		};
		if (ret->wildcard) {
			ret->wild_n = strlen(name) - strlen(allow->base) - 1;
			ret->budget = allow->budget;
		}
	}
}

enum grant_action policy_decide_port(const struct policy *p, const char *name, uint8_t proto,
				     uint16_t port)
{
	struct name_decision d;

	policy_decide_name(p, name, &d);
	for (size_t i = 0; d.allowed && i < d.n_grants; i++)
		if (d.grants[i].proto == proto && d.grants[i].port == port)
			return d.grants[i].action;
	return GRANT_NONE;
}

/* The rule of a name that is allowed, or NULL. */
static const struct rule *allowed(const struct policy *p, const char *host)
{
	return rule_index_match(&p->index, RULE_DENY, host) ? NULL :
							      rule_index_match(&p->index, RULE_ALLOW, host);
}

bool policy_is_http_host(const struct policy *p, const char *host, uint16_t port)
{
	const struct rule *r = allowed(p, host);

	for (size_t i = 0; r && !r->git && i < r->n_grants; i++)
		if (r->grants[i].port == port && r->grants[i].action == GRANT_PROXY)
			return true;
	return false;
}

/*
 * Method and path may each fit some rule and yet none fit both: then it is the method. Rules add up:
 * one that allows the request to be upgraded is enough.
 */
static enum reason decide_request(const struct rule *r, struct rd method, struct rd path, bool *ret_upgrade)
{
	enum reason reason = r->http.n ? REASON_PATH_NOT_ALLOWED : REASON_NONE;
	uint32_t bit = http_method_bit(method);

	if (!http_path_plain(path) || (!r->http.n && http_path_has_escaped_slash(path)))
		return REASON_PATH_NOT_ALLOWED;
	if (!bit)
		return REASON_METHOD_NOT_ALLOWED;
	for (size_t i = 0; i < r->http.n && (reason != REASON_NONE || !*ret_upgrade); i++) {
		const struct http_rule *h = &r->http.rule[i];

		if (!http_pattern_match(h->path, path))
			continue;
		if (h->methods & bit) {
			reason = REASON_NONE;
			*ret_upgrade |= h->upgrade;
		} else if (reason != REASON_NONE) {
			reason = REASON_METHOD_NOT_ALLOWED;
		}
	}
	return reason;
}

void policy_decide_http(const struct policy *p, const char *host, struct rd method, struct rd path,
			struct http_decision *ret)
{
	const struct rule *r = allowed(p, host);
	bool upgrade = false;

	*ret = (struct http_decision){ .reason = REASON_HOST_NOT_ALLOWED, .rule = "default" };
	if (!r || r->git || !(policy_is_http_host(p, host, 443) || policy_is_http_host(p, host, 80)))
		return;
	ret->reason = decide_request(r, method, path, &upgrade);
	ret->rule = r->text;
	if (ret->reason != REASON_NONE)
		return;
	ret->allowed = true;
	ret->upgrade = upgrade;
	ret->credential = r->credential;
}

bool policy_names_credential(const struct policy *p, const char *name)
{
	for (size_t i = 0; i < p->n_rules; i++)
		if (p->rules[i]->credential && !strcmp(p->rules[i]->credential, name))
			return true;
	return false;
}

/* The rule that makes a host a git host; NULL when it is none or denied. */
static const struct rule *git_host(const struct policy *p, const char *host)
{
	const struct rule *r = NULL;

	if (!rule_index_match(&p->index, RULE_DENY, host))
		r = rule_index_match(&p->index, RULE_ALLOW, host);
	return r && r->git ? r : NULL;
}

bool policy_is_git_host(const struct policy *p, const char *host)
{
	return git_host(p, host) != NULL;
}

const char *const *policy_git_hosts(const struct policy *p, size_t *ret_n)
{
	*ret_n = p->git_enabled ? p->n_git_hosts : 0;
	return (const char *const *)p->git_hosts;
}

enum git_source policy_git_source(const struct policy *p)
{
	return p->git_source;
}

bool policy_git_stale_ok(const struct policy *p)
{
	return p->git_stale_ok;
}

bool policy_git_lfs(const struct policy *p)
{
	return p->git_lfs;
}

bool policy_git_nested(const struct policy *p, const char *host)
{
	const struct rule *r = git_host(p, host);

	return r && r->nested;
}

/* What is looked for: the rule of a git host, and the repository in lower case. */
struct repo_place { const struct rule *git; const char *host; char folded[REPO_PATH_MAX + 1]; };

static const struct repo_rule *find_rule(const struct repo_set *s, const struct repo_place *at, const char *spelled)
{
	if (at->git->ignores_case)
		return repo_set_find(s, at->host, at->folded);
	return repo_set_find_spelled(s, at->host, at->folded, spelled);
}

/*
 * The rule that lets it be read, and the spelling that counts from here on (policy.h). Only what is granted as it
 * is spelled comes before an exact rule's other spelling: with [Acme/x, acme/...] acme/x is itself.
 */
static const struct repo_rule *find_allowed(const struct policy *p, const struct repo_place *at,
					    char io_repo[POLICY_REPO_MAX + 1])
{
	const struct repo_rule *r;

	if (at->git->ignores_case)
		memcpy(io_repo, at->folded, sizeof(at->folded));
	r = find_rule(&p->allowed_repos, at, io_repo);
	if (r || at->git->ignores_case)
		return r;
	r = repo_set_find(&p->allowed_repos, at->host, at->folded);
	if (!r || r->glob)
		return NULL;
	snprintf(io_repo, POLICY_REPO_MAX + 1, "%s", r->spelled);
	return r;
}

/* Of a repository that may be read by *io_rule, which becomes the rule of this service. */
static enum reason decide_service(const struct policy *p, const struct repo_place *at, const char *spelled,
				  enum git_service service, const char **io_rule)
{
	const struct repo_rule *push;
	const char *read = *io_rule;

	*io_rule = "default";
	switch (service) {
	case GIT_SERVICE_UPLOAD_PACK:
		*io_rule = read;
		return REASON_NONE;
	case GIT_SERVICE_RECEIVE_PACK:
		push = p->push ? find_rule(&p->push_repos, at, spelled) : NULL;
		if (!push)
			return REASON_PUSH_NOT_ALLOWED;
		*io_rule = push->text;
		return REASON_NONE;
	case GIT_SERVICE_NONE:
		break;
	}
	return REASON_SERVICE_NOT_ALLOWED;
}

void policy_decide_repo(const struct policy *p, const char *host, const char *repo,
			enum git_service service, struct repo_decision *ret)
{
	struct repo_place at = { .git = git_host(p, host), .host = host };
	const struct repo_rule *allow, *deny;

	*ret = (struct repo_decision){ .reason = REASON_HOST_NOT_ALLOWED, .rule = "default" };
	snprintf(ret->repo, sizeof(ret->repo), "%s", repo);
	if (!at.git)
		return;
	ret->reason = REASON_REPOSITORY_NOT_ALLOWED;
	if (!repo_fold(repo, at.git->nested, at.folded))
		return;
	deny = repo_set_find(&p->denied_repos, host, at.folded);
	allow = find_allowed(p, &at, ret->repo);
	if (deny)
		ret->rule = deny->text;
	if (deny || (!allow && !p->all_repos))
		return;
	ret->rule = allow ? allow->text : at.git->text;
	ret->reason = decide_service(p, &at, ret->repo, service, &ret->rule);
	ret->allowed = ret->reason == REASON_NONE;
}

void policy_push_rules(const struct policy *p, const char *host, const char *repo, struct push_rules *ret)
{
	struct repo_decision d;

	policy_decide_repo(p, host, repo, GIT_SERVICE_RECEIVE_PACK, &d);
	if (d.allowed && !strcmp(d.repo, repo))
		*ret = *p->push;
	else
		*ret = (struct push_rules){ 0 };
}
