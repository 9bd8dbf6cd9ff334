/*
 * upstream_ssh.h - requests of cordon-mirror to a git server that is reached by ssh. Private to upstream*.c
 */
#ifndef GITPROXY_KEEPER_UPSTREAM_SSH_H
#define GITPROXY_KEEPER_UPSTREAM_SSH_H

#include "gitproxy/keeper/upstream.h"

struct upstream_ssh {			/* borrowed */
	const struct host_config *config;
	const struct dial_ways *ways;
	int spawner;			/* ssh_spawner.h */
};

/*
 * As upstream_run(), for a request with a credential of kind CREDENTIAL_SSH: of upload-pack the
 * advertisement, or the body of a v2 request that cordon-mirror wrote; of receive-pack the advertisement,
 * or a push. Answered as an HTTP upstream would.
 */
void upstream_ssh_run(const struct upstream_ssh *u, const struct upstream_request *rq, struct upstream_outcome *ret);

#endif
