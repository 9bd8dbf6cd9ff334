/*
 * policy.h - a compiled profile and the decisions it makes; the one implementation used by every part
 *
 * Theory of operation: YAML text is read against one schema table (schema.c), all errors are collected
 * with line and column, and the result is an immutable, reference-counted struct policy with a canonical
 * text (whose compilation gives the same bytes) and its SHA-256. Decisions are pure functions of a
 * policy and their arguments; their zero is deny. Names passed in must be canonical (name_canonical()).
 * Thread-safe: a policy never changes; references are atomic.
 */
#ifndef POLICY_POLICY_H
#define POLICY_POLICY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "policy/address.h"
#include "policy/diag.h"
#include "policy/reason.h"

enum {
	POLICY_NAME_MAX = 253, POLICY_GRANTS_MAX = 64, POLICY_TEXT_MAX = 4 << 20,
	POLICY_RANGES_MAX = 1024,	/* each port of a cidr; the kernel takes intervals slowly */
	POLICY_RANGE_RULE = 80
};

struct policy;

/*
 * Compile one profile. `name` is the profile's (the file's without .yaml). 0, -EINVAL with errors in d,
 * or -ENOMEM. Warnings go to d as well.
 */
struct policy_site;	/* what of the host configuration matters: ca names, pools, nested groups */
int policy_compile(const char *name, const char *file, const char *text, size_t n,
		   const struct policy_site *site, struct diag *d, struct policy **ret);
/* The same from a file NAME.yaml. 0, -EINVAL or another -errno with errors in d. */
int policy_compile_file(const char *path, const struct policy_site *site, struct diag *d,
			struct policy **ret);
struct policy *policy_ref(const struct policy *p);
void policy_unref(struct policy *p);
DEFINE_AUTO(policy, struct policy *, policy_unref)

const char *policy_name(const struct policy *p);
const char *policy_canonical(const struct policy *p, size_t *ret_n);
const char *policy_sha256(const struct policy *p);	/* 64 hex digits of the canonical text */

/* What a part must know of the host configuration to compile. Filled by host_config_site(). */
struct policy_site {
	const char *const *ca_names; size_t n_ca_names;		/* NULL: not checked */
	const char *const *nested_groups; size_t n_nested_groups;
	const char *const *ignore_case; size_t n_ignore_case;	/* besides known_ignores_case() */
	const char *const *credentials; size_t n_credentials;	/* with a header; NULL: not checked */
	struct address_context addresses;
	bool observe_permitted;
};

/*
 * Canonical form of a host name: lower case, one trailing dot removed, labels [a-z0-9_-]{1,63}, at most
 * 253 bytes, not an IP literal in any spelling (dotted, octal, hex, decimal, bracketed). Non-ASCII is
 * refused here (policy files convert IDN to A-labels before). False: refuse the traffic.
 */
bool name_canonical(struct rd raw, char out[POLICY_NAME_MAX + 1]);

enum grant_action { GRANT_NONE = 0, GRANT_FORWARD, GRANT_INSPECT, GRANT_PROXY };
struct grant {
	uint8_t proto;			/* IPPROTO_TCP or IPPROTO_UDP */
	uint16_t port;
	enum grant_action action;
};

struct wildcard_budget {		/* what the names that a sandbox makes up may carry upstream */
	uint32_t names_per_minute, label_bytes_per_hour;
};

struct name_decision {
	bool allowed;
	enum reason reason;		/* when not allowed */
	/* text such as "network.allow: *.files.example"; lives as long as the policy; "default" */
	const char *rule;
	const struct grant *grants; size_t n_grants;	/* live as long as the policy */
	bool proxied;			/* every grant is GRANT_PROXY: needs no real address */
	bool private_ok;
	bool wildcard;
	uint16_t wild_n;		/* a wildcard's: bytes of the name that it stands for, inner dots too */
	struct wildcard_budget budget;	/* a wildcard's */
	/* not allowed itself, but an ancestor of an exact allowed name: NODATA (RFC 8020) */
	bool ancestor;
};
void policy_decide_name(const struct policy *p, const char *name, struct name_decision *ret);
/* Is this (name, proto, port) granted, and how. GRANT_NONE: not. */
enum grant_action policy_decide_port(const struct policy *p, const char *name, uint8_t proto, uint16_t port);

