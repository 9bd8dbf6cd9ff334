/*
 * sandboxes.h - opening and closing sandboxes: parts, kernel elements, links, routes
 */
#ifndef NETD_SANDBOXES_H
#define NETD_SANDBOXES_H

#include <stddef.h>
#include <stdint.h>

#include "base/msg.h"
#include "netd/netd.h"
#include "netd/registry.h"

enum { SANDBOX_WHY_MAX = 512 };

/*
 * How an operation ended: code 0 or -errno and one line for people. `s` is the sandbox when it is
 * there (add), else NULL. Called exactly once.
 */
typedef void sandbox_fn(struct netd *n, uint64_t who, int code, const char *why, struct sandbox *s);

/* Register, publish, open. `who` comes back in fn. Not while a reload runs. */
void sandbox_add(struct netd *n, const struct msg_add *m, bool run, uint64_t who, sandbox_fn *fn);
/* Close, revoke, forget. */
void sandbox_rm(struct netd *n, const char *name, uint64_t who, sandbox_fn *fn);

/* At start: the kernel's identity maps, reconciled with the policy (profiles get their ids by it).
 */
int sandboxes_read_back(struct netd *n);
/* Static registrations of the configuration that are not there yet. */
void sandboxes_of_config(struct netd *n);

/* Write all identity elements again. 0 or -errno. */
int sandboxes_refill(struct netd *n);

void sandbox_audit(struct netd *n, const struct sandbox *s, const char *what);

#endif
