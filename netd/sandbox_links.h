/*
 * sandbox_links.h - the interfaces of sandboxes
 */
#ifndef NETD_SANDBOX_LINKS_H
#define NETD_SANDBOX_LINKS_H

#include <stdbool.h>

#include "base/mem.h"
#include "netd/netd.h"
#include "netd/registry.h"
#include "nft/rtnl.h"

struct links;
int links_new(struct netd *n, struct links **ret); /* 0 or -errno */
void links_free(struct links *l);
DEFINE_AUTO(links, struct links *, links_free)

/* Settings, and when the link is up routes and neighbours. 0 or -errno. */
int sandbox_link_fit(struct netd *n, struct sandbox *s, const struct rtnl_link *link);
void sandbox_link_unfit(const struct sandbox *s);

/*
 * A link changed, or is gone. The sandboxes that it concerns are looked at in a later turn: one that
 * appeared, came up or was made anew is fitted out; one that left its name is taken down under
 * whatever name it has now.
 */
void sandbox_links_changed(struct netd *n, int index, const char *name, bool gone);
/* Look at every one, some in each turn: nobody knows what happened to them. */
void sandbox_links_check_all(struct netd *n);
/* The runs whose link went while a reload kept them from being removed. */
void sandbox_links_check_runs(struct netd *n);
/* All of them down at once, or up again, for the time without a ruleset. */
void sandbox_links_all(struct netd *n, bool up);

#endif