/* Addresses that are granted without a name (`cidr:`), to be forwarded. Of one protocol and port no two overlap. */
struct policy_range {
	struct prefix prefix;
	uint8_t proto;			/* IPPROTO_TCP or IPPROTO_UDP */
	uint16_t port;
	char rule[POLICY_RANGE_RULE];	/* "network.allow: 10.20.0.0/16" */
};
const struct policy_range *policy_ranges(const struct policy *p, size_t *ret_n);
struct address_decision {
	bool allowed;
	enum reason reason;		/* when not allowed */
	const char *rule;		/* lives as long as the policy; "default" */
};
void policy_decide_address(const struct policy *p, const struct addr *a, uint8_t proto, uint16_t port,
			   struct address_decision *ret);

enum git_service { GIT_SERVICE_NONE = 0, GIT_SERVICE_UPLOAD_PACK, GIT_SERVICE_RECEIVE_PACK };
enum { POLICY_REPO_MAX = 512 };
struct repo_decision {
	bool allowed;
	enum reason reason;
	const char *rule;
	/* Its one spelling: asked for again it is the same. What is dialled, mirrored, linked and audited. */
	char repo[POLICY_REPO_MAX + 1];
};
/*
 * host canonical; repo "owner/repo" in any case, no .git. Where the host ignores case all spellings are one
 * repository, in lower case. Elsewhere each is another one, granted as the policy spells it: a pattern
 * letter by letter; an exact rule by any spelling, and it is the rule's that counts. A denial is of all spellings.
 */
void policy_decide_repo(const struct policy *p, const char *host, const char *repo,
			enum git_service service, struct repo_decision *ret);
/*
 * Requests to hosts that the proxy reads and that are no git hosts. `path` is raw, without its query; what
 * is not plain (see policy/http_rule.h) is refused. A host without rules may be asked anything plain.
 */
struct http_decision {
	bool allowed;
	enum reason reason;		/* when not allowed */
	const char *rule;
	bool upgrade;			/* the protocol may be upgraded */
	const char *credential;		/* lives as long as the policy; NULL: none */
};
void policy_decide_http(const struct policy *p, const char *host, struct rd method, struct rd path,
			struct http_decision *ret);
/* Does any row name this credential? */
bool policy_names_credential(const struct policy *p, const char *name);
/* Does the proxy read this port of the name: it is granted so, and the name is no git host. */
bool policy_is_http_host(const struct policy *p, const char *host, uint16_t port);

bool policy_is_git_host(const struct policy *p, const char *host);
/* Those of git.allowed_hosts, sorted; none when git is not enabled. Lives as long as the policy. */
const char *const *policy_git_hosts(const struct policy *p, size_t *ret_n);
bool policy_git_nested(const struct policy *p, const char *host);	/* deeper groups allowed */
enum git_source { GIT_SOURCE_UPSTREAM = 0, GIT_SOURCE_HOST_MIRROR };
enum git_source policy_git_source(const struct policy *p);
bool policy_git_stale_ok(const struct policy *p);	/* a mirror may answer for an upstream that is away */
bool policy_git_lfs(const struct policy *p);	/* objects of Git LFS go the way of their repository */

struct policy_limits {
	uint32_t connections, new_connections_per_second, dns_queries_per_second, names, git_transfers, upgrades,
		 audit_lines_per_second;
	uint64_t request_bytes;
};
const struct policy_limits *policy_limits(const struct policy *p);

/* The schema as a reference (Markdown), for documentation and `cordon check --schema`. */
void policy_print_schema(FILE *to);

#endif
