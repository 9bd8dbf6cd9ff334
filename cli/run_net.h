/*
 * run_net.h - the link of one `cordon run`: a veth pair between the host and a namespace without a
 * name
 */
#ifndef CLI_RUN_NET_H
#define CLI_RUN_NET_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/addr.h"

#define RUN_NET_GUEST "eth0" /* the guest's end */

struct run_link {
	char name[16]; /* host end */
	uint8_t host_mac[6], guest_mac[6];
	struct addr host[2], guest[2]; /* v4 of a /31, v6 of a /127 */
};

/* The link of slot n: the n-th /31 and /127. False: the networks have no such slot. */
bool run_link_of(const struct prefix *net4, const struct prefix *net6, uint32_t n,
		 struct run_link *ret);

/* In the new namespace, before the pair exists: settings that keep the kernel from talking by
 * itself. */
int run_net_quiet(void);
/* On the host: the pair with its other end in the namespace of pid, both up, and the host's
 * addresses. */
int run_net_create(const struct run_link *l, pid_t pid);
/* In the namespace, after run_net_create(): lo up, addresses, default routes, the host as
 * neighbour. */
int run_net_inside(const struct run_link *l);
/* On the host: remove the pair. Gone already is success. 0 or -errno (all of them). */
int run_net_remove(const char *name);

#endif
