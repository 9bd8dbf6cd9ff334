/*
 * reload.h - a new generation of the policy, in force everywhere or nowhere
 */
#ifndef NETD_RELOAD_H
#define NETD_RELOAD_H

#include <stdint.h>

#include "netd/netd.h"

/*
 * Called once: code 0 or -errno, one line for people, and what the compiler said (all errors and
 * warnings, lines; "" when nothing).
 */
typedef void reload_fn(struct netd *n, uint64_t who, int code, const char *why,
		       const char *diagnostics);
void reload_start(struct netd *n, uint64_t who, reload_fn *fn);

#endif
