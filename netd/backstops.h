/*
 * backstops.h - the routing backstop of every interface that is policed
 */
#ifndef NETD_BACKSTOPS_H
#define NETD_BACKSTOPS_H

#include <stdbool.h>

#include "base/mem.h"
#include "netd/netd.h"

struct backstops;
int backstops_new(struct netd *n, struct backstops **ret); /* 0 or -errno; reads the rules there are */
void backstops_free(struct backstops *b);
DEFINE_AUTO(backstops, struct backstops *, backstops_free)

/* Before a sandbox is let in: its interface has one when this returns 0. Or -errno. */
int backstop_ensure(struct netd *n, const char *interface);
/* An interface appeared, or is gone: soon. */
void backstop_link(struct netd *n, const char *interface, bool gone);
/* Every interface of this host, and every rule whose interface is gone: soon. */
void backstops_check_all(struct netd *n);

#endif
