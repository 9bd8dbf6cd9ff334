/*
 * confine.h - the system calls, files and ports that the keeper may use
 */
#ifndef GITPROXY_KEEPER_CONFINE_H
#define GITPROXY_KEEPER_CONFINE_H

#include "policy/host_config.h"

/* Before the first thread. 0 or -errno. */
int keeper_confine(const struct host_config *c);

#endif
