/*
 * sandbox_elements.h - what the kernel holds for one sandbox
 */
#ifndef NETD_SANDBOX_ELEMENTS_H
#define NETD_SANDBOX_ELEMENTS_H

#include "netd/netd.h"
#include "netd/registry.h"

/* Inside a transaction of the caller's: identity, neighbour, DHCP, limits. 0 or -errno. */
int sandbox_elements_put(struct netd *n, const struct sandbox *s);
/* A transaction of its own; what is gone already is fine. 0 or -errno. */
int sandbox_elements_del(struct netd *n, const struct sandbox *s);

#endif
