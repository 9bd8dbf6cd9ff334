/*
 * flows.h - ending the flows of grants that were taken away, and only those
 */
#ifndef NETD_FLOWS_H
#define NETD_FLOWS_H

#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"

struct flow_key { /* what a grant let through */
	uint16_t profile;
	uint8_t proto;
	uint16_t port;
	struct addr to; /* synthetic */
};
/* Delete the conntrack entries of these, in one pass over the table. 0 or -errno. */
int flows_close(const struct flow_key *keys, size_t n);

#endif
