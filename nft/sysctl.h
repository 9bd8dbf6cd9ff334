/*
 * sysctl.h - kernel settings that the ruleset relies on; former values are kept and put back
 */
#ifndef NFT_SYSCTL_H
#define NFT_SYSCTL_H

#include <stdio.h>

#include "policy/host_config.h"

/* Set what the host needs; former values go to STATE/firewall.saved once. 0 or -errno. */
int sysctl_apply_host(const struct host_config *c, FILE *to);
/* Put the saved values back and forget them. 0 also when nothing was saved. */
int sysctl_restore_host(const struct host_config *c, FILE *to);

#endif
