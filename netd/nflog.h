/*
 * nflog.h - refused packets, as the ruleset logs them
 */
#ifndef NETD_NFLOG_H
#define NETD_NFLOG_H

#include "base/mem.h"
#include "netd/netd.h"

/* Join the ruleset's log group and write what comes to the audit. 0 or -errno. Before the drop or
 * after. */
int nflog_new(struct netd *n, struct nflog **ret);
void nflog_free(struct nflog *g);
/* Read what has been logged up to now. */
void nflog_drain(struct nflog *g);
DEFINE_AUTO(nflog, struct nflog *, nflog_free)

#endif
