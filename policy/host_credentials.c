/*
 * host_credentials.c - credentials: of the host configuration, and which of them a repository gets
 *
 * Theory of operation: a match is a host, then a repository, or the beginning of one and a star.
 * Two patterns that can meet the same repository differ in how many parts they name, or in whether
 * they end in ** or *; so the most specific one is always one, and the same pattern twice is the
 * only tie, an error. Names and repositories are compared in the form that is dialled. Files are
 * not read here: who compiles a configuration may have no right to.
 */
#include "policy/host_credentials.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "policy/compiled.h"
#include "policy/doc.h"
#include "policy/host_config.h"
#include "policy/host_ssh.h"
#include "policy/repo.h"
#include "policy/schema.h"

#define AT "credentials[]."

struct load {
	struct host_config *c;
	struct diag *d;
	const struct node *row;
	struct host_credential *to;
	bool no_memory;
};

#define fault(l, at, ...) diag_error((l)->d, (l)->c->file, (at)->line, (at)->column, __VA_ARGS__)

static void credential_done(struct host_credential *h)
{
	char *const texts[] = { h->name, h->match,  h->host,   h->path,	    h->username,
				h->file, h->header, h->scheme, h->api_host, h->api_path, h->host_keys };

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
		free(texts[i]);
}

void host_credentials_free(struct host_config *c)
{
	for (size_t i = 0; i < c->n_credentials; i++)
		credential_done(&c->credentials[i]);
	free(c->credentials);
	free(c->header_credentials);
}

static char *copy(struct load *l, const char *text)
{
	char *mine = strdup(text ? text : "");

	l->no_memory |= !mine;
	return mine;
}

static const struct node *member(const struct load *l, const char *key)
{
	return node_at(l->row, key);
}

static const char *text_of(const struct load *l, const char *key)
{
	return schema_text(SCHEMA_HOST, l->row, AT, key);
}

/* Something in it was complained about: what follows from it would be noise. */
static bool any_bad(const struct node *nd)
{
	bool bad = nd->bad;

	for (size_t i = 0; i < nd->n && !bad; i++)
		bad = any_bad(nd->items[i]);
	return bad;
}

/* ---- match ---- */

static bool is_nested(const struct host_config *c, const char *host)
{
	for (size_t i = 0; i < c->n_nested_groups; i++)
		if (!strcmp(c->nested_groups[i], host))
			return true;
	return false;
}

/* Cut the star off the end; what it reaches. */
static enum host_credential_reach take_reach(char *path)
{
	size_t n = strlen(path), stars = 0;

	while (stars < 2 && stars < n && path[n - 1 - stars] == '*')
		stars++;
	if (!stars || (n > stars && path[n - 1 - stars] != '/'))
		return REACH_REPOSITORY; /* a star elsewhere is no repository's name */
	path[n > stars ? n - stars - 1 : 0] = '\0';
	return stars == 1 ? REACH_CHILDREN : REACH_BELOW;
}

/* Whether the path can be one: a star stands for a name, which makes it whole. */
static bool path_ok(char path[REPO_PATH_MAX + 1], enum host_credential_reach reach, bool nested)
{
	char whole[REPO_PATH_MAX + 4], folded[REPO_PATH_MAX + 1];
	size_t n = strlen(path);

	if (reach == REACH_REPOSITORY && n > 4 && !strcasecmp(path + n - 4, ".git"))
		path[n - 4] = '\0';
	if (reach != REACH_REPOSITORY && !*path)
		return reach == REACH_CHILDREN || nested;
	if (reach == REACH_BELOW && !nested)
		return false;
	snprintf(whole, sizeof(whole), "%s%s", path, reach == REACH_REPOSITORY ? "" : "/x");
	if (!repo_fold(whole, nested, folded))
		return false;
	folded[strlen(path)] = '\0';
	memcpy(path, folded, strlen(path) + 1);
	return true;
}

static void set_match(struct load *l, const char *host, const char *path,
		      enum host_credential_reach reach)
{
	static const char *const ends[] = { "", "*", "**" };
	struct host_credential *h = l->to;

	h->host = copy(l, host);
	h->path = copy(l, path);
	h->reach = reach;
	if (asprintf(&h->match, "%s/%s%s%s", host, path, *path && reach ? "/" : "", ends[reach]) <
	    0) {
		h->match = NULL;
		l->no_memory = true;
	}
}

