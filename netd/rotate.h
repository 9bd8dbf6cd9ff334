/*
 * rotate.h - every part's audit log goes on in a new file
 */
#ifndef NETD_ROTATE_H
#define NETD_ROTATE_H

#include "base/msg.h"
#include "netd/netd.h"

/*
 * ROTATE came with its descriptors: ours is used at once, those of the parts that are connected go
 * to them. fn is called once, when all have changed over (0) or did not in time (-ETIMEDOUT), or at
 * once with -EPROTO (the descriptors are not what the message says), -ENOMEM.
 */
typedef void rotate_fn(struct netd *n, uint64_t who, int code, const char *why);
void rotate_start(struct netd *n, const struct ipc_in *in, uint64_t who, rotate_fn *fn);

#endif
