/*
 * explain.c - cordon explain: what a profile says of one destination, and which row says it
 *
 * Theory of operation: the same compiler and the same decisions as the daemons', asked of the
 * files; nothing is looked up and nobody is asked, so it works before anything runs, and a name
 * that is refused is not told to a resolver. What a destination can be: ADDRESS:PORT, HOST:PORT,
 * HOST (its port 443), a URL, of a git host a URL with a repository, of a host whose requests are
 * read a URL with a path, which stands for a GET of it. A word tcp:// or udp:// before it says which
 * protocol. Of a push it is the name and the kind of one ref's command that is decided, which is what
 * a profile can say beforehand.
 */
#include <netinet/in.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <jansson.h>

#include "cli/cli.h"
#include "policy/push.h"

enum { WHAT_MAX = 512, NEED_MAX = 1024 };

struct target {
	char host[POLICY_NAME_MAX + 1]; /* canonical; "" when it is an address */
	struct addr addr;
	uint8_t proto;
	uint16_t port;
	char path[WHAT_MAX]; /* "owner/name" of a URL, or "" */
	char request[WHAT_MAX]; /* "/owner/name.git", without a query, or "" */
	enum git_service service;
	enum push_op op;
	char ref[WHAT_MAX]; /* of a push; "" : none is named */
};

struct answer {
	bool allowed;
	enum reason reason;
	const char *rule;
	const char *how;     /* allowed: what happens to the flow */
	const char *credential; /* what is added to it, by name; NULL: nothing */
	char need[NEED_MAX]; /* refused: what would have to change */
	char refs[PUSH_TEXT + 1]; /* of a push: what the policy says of refs */
};

/* ---- reading it ---- */

static const struct {
	const char *text;
	uint8_t proto;
	uint16_t port;
} schemes[] = {
	{ "https://", IPPROTO_TCP, 443 }, { "http://", IPPROTO_TCP, 80 },
	{ "ssh://", IPPROTO_TCP, 22 },	  { "tcp://", IPPROTO_TCP, 0 },
	{ "udp://", IPPROTO_UDP, 0 },	  { "", IPPROTO_TCP, 443 },
};

/* "owner/name.git" as "owner/name". */
static void read_path(const char *path, struct target *ret)
{
	size_t n;

	snprintf(ret->path, sizeof(ret->path), "%s", path);
	n = strlen(ret->path);
	if (n > 4 && !strcmp(ret->path + n - 4, ".git"))
		ret->path[n - 4] = '\0';
}

static bool read_port(const char *text, uint16_t *ret)
{
	unsigned long v = 0;
	size_t n = strlen(text);

	if (n < 1 || n > 5 || strspn(text, "0123456789") != n)
		return false;
	v = strtoul(text, NULL, 10);
	*ret = (uint16_t)v;
	return v >= 1 && v <= UINT16_MAX;
}

/* "[2001:db8::1]:443", "10.20.3.4:9000", "a.example:22", "a.example". Cuts text into pieces. */
static bool read_place(char *text, struct target *ret)
{
	bool bracket = *text == '[';
	char *host = text + bracket, *end = bracket ? strchr(host, ']') : strrchr(host, ':');
	const char *port = "";

	if (bracket && !end)
		return false;
	if (end && (!bracket || end[1] == ':'))
		port = end + 1 + bracket;
	if (end && !bracket && addr_parse(host, &ret->addr))
		port = ""; /* an IPv6 address without a port */
	else if (end)
		*end = '\0';
	if (*port && !read_port(port, &ret->port))
		return false;
	if (addr_parse(host, &ret->addr))
		return true;
	return !bracket && name_canonical(rd_of(host, strlen(host)), ret->host);
}

static bool read_target(const char *what, struct target *ret)
{
	char text[WHAT_MAX], *slash;
	size_t i = 0;

	while (strncmp(what, schemes[i].text, strlen(schemes[i].text)))
		i++; /* the last one is empty */
	ret->proto = schemes[i].proto;
	ret->port = schemes[i].port;
	if (snprintf(text, sizeof(text), "%s", what + strlen(schemes[i].text)) >= (int)sizeof(text))
		return false;
	slash = strchr(text, '/');
	if (slash)
		snprintf(ret->request, sizeof(ret->request), "%.*s", (int)strcspn(slash, "?"), slash);
	if (slash)
		*slash = '\0';
	if (slash && slash[1])
		read_path(slash + 1, ret);
	return read_place(text, ret) && ret->port;
}

