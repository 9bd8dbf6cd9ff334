/*
 * git_path.h - what a request target on a git host asks for
 *
 * The grammar is closed: what does not match it is refused, not passed on as "something else".
 * Spec: git's Documentation/gitprotocol-http.txt; threats C1-C3.
 */
#ifndef GITPROXY_GIT_PATH_H
#define GITPROXY_GIT_PATH_H

#include <stdbool.h>

#include "base/bytes.h"
#include "gitproxy/lfs.h"
#include "policy/policy.h"
#include "policy/reason.h"

enum {
	GP_OWNER_MAX = 39,	/* bytes of an owner on hosts of the owner/repo style */
	GP_NAME_MAX = 100,	/* bytes of a repository or group name, without .git */
	GP_DEPTH_MAX = 8,	/* names in a repository's path, on hosts with nested groups */
	GP_REPO_MAX = 255	/* bytes of the whole canonical path */
};

enum gp_kind {
	GP_NONE = 0, GP_INFO_REFS, GP_RPC,
	GP_LFS_BATCH,		/* which objects may be had, or brought */
	GP_LFS_OBJECT,		/* one, by a link that Cordon made */
	GP_LFS_VERIFY,		/* did it arrive, by the same link */
	GP_LFS_LOCKS, GP_LFS_OTHER,	/* known by name, and never served */
	GP_KINDS
};
static inline bool gp_kind_is_lfs(enum gp_kind k) { return k >= GP_LFS_BATCH && k < GP_KINDS; }

struct gp_path {
	enum gp_kind kind;
	enum git_service service;
	char repo[GP_REPO_MAX + 1]; /* canonical: no slash at an end, no .git; case as it came */
	/* Of OBJECT and VERIFY. A link that is missing or none of ours by its form is all zero, which opens nothing. */
	uint8_t oid[LFS_OID], link[LFS_LINK];
};

/*
 * PARSE_OK with everything filled, or PARSE_BAD with the reason and whatever of repo and service is
 * certain (for the audit). `nested`: the host has deeper groups than owner/repo. Kinds of LFS leave the
 * service open: a path does not tell which way objects go.
 */
enum parse gp_path_parse(struct rd target, bool nested, struct gp_path *ret,
			 enum reason *ret_reason);

/* Is this a canonical repository path, as gp_path_parse() makes them? The keeper asks again. */
bool gp_repo_valid(struct rd repo, bool nested);

#endif
