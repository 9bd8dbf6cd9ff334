/*
 * uplinks.h - the interfaces that flows may leave by
 */
#ifndef NFT_UPLINKS_H
#define NFT_UPLINKS_H

#include "policy/host_config.h"

enum { UPLINKS_MAX = 16 };
/* Those of the configuration, or of the default routes as they are now. Number found or -errno. */
int uplinks_of(const struct host_config *c, char names[][16], int max);

#endif