/* As git takes it: [+][SOURCE:]NAME, :NAME to delete it; a short name is a branch's. */
static bool read_ref(const char *text, struct target *ret)
{
	const char *colon = strrchr(text, ':'), *name = colon ? colon + 1 : text + (*text == '+');
	const char *before = strncmp(name, "refs/", 5) ? "refs/heads/" : "";

	ret->op = *text == '+' ? PUSH_FORCE : colon == text ? PUSH_DELETE : PUSH_CREATE;
	return *name && snprintf(ret->ref, sizeof(ret->ref), "%s%s", before, name) < (int)sizeof(ret->ref);
}

/* WHAT, or: git clone|fetch URL, git push URL [REF]. */
static bool read_words(const struct args *a, struct target *ret)
{
	*ret = (struct target){ .service = GIT_SERVICE_UPLOAD_PACK };
	if (strcmp(a->word[0], "git"))
		return a->n == 1 && read_target(a->word[0], ret);
	if (a->n < 3)
		return false;
	if (!strcmp(a->word[1], "push"))
		ret->service = GIT_SERVICE_RECEIVE_PACK;
	if (a->n > 3 && (ret->service != GIT_SERVICE_RECEIVE_PACK || !read_ref(a->word[3], ret)))
		return false;
	return read_target(a->word[2], ret);
}

/* ---- deciding ---- */

static const char *proto_text(const struct target *t)
{
	return t->proto == IPPROTO_UDP ? "udp" : "tcp";
}

static void decide_address(const struct policy *p, const struct target *t,
			   const struct address_context *ctx, struct answer *ret)
{
	struct prefix one = { t->addr, (uint8_t)(addr_len(&t->addr) * 8) }, part;
	const char *forbidden = address_forbids(&one, ctx, &part);
	struct address_decision d;
	char text[ADDR_TEXT_MAX];

	policy_decide_address(p, &t->addr, t->proto, t->port, &d);
	*ret = (struct answer){ d.allowed, d.reason, d.rule, "forwarded, unread", NULL, "", "" };
	addr_format(&t->addr, text);
	if (forbidden)
		snprintf(ret->need, sizeof(ret->need), "nothing: no row can grant it (%s)",
			 forbidden);
	else
		snprintf(ret->need, sizeof(ret->need),
			 "a row of network.allow: {cidr: \"%s/%u\", ports: [%u], protocol: %s}; "
			 "better, "
			 "the host's name",
			 text, addr_len(&t->addr) * 8, t->port, proto_text(t));
}

/* A ref that may not be made may still be moved forward. */
static enum reason decide_op(const struct push_rules *r, const struct target *t, struct wr *text)
{
	enum reason reason = push_rules_ref(r, t->ref, t->op, text);

	if (reason == REASON_NONE || t->op != PUSH_CREATE ||
	    push_rules_ref(r, t->ref, PUSH_UPDATE, NULL) != REASON_NONE)
		return reason;
	text->n = 0;
	wr_str(text, "only if it exists: the policy lets no refs be made");
	return REASON_NONE;
}

static void decide_ref(const struct policy *p, const struct target *t, const char *repo, struct answer *ret)
{
	struct wr text = wr_of(ret->refs, PUSH_TEXT);
	struct push_rules r;

	policy_push_rules(p, t->host, repo, &r);
	ret->how = "judged by the gate: its refs, objects and contents; then sent on";
	if (*t->ref) {
		ret->reason = decide_op(&r, t, &text);
		ret->allowed = ret->reason == REASON_NONE;
		ret->refs[text.n] = '\0';
	} else {
		push_rules_text(&r, &text);
		ret->refs[text.n] = '\0';
	}
	snprintf(ret->need, sizeof(ret->need), "%s",
		 ret->reason == REASON_FORCE_NOT_ALLOWED  ? "git.push.force: true" :
		 ret->reason == REASON_DELETE_NOT_ALLOWED ? "git.push.delete: true" :
							    "a pattern in git.push.refs, and git.push.create");
}

