/*
 * front.h - the process that sandboxes talk to
 */
#ifndef GITPROXY_FRONT_FRONT_H
#define GITPROXY_FRONT_FRONT_H

#include "base/audit.h"
#include "policy/host_config.h"

enum { FRONT_LISTENERS = 2 };

struct front_spec {
	const struct host_config *config;
	struct audit *audit;
	int listener[FRONT_LISTENERS];		/* non-blocking; -1: none */
	int keeper;				/* our end of the pair */
	int ready_fd;				/* told when we serve; -1: none */
};
/*
 * Rights are dropped already. Serves until SIGTERM or SIGINT (0), or until the keeper is gone or
 * something failed (-errno). Threads may still run when it returns: _exit().
 */
int front_run(const struct front_spec *spec);

#endif