static void load_match(struct load *l, const struct node *at)
{
	const char *slash = strchr(at->text, '/');
	char host[POLICY_NAME_MAX + 1], path[REPO_PATH_MAX + 1];
	enum host_credential_reach reach;

	if (!slash || !name_canonical(rd_of(at->text, (size_t)(slash - at->text)), host) ||
	    (size_t)snprintf(path, sizeof(path), "%s", slash + 1) >= sizeof(path)) {
		fault(l, at,
		      AT "match: \"%.80s\" does not begin with a host: host/owner/name, "
			 "host/owner/* or host/*",
		      at->text);
		return;
	}
	reach = take_reach(path);
	if (path_ok(path, reach, is_nested(l->c, host)))
		set_match(l, host, path, reach);
	else
		fault(l, at, AT "match: \"%.80s\" is not host/owner/name, host/owner/* or host/*%s",
		      at->text,
		      is_nested(l->c, host) ? "; nor one of them with ** or deeper groups"
					    : " (deeper groups and ** need git.nested_groups)");
}

/* ---- what is sent ---- */

static void load_username(struct load *l)
{
	const struct node *user = member(l, "username");

	l->to->username = copy(l, text_of(l, "username"));
	for (const char *p = l->to->username; p && *p; p++)
		if (*p <= ' ' || *p > '~' || *p == ':') {
			fault(l, user,
			      AT "username: may have no space, colon or control character");
			return;
		}
	if (user && strlen(user->text) > HOST_CREDENTIAL_USER_MAX)
		fault(l, user, AT "username: at most %d bytes", HOST_CREDENTIAL_USER_MAX);
}

static void load_token(struct load *l)
{
	l->to->kind = CREDENTIAL_TOKEN;
	l->to->file = copy(l, text_of(l, "token_file"));
	load_username(l);
}

/* https://HOST[/PATH], nothing else: it is where a signature of ours is sent. */
static bool url_split(struct load *l, const char *url)
{
	static const char path_bytes[] =
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-/";
	char host[POLICY_NAME_MAX + 1];
	const char *path;
	size_t n;

	if (strncmp(url, "https://", 8))
		return false;
	url += 8;
	n = strcspn(url, "/");
	path = url + n;
	if (!name_canonical(rd_of(url, n), host) || strspn(path, path_bytes) != strlen(path) ||
	    strlen(path) > 200 || strstr(path, ".."))
		return false;
	l->to->api_host = copy(l, host);
	l->to->api_path = copy(l, path);
	n = l->to->api_path ? strlen(l->to->api_path) : 0;
	if (n && l->to->api_path[n - 1] == '/')
		l->to->api_path[n - 1] = '\0';
	return true;
}

static void load_app(struct load *l)
{
	const struct node *url = member(l, "github_app.api_url");
	struct host_credential *h = l->to;

	h->kind = CREDENTIAL_APP;
	h->app = schema_number(SCHEMA_HOST, l->row, AT, "github_app.id");
	h->installation = schema_number(SCHEMA_HOST, l->row, AT, "github_app.installation");
	h->file = copy(l, text_of(l, "github_app.key_file"));
	h->username = copy(l, "x-access-token"); /* what the hosts document for such tokens */
	if (url) {
		if (!url_split(l, url->text))
			fault(l, url,
			      AT "github_app.api_url: \"%.80s\" is not https://HOST or "
				 "https://HOST/PATH",
			      url->text);
	} else if (h->host && !strcmp(h->host, "github.com")) {
		h->api_host = copy(l, "api.github.com");
		h->api_path = copy(l, "");
	} else {
		h->api_host = copy(l, h->host);
		h->api_path = copy(l, "/api/v3");
	}
}

/*
 * RFC 9110 s5.1; less what frames a message, names its receiver or says what may come back; and less
 * Cookie, of which an upstream would repeat parts that are not looked for.
 */
static bool header_ok(const char *name)
{
	static const char bytes[] =
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_";
	static const char *const ours[] = {
		"host",	      "content-length",	 "transfer-encoding", "connection", "te",    "trailer",
		"upgrade",    "expect",		 "keep-alive",	      "accept",	    "range", "if-range",
		"user-agent", "accept-encoding", "content-type",      "cookie"
	};

	for (size_t i = 0; i < ARRAY_SIZE(ours); i++)
		if (!strcasecmp(name, ours[i]))
			return false;
	return strlen(name) <= 64 && strspn(name, bytes) == strlen(name) &&
	       strncasecmp(name, "proxy-", 6);
}

/* RFC 9110 s11.1: a token. */
static bool scheme_ok(const char *scheme)
{
	static const char bytes[] =
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~+";

	return *scheme && strlen(scheme) <= 64 && strspn(scheme, bytes) == strlen(scheme);
}

