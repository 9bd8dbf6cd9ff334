/*
 * sandbox_elements.h - what the kernel holds for one sandbox
 */
#ifndef NETD_SANDBOX_ELEMENTS_H
#define NETD_SANDBOX_ELEMENTS_H

#include "netd/netd.h"
#include "netd/registry.h"

/* What follows the name and the profile in an identity's note, by which a restarted netd knows it. */
#define SANDBOX_NOTE_RUN "run"
#define SANDBOX_NOTE_DHCP "dhcp"

/* Inside a transaction of the caller's: identity, neighbour, DHCP, limits. 0 or -errno. */
int sandbox_elements_put(struct netd *n, const struct sandbox *s);
/* A transaction of its own; what is gone already is fine. 0 or -errno. */
int sandbox_elements_del(struct netd *n, const struct sandbox *s);

/*
 * The limits of one generation of profiles in the place of another's, for the sandboxes whose limits
 * differ. The kernel counts flows in the element, so those that are there do not count against a new
 * limit of flows. 0 or -errno: then those of `from` are in force again, as far as the kernel lets them.
 */
struct profiles;
int sandbox_limits_replace(struct netd *n, const struct profiles *from, const struct profiles *to);
/*
 * After a restart: what the kernel holds besides identities is made what the registry and the policy say
 * now: missing ones put, differing ones replaced, others deleted. 0 or -errno.
 */
int sandbox_elements_reconcile(struct netd *n);

#endif
