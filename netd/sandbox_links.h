/*
 * sandbox_links.h - the interfaces of sandboxes
 */
#ifndef NETD_SANDBOX_LINKS_H
#define NETD_SANDBOX_LINKS_H

#include <stdbool.h>

#include "netd/netd.h"
#include "netd/registry.h"
#include "nft/rtnl.h"

/* Sysctls, backstop, and when the link is up routes and neighbours. 0 or -errno. */
int sandbox_link_fit(struct sandbox *s, const struct rtnl_link *link);
void sandbox_link_unfit(const struct netd *n, const struct sandbox *s);

/*
 * Look at every link: one that appeared, came up or was made anew is fitted out; one that is gone
 * under its name is taken down under whatever name it has now.
 */
void sandboxes_check_links(struct netd *n);
/* All sandbox links down or up again, for the time without a ruleset. */
void sandboxes_links(struct netd *n, bool up);

#endif