static void decide_repo(const struct policy *p, const struct target *t, struct answer *ret)
{
	struct repo_decision d;

	policy_decide_repo(p, t->host, t->path, t->service, &d);
	ret->allowed = d.allowed;
	ret->reason = d.reason;
	ret->rule = d.rule;
	if (d.allowed && t->service == GIT_SERVICE_RECEIVE_PACK)
		decide_ref(p, t, d.repo, ret);
	else if (d.reason == REASON_PUSH_NOT_ALLOWED)
		snprintf(ret->need, sizeof(ret->need), "%s in git.push.allowed_repos", t->path);
	else
		snprintf(ret->need, sizeof(ret->need),
			 "%s in git.allowed_repos, and not in denied_repos", t->path);
}

/* A GET of a host whose requests are read. */
static void decide_request(const struct policy *p, const struct target *t, struct answer *ret)
{
	struct http_decision d;

	policy_decide_http(p, t->host, rd_str("GET"), rd_str(t->request), &d);
	ret->allowed = d.allowed;
	ret->reason = d.reason;
	ret->rule = d.rule;
	ret->credential = d.credential;
	snprintf(ret->need, sizeof(ret->need),
		 "a rule in http of the host's row that has GET and a path that meets %.200s, letter by letter",
		 t->request);
}

static void decide_name(const struct policy *p, const struct target *t, struct answer *ret)
{
	static const char *const how[] = {
		[GRANT_NONE] = "",
		[GRANT_FORWARD] = "forwarded to the name's address, unread",
		[GRANT_INSPECT] = "forwarded when the TLS server name is this name",
		[GRANT_PROXY] = "ends at Cordon, which checks each request",
	};
	enum grant_action action = policy_decide_port(p, t->host, t->proto, t->port);
	struct name_decision d;

	policy_decide_name(p, t->host, &d);
	*ret = (struct answer){ d.allowed, d.reason, d.rule, how[action], NULL, "", "" };
	if (!d.allowed && d.reason == REASON_NAME_DENIED)
		snprintf(ret->need, sizeof(ret->need),
			 "the row of network.deny, which wins over every grant");
	else
		snprintf(ret->need, sizeof(ret->need),
			 "a row of network.allow: {host: %s, ports: [%u], protocol: %s}", t->host,
			 t->port,
			 t->port == 443 && t->proto == IPPROTO_TCP ? "tls" : proto_text(t));
	if (d.allowed && action == GRANT_NONE) {
		ret->allowed = false;
		ret->reason = REASON_PORT_NOT_GRANTED;
	}
	if (d.allowed && t->proto == IPPROTO_UDP && t->port == 443) {
		ret->reason = REASON_QUIC_NOT_ALLOWED;
		snprintf(ret->need, sizeof(ret->need), "nothing: clients fall back to TCP");
	}
	if (ret->allowed && t->port == 22 && policy_is_git_host(p, t->host)) {
		ret->allowed = false;		/* steered to the proxy, which only says so */
		ret->reason = REASON_SSH_NOT_SUPPORTED;
		snprintf(ret->need, sizeof(ret->need), "nothing: use https://%s/%s", t->host,
			 *t->path ? t->path : "OWNER/REPOSITORY");
	}
	if (ret->allowed && *t->path && policy_is_git_host(p, t->host))
		decide_repo(p, t, ret);
	if (ret->allowed && *t->request && policy_is_http_host(p, t->host, t->port))
		decide_request(p, t, ret);
}

static void decide_internal(const struct target *t, struct answer *ret)
{
	bool web = t->proto == IPPROTO_TCP && (t->port == 80 || t->port == 443);

	*ret = (struct answer){ web, web ? REASON_NONE : REASON_PORT_NOT_GRANTED, "default",
				"answered by Cordon itself: every sandbox's own policy and refusals", NULL,
				"nothing: it has ports 80 and 443", "" };
}

