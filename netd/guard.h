/*
 * guard.h - what other software does to the ruleset and to sandbox links
 */
#ifndef NETD_GUARD_H
#define NETD_GUARD_H

#include "base/mem.h"
#include "netd/netd.h"

/* Takes the descriptor of ruleset_watch_open(). 0 or -errno. */
int guard_new(struct netd *n, int fd /* takes */, struct guard **ret);
void guard_free(struct guard *g);
DEFINE_AUTO(guard, struct guard *, guard_free)
/* The rules are as they should be now: we changed them ourselves. Nothing while there is no guard
 * yet. */
void guard_settle(struct netd *n);

#endif
