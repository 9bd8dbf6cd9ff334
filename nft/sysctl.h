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

/*
 * Settings that are not as Cordon makes them: the host's and the uplinks' (interface NULL), or those of one
 * sandbox interface. What the kernel does not have is left out. path: below /proc/sys.
 */
struct sysctl_state {
	const char *path, *now, *wanted, *why;
};
void sysctl_each_wrong(const struct host_config *c, const char *interface,
		       void (*fn)(void *owner, const struct sysctl_state *s), void *owner);

#endif
