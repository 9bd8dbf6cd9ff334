/*
 * liveness.h - names stay alive: dead real addresses are left, names in use followed, unused ones forgotten
 */
#ifndef NETD_LIVENESS_H
#define NETD_LIVENESS_H

#include "base/mem.h"
#include "netd/netd.h"

/* Before the rights are dropped: it reads a setting of the kernel's. 0 or -errno. */
int liveness_new(struct netd *n, struct liveness **ret);
/* Names have been read back, parts may be spoken to. 0 or -errno. */
int liveness_start(struct netd *n);
void liveness_free(struct liveness *lv);
DEFINE_AUTO(liveness, struct liveness *, liveness_free)

#endif
