/*
 * firewall.h - the static part: ruleset text, sysctls, routing rules; what must be there before any VM
 */
#ifndef NFT_FIREWALL_H
#define NFT_FIREWALL_H

#include <stdbool.h>
#include <stdio.h>

#include "policy/host_config.h"

enum { STEER_TABLE = 17220 };	/* routing table that makes steered packets local; nobody else may use it */

/* Load (or reload: maps keep their elements) the ruleset only. For netd after a flush. 0 or -errno;
 * err (may be NULL) gets what libnftables said, one line. */
int firewall_load(const struct host_config *c, char *err, size_t cap);

/*
 * Everything: ruleset, sysctls (former values saved in STATE/firewall.saved), routing rules and the
 * route of STEER_TABLE. Idempotent. Errors are told on `to` as one line each: what and what to do.
 */
int firewall_start(const struct host_config *c, FILE *to);
/* Restore sysctls, remove rules and tables. Refused as firewall_may_stop() says. */
int firewall_stop(const struct host_config *c, FILE *to);
/* 0, or -EBUSY (told on `to`) while a sandbox interface is up. */
int firewall_may_stop(const struct host_config *c, FILE *to);
/* A kernel feature that is missing, each told on `to` with what to do; number of problems. */
int firewall_check_kernel(const struct host_config *c, FILE *to);
/* Per-interface sysctls of a sandbox interface (rp_filter 1, accept_ra 0, keep_addr_on_down, ...). */
int firewall_interface_sysctls(const char *interface);

#endif
