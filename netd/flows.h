/*
 * flows.h - ending the flows of grants that were taken away, and only those
 */
#ifndef NETD_FLOWS_H
#define NETD_FLOWS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"
#include "netd/names.h"

struct flow_key { /* what a grant let through */
	uint16_t profile;
	uint8_t proto;
	uint16_t port;
	struct prefix to; /* one synthetic address, or a range of real ones */
	bool kept;	  /* granted: stays, whatever else of the list it is in */
};
struct flow_list {
	struct flow_key *key; /* heap; freed by the owner */
	size_t n, cap;
	size_t lost; /* of n: those that are not kept */
};
/* Without memory nothing is added: the sandbox's packets stop all the same. */
void flows_lost(struct flow_list *l, struct flow_key key);
void flows_kept(struct flow_list *l, struct flow_key key);
/* A names_lost_fn; `owner` is a struct flow_list. */
void flows_add(void *owner, const struct addr *synthetic, const struct name_grant *g);
/* Delete the conntrack entries of these, in one pass over the table. 0 or -errno, which is logged. */
int flows_close(const struct flow_list *lost);
/*
 * Delete the conntrack entries of sandboxes that nobody knows (`known` says so of an id), so that no id
 * is given out that a flow still bears. Reads the whole table: at a start. 0 or -errno.
 */
struct ruleset;
struct registry;
int flows_close_orphans(struct ruleset *rules, const struct registry *registry);

#endif