static void load_scheme(struct load *l)
{
	const struct node *scheme = member(l, "header.scheme");
	bool pair = scheme && !strcasecmp(scheme->text, "Basic");

	if (scheme && !scheme_ok(scheme->text))
		fault(l, scheme, AT "header.scheme: \"%.64s\" is not one word, such as Bearer",
		      scheme->text);
	if (pair && !member(l, "username"))
		fault(l, scheme, AT "header.scheme: Basic needs username");
	if (!pair && member(l, "username"))
		fault(l, member(l, "username"),
		      AT "username goes with token_file or a header's scheme Basic");
	l->to->scheme = copy(l, scheme ? scheme->text : "");
	load_username(l);
}

static void load_header(struct load *l)
{
	const struct node *name = member(l, "header.name");

	if (name && !header_ok(name->text))
		fault(l, name, AT "header.name: \"%.64s\" is no header that can be added",
		      name->text);
	l->to->kind = CREDENTIAL_HEADER;
	l->to->header = copy(l, text_of(l, "header.name"));
	l->to->file = copy(l, text_of(l, "header.value_file"));
	load_scheme(l);
}

static const char *load_host_key(struct load *l, const struct node *nd)
{
	AUTO(mem) char *key = NULL;
	char *all = NULL;
	const char *why;

	key = host_ssh_key(nd->text, &why);
	if (!key && !*why)
		l->no_memory = true;
	else if (!key)
		return why;
	else if (asprintf(&all, "%s%s\n", l->to->host_keys ? l->to->host_keys : "", key) < 0)
		l->no_memory = true;
	else
		free(l->to->host_keys);
	if (all)
		l->to->host_keys = all;
	return NULL;
}

static void load_host_keys(struct load *l)
{
	const struct node *at = member(l, "known_host_key");
	size_t n = !at ? 0 : at->kind == NODE_LIST ? at->n : 1;

	if (!n || n > HOST_SSH_KEYS_MAX) {
		fault(l, at ? at : l->row, "transport ssh needs known_host_key, 1 to %d (ssh-keyscan shows them; "
		      "compare with what the host publishes)", HOST_SSH_KEYS_MAX);
		return;
	}
	for (size_t i = 0; i < n && !l->no_memory; i++) {
		const struct node *nd = at->kind == NODE_LIST ? at->items[i] : at;
		const char *why = load_host_key(l, nd);

		if (why)
			fault(l, nd, AT "known_host_key: \"%.60s\" %s", nd->text, why);
	}
}

static void load_ssh(struct load *l)
{
	const struct node *user = member(l, "username"), *file = member(l, "identity_file");
	struct host_credential *h = l->to;

	h->kind = CREDENTIAL_SSH;
	h->file = copy(l, text_of(l, "identity_file"));
	h->username = copy(l, user ? user->text : "git");
	h->port = (uint16_t)schema_number(SCHEMA_HOST, l->row, AT, "port");
	load_host_keys(l);
	if (user && !host_ssh_user_ok(user->text))
		fault(l, user, AT "username: \"%.64s\" is no login for ssh", user->text);
	if (!host_ssh_path_ok(file->text))
		fault(l, file, AT "identity_file: ssh would read another path than \"%.80s\": letters, digits and "
		      "._+@:=,/- only", file->text);
	if (l->c->proxy.port)
		fault(l, l->row, "transport ssh does not go through git.upstream_proxy");
}

static const struct {
	const char *key;
	void (*load)(struct load *l);
	bool matches; /* is for repositories */
} kinds[] = {
	[CREDENTIAL_TOKEN] = { "token_file", load_token, true },
	[CREDENTIAL_APP] = { "github_app", load_app, true },
	[CREDENTIAL_HEADER] = { "header", load_header, false },
	[CREDENTIAL_SSH] = { "identity_file", load_ssh, true },
};

/* The transport and what goes with it alone. */
static bool transport_fits(const struct load *l)
{
	static const char *const only[] = { "identity_file", "known_host_key", "port" };
	bool ssh = !strcmp(text_of(l, "transport"), "ssh");

	if (ssh && !member(l, "identity_file"))
		fault(l, l->row, "transport ssh needs identity_file");
	for (size_t i = 0; !ssh && i < ARRAY_SIZE(only); i++)
		if (member(l, only[i])) {
			fault(l, member(l, only[i]), AT "%s goes with transport: ssh", only[i]);
			return false;
		}
	return !ssh || member(l, "identity_file");
}

