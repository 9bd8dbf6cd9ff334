/*
 * offload.h - packets whose checksum the kernel is told to write over something else
 */
#ifndef NFT_OFFLOAD_H
#define NFT_OFFLOAD_H

#include <stddef.h>

enum { OFFLOAD_WHY_MAX = 256 };

/*
 * Fill chain `check_offload` of the ruleset, which drops everything until then: with the rule that
 * refuses such packets, or, where the kernel cannot look at them, with one that lets all of them
 * on. The first call of a process needs root; later ones CAP_NET_ADMIN. 0, or -errno (-EPERM: not
 * root): then the chain still drops, and offload_missing() says why.
 */
int offload_rules(void);

/* What this host lacks for looking at such packets, as half a sentence; NULL when nothing. Needs
 * root, or an earlier call as root. For warnings and `cordon doctor`. */
const char *offload_missing(void);

#endif