static void decide(const struct policy *p, const struct target *t,
		   const struct address_context *ctx, struct answer *ret)
{
	if (t->port == 53)
		*ret = (struct answer){ true, REASON_NONE, "default",
					"answered by Cordon's resolver, whatever the address", NULL, "", "" };
	else if (!strcmp(t->host, CORDON_INTERNAL))
		decide_internal(t, ret);
	else if (t->host[0])
		decide_name(p, t, ret);
	else
		decide_address(p, t, ctx, ret);
}

/* ---- telling ---- */

static void tell(const struct cli *c, const struct policy *p, const struct args *a,
		 const struct answer *r)
{
	const char *what = a->word[a->n > 1 ? 2 : 0];

	if (c->json) {
		json_t *row = json_pack("{s:s, s:s, s:s, s:s, s:s, s:s}", "what", what, "profile",
					policy_name(p), "decision", r->allowed ? "allow" : "deny",
					"reason", reason_text(r->reason), "rule", r->rule,
					r->allowed ? "how" : "need", r->allowed ? r->how : r->need);

		if (r->credential)
			json_object_set_new(row, "credential", json_string(r->credential));
		if (*r->refs)
			json_object_set_new(row, "refs", json_string(r->refs));
		json_dumpf(row, stdout, JSON_INDENT(2));
		putchar('\n');
		json_decref(row);
		return;
	}
	printf("%s with profile %s: %s%s\n", what, policy_name(p),
	       r->allowed ? "allowed" : "refused, ", r->allowed ? "" : reason_text(r->reason));
	printf("  %s\n  rule: %s\n", r->allowed ? r->how : reason_sentence(r->reason), r->rule);
	if (*r->refs)
		printf("  refs: %s\n", r->refs);
	if (r->credential)
		printf("  credential: %s, added to each request\n", r->credential);
	if (!r->allowed)
		printf("  what would change it: %s\n", r->need);
}

struct explain_values {
	const char *profile;
};
static const struct option_row explain_options[] = {
	{ "profile", 0, OPTION_TEXT, offsetof(struct explain_values, profile), "NAME",
	  "of which profile (default: default)" },
};

static const struct policy *policy_named(const struct profile_set *set, const char *name)
{
	for (size_t i = 0; i < set->n; i++)
		if (!strcmp(policy_name(set->policies[i]), name))
			return set->policies[i];
	return NULL;
}

static int explain(const struct cli *c, const void *values, const struct args *a)
{
	const struct explain_values *v = values;
	const char *name = v->profile ? v->profile : "default";
	AUTO(host_config) struct host_config *cfg = NULL;
	struct profile_set set = { 0 };
	const struct policy *p;
	struct answer answer;
	struct target t;
	int r;

	if (!read_words(a, &t))
		return cli_misuse("explain: %.80s is no destination: cordon explain --help",
				  a->word[a->n > 2 ? 2 : 0]);
	r = cli_policies(c, &cfg, &set);
	if (r)
		return r;
	p = policy_named(&set, name);
	if (!p) {
		r = cli_misuse("explain: no profile %s: cordon check lists them", name);
	} else {
		struct policy_site site = host_config_site(cfg);

		decide(p, &t, &site.addresses, &answer);
		tell(c, p, a, &answer);
		r = answer.allowed ? EXIT_DONE : EXIT_REFUSED;
	}
	profile_set_done(&set);
	return r;
}

const struct command command_explain = {
	.name = "explain",
	.usage = "[--profile NAME] WHAT",
	.line = "Say what a profile decides of a destination, and why",
	.more = "WHAT is ADDRESS:PORT, HOST:PORT, HOST, a URL, or: git clone URL, git push URL\n"
		"[+][:]REF; udp:// before it asks of UDP. The files are asked, not the daemons, and nothing is looked up. The\n"
		"exit status is 1 when it is refused.",
	.examples = "  cordon explain --profile agent pypi.org\n"
		    "  cordon explain --profile agent 10.20.3.4:9000\n"
		    "  cordon explain --profile agent udp://time.example:123\n"
		    "  cordon explain --profile agent git clone https://github.com/acme/widgets\n"
		    "  cordon explain --profile agent git push https://github.com/acme/widgets refs/heads/agent/x\n",
	.options = explain_options,
	.n_options = ARRAY_SIZE(explain_options),
	.min_args = 1,
	.max_args = 4,
	.run = explain,
};
