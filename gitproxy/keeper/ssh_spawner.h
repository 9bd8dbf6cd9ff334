/*
 * ssh_spawner.h - the small process that starts ssh
 *
 * Theory of operation: SSH brings four descriptors, standard input, output and error of the ssh to be,
 * and a socket that stands for the request: when the keeper closes its end of it, ssh and whatever it
 * started are killed; when ssh ends first, SSH_ENDED comes on it. Nothing is answered on the pair.
 */
#ifndef GITPROXY_KEEPER_SSH_SPAWNER_H
#define GITPROXY_KEEPER_SSH_SPAWNER_H

#include "base/msg.h"
#include "gitproxy/git_path.h"
#include "policy/host_config.h"

enum { SSH_CHILDREN_MAX = 64 };
enum { SSH_IN = 0, SSH_OUT = 1, SSH_ERR = 2, SSH_LIFE = 3, SSH_FDS };	/* descriptors of SSH */

struct ssh_start {
	uint16_t credential;		/* its number in the configuration */
	uint8_t service;		/* enum git_service */
	uint8_t pad_[5];
	struct addr to;
	uint8_t pad2_[7];
	char repo[GP_REPO_MAX + 1];	/* canonical */
};

struct ssh_ended {
	int32_t result;			/* 0, or -errno: it was not started */
	int32_t status;			/* its exit status; -1: a signal */
};

/*
 * As root, before any secret is read: writes the files with the hosts' keys and forks the process.
 * Its pair; -ENOENT when no credential needs ssh; or -errno.
 */
int ssh_spawner_start(const struct host_config *c);

#endif
