/*
 * ranges.h - addresses that profiles grant without a name: the maps of ranges
 */
#ifndef NETD_RANGES_H
#define NETD_RANGES_H

#include "netd/flows.h"
#include "netd/profiles.h"
#include "nft/ruleset.h"

/*
 * Bring the maps into line with the policies, in one transaction: 0 or -errno (then nothing
 * changed). Writes nothing when nothing changes. `lost` (may be NULL) gets what was taken away.
 */
int ranges_rebase(struct ruleset *rules, const struct profiles *p, struct flow_list *lost);

#endif
