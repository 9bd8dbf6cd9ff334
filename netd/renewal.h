/*
 * renewal.h - the proxy's CA is renewed: its parts are told, in order
 */
#ifndef NETD_RENEWAL_H
#define NETD_RENEWAL_H

#include "base/msg.h"
#include "netd/netd.h"

/*
 * RENEW came with its descriptor. fn is called once: 0, when keeper and proxy have acknowledged;
 * -ENOTCONN, when no keeper is connected; -ETIMEDOUT; the keeper's own error, and then the proxy was
 * told nothing; or at once with -EPROTO, -ENOMEM.
 */
typedef void renewal_fn(struct netd *n, uint64_t who, int code, const char *why);
void renewal_start(struct netd *n, const struct ipc_in *in, uint64_t who, renewal_fn *fn);

#endif
