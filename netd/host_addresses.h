/*
 * host_addresses.h - this host's own addresses, as they are now
 */
#ifndef NETD_HOST_ADDRESSES_H
#define NETD_HOST_ADDRESSES_H

#include <stdbool.h>

#include "base/addr.h"
#include "base/mem.h"

struct host_addresses;
int host_addresses_new(struct host_addresses **ret); /* 0 or -errno; reads them all */
void host_addresses_free(struct host_addresses *h);
DEFINE_AUTO(host_addresses, struct host_addresses *, host_addresses_free)

bool host_addresses_has(const struct host_addresses *h, const struct addr *a);
/* An address appeared on a link, or went. True: the host has it now and had it nowhere before. */
bool host_addresses_put(struct host_addresses *h, const struct addr *a, int link);
void host_addresses_del(struct host_addresses *h, const struct addr *a, int link);
/* Read all of them again, after events were lost. 0 or -errno: then the old ones stay. */
int host_addresses_read(struct host_addresses *h);

#endif