static void load_kind(struct load *l)
{
	const struct node *match = member(l, "match");
	size_t found = 0, kind = 0;

	if (!transport_fits(l))
		return;
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
		if (member(l, kinds[i].key)) {
			found++;
			kind = i;
		}
	if (found != 1) {
		fault(l, l->row, "a credential has one of token_file, github_app, header and identity_file");
		return;
	}
	if (kinds[kind].matches != (match != NULL))
		fault(l, l->row,
		      kinds[kind].matches ? "a credential with %s needs match"
					  : "a credential with %s has no match: profiles name it",
		      kinds[kind].key);
	if (kind == CREDENTIAL_APP && member(l, "username"))
		fault(l, member(l, "username"),
		      AT "username goes with token_file or a header's scheme Basic");
	if (kind == CREDENTIAL_HEADER && !member(l, "name"))
		fault(l, l->row, "a credential with header needs a name");
	kinds[kind].load(l);
}

static void check_twins(const struct load *l)
{
	const struct host_credential *h = l->to;

	for (size_t i = 0; i < l->c->n_credentials; i++) {
		const struct host_credential *o = &l->c->credentials[i];

		if (h->match && o->match && !strcmp(h->match, o->match))
			fault(l, member(l, "match"),
			      "a second credential for %s; the first is in line %zu", h->match,
			      o->line);
		else if (!strcmp(h->name, o->name))
			fault(l, l->row,
			      "a second credential with the name %s; the first is in line %zu",
			      h->name, o->line);
	}
}

static void load_one(struct load *l)
{
	const struct node *name = member(l, "name"), *match = member(l, "match");

	l->to->line = l->row->line;
	if (any_bad(l->row))
		return;
	if (match)
		load_match(l, match);
	load_kind(l);
	l->to->name = copy(l, name ? name->text : l->to->match);
	if (!l->no_memory)
		check_twins(l);
}

int host_credentials_load(struct host_config *c, const struct node *root, struct diag *d)
{
	const struct node *list = node_at(root, "credentials");
	size_t n = list && !list->bad && list->kind == NODE_LIST ? list->n : 0;
	struct load l = { .c = c, .d = d };

	if (n > HOST_CREDENTIALS_MAX) {
		fault(&l, list, "at most %d credentials", HOST_CREDENTIALS_MAX);
		return 0;
	}
	c->credentials = calloc(n + 1, sizeof(*c->credentials));
	c->header_credentials = calloc(n + 1, sizeof(*c->header_credentials));
	if (!c->credentials || !c->header_credentials)
		return -ENOMEM;
	for (size_t i = 0; i < n && !l.no_memory; i++) {
		l.row = list->items[i];
		l.to = &c->credentials[c->n_credentials];
		load_one(&l);
		/* One without a name was complained about: nothing of it is kept. */
		if (l.to->name && *l.to->name) {
			c->n_credentials++;
		} else {
			credential_done(l.to);
			*l.to = (struct host_credential){ 0 };
		}
	}
	for (size_t i = 0; i < c->n_credentials; i++)
		if (c->credentials[i].kind == CREDENTIAL_HEADER)
			c->header_credentials[c->n_header_credentials++] = c->credentials[i].name;
	return l.no_memory ? -ENOMEM : 0;
}

/* ---- which one ---- */

static bool serves(const struct host_credential *h, const char *host, const char *repo)
{
	size_t n;

	if (!h->match || strcmp(h->host, host))
		return false;
	if (h->reach == REACH_REPOSITORY)
		return !strcmp(h->path, repo);
	n = strlen(h->path);
	if (n && (strncmp(h->path, repo, n) || repo[n] != '/'))
		return false;
	if (h->reach == REACH_BELOW)
		return true;
	repo += n ? n + 1 : strcspn(repo, "/") + 1;
	return !strchr(repo, '/');
}

static size_t rank(const struct host_credential *h)
{
	size_t parts = *h->path != 0;

	for (const char *p = h->path; *p; p++)
		parts += *p == '/';
	return h->reach == REACH_REPOSITORY ? SIZE_MAX : 2 * parts + (h->reach == REACH_CHILDREN);
}

const struct host_credential *host_credential_for(const struct host_config *c, const char *host,
						  const char *repo)
{
	const struct host_credential *best = NULL;
	char folded[REPO_PATH_MAX + 1];

	if (!repo_fold(repo, true, folded))
		return NULL;
	for (size_t i = 0; i < c->n_credentials; i++) {
		const struct host_credential *h = &c->credentials[i];

		if (serves(h, host, folded) && (!best || rank(h) > rank(best)))
			best = h;
	}
	return best;
}

