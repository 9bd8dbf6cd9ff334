/*
 * ssh_args.h - how ssh is called: one template, nothing free in it
 */
#ifndef GITPROXY_KEEPER_SSH_ARGS_H
#define GITPROXY_KEEPER_SSH_ARGS_H

#include "base/addr.h"
#include "gitproxy/git_path.h"
#include "policy/host_config.h"

enum { SSH_ARGS_MAX = 128, SSH_ARGS_TEXT = 8192 };
#define SSH_PROGRAM "/usr/bin/ssh"

struct ssh_call {			/* all borrowed */
	const struct host_credential *credential;	/* of kind CREDENTIAL_SSH */
	const char *known_hosts;	/* path of the file with its host's keys */
	struct addr to;			/* checked by the keeper's filter */
	enum git_service service;
	const char *repo;		/* canonical */
	unsigned connect_s;
};

struct ssh_args {
	const char *argv[SSH_ARGS_MAX];	/* into text, or constants */
	char text[SSH_ARGS_TEXT];
};

/* False: something in it must not become an argument, or there is no template for the service. */
bool ssh_args_make(const struct ssh_call *c, struct ssh_args *ret);

#endif
