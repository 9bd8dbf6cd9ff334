/*
 * git_moved.h - where a git server says that a repository is now
 */
#ifndef GITPROXY_GIT_MOVED_H
#define GITPROXY_GIT_MOVED_H

#include "gitproxy/git_path.h"

/*
 * The canonical repository that a Location field leads to, when it leads to the same request (kind,
 * service) on the same https host. PARSE_BAD: it leads anywhere else. The policy has not been asked.
 */
enum parse gp_moved_parse(struct rd location, const char *host, enum gp_kind kind,
			  enum git_service service, char ret_repo[GP_REPO_MAX + 1]);

#endif