const struct host_credential *host_credential_named(const struct host_config *c, const char *name)
{
	for (size_t i = 0; i < c->n_credentials; i++)
		if (!strcmp(c->credentials[i].name, name))
			return &c->credentials[i];
	return NULL;
}

static bool same_text(const char *a, const char *b)
{
	return a && b ? !strcmp(a, b) : a == b;
}

static bool same_one(const struct host_credential *a, const struct host_credential *b)
{
	return a->kind == b->kind && a->app == b->app && a->installation == b->installation && a->port == b->port &&
	       same_text(a->host_keys, b->host_keys) &&
	       same_text(a->name, b->name) && same_text(a->match, b->match) &&
	       same_text(a->username, b->username) && same_text(a->file, b->file) &&
	       same_text(a->header, b->header) && same_text(a->scheme, b->scheme) &&
	       same_text(a->api_host, b->api_host) && same_text(a->api_path, b->api_path);
}

bool host_credentials_same(const struct host_config *a, const struct host_config *b)
{
	if (a->n_credentials != b->n_credentials)
		return false;
	for (size_t i = 0; i < a->n_credentials; i++)
		if (!same_one(&a->credentials[i], &b->credentials[i]))
			return false;
	return true;
}

/* ---- what can be wrong around them ---- */

/* Can both a pattern of the policy and this credential mean one repository? Rather yes than no. */
static bool may_meet(const struct host_credential *h, const struct repo_rule *r)
{
	size_t mine = strlen(h->path), theirs = r->glob ? strcspn(r->path, "*") : strlen(r->path);

	if (r->host && strcmp(r->host, h->host))
		return false;
	if (!r->glob)
		return serves(h, h->host, r->path);
	return !strncmp(h->path, r->path, mine < theirs ? mine : theirs);
}

/* Over ssh there is no answer that a client of https could be given; the mirror makes one. */
static void check_source(const struct host_config *c, const struct host_credential *h, const struct policy *p,
			 struct diag *d)
{
	bool met = p->all_repos;

	if (h->kind != CREDENTIAL_SSH || policy_git_source(p) == GIT_SOURCE_HOST_MIRROR ||
	    !policy_is_git_host(p, h->host))
		return;
	for (size_t i = 0; i < p->allowed_repos.n && !met; i++)
		met = may_meet(h, &p->allowed_repos.rules[i]);
	if (met)
		diag_error(d, c->file, h->line, 0,
			   "credential %s: %s is reached by ssh, which needs a mirror: write git.source: host_mirror in "
			   "profile %s, or take the repositories out of its git.allowed_repos", h->name, h->match,
			   policy_name(p));
}

void host_credentials_warn(const struct host_config *c, struct policy *const *policies, size_t n,
			   struct diag *d)
{
	for (size_t i = 0; i < c->n_credentials; i++) {
		const struct host_credential *h = &c->credentials[i];
		bool used = false;

		for (size_t j = 0; j < n && !used; j++)
			used = h->match ? policy_is_git_host(policies[j], h->host)
					: policy_names_credential(policies[j], h->name);
		for (size_t j = 0; j < n && h->match; j++)
			check_source(c, h, policies[j], d);
		if (!used && h->match)
			diag_warn(d, c->file, h->line, 0,
				  "credential %s: %s is in no profile's git.allowed_hosts", h->name,
				  h->host);
		else if (!used)
			diag_warn(d, c->file, h->line, 0, "credential %s: no profile names it", h->name);
	}
}

void host_credentials_check_files(const struct host_config *c, const struct secret_owner *o,
				  struct diag *d)
{
	for (size_t i = 0; i < c->n_credentials; i++) {
		const struct host_credential *h = &c->credentials[i];
		char why[SECRET_WHY] = "";
		AUTO(fd) int fd = -1;
		int r = secret_file_open(h->file, o, &fd, why);

		if (!r)
			r = secret_file_reach(h->file, o, why);
		if (r == -ENOENT || (r == -EACCES && fd < 0))
			diag_warn(d, c->file, h->line, 0, "credential %s: %s %s", h->name, h->file,
				  r == -ENOENT ? "does not exist"
					       : "cannot be looked at by this user");
		else if (r < 0)
			diag_error(d, c->file, h->line, 0, "credential %s: %s %s", h->name, h->file,
				   why);
	}
}
