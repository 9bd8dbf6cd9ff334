/*
 * rtnl.h - links, neighbours, routes and policy routing rules through rtnetlink
 *
 * Every "add" is idempotent (already there is success), every "del" too. 0 or -errno.
 */
#ifndef NFT_RTNL_H
#define NFT_RTNL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/addr.h"
#include "policy/mark.h"

struct rtnl_link { int index; bool up; bool bridged; /* has a master */ uint8_t mac[6]; char name[16]; };
int rtnl_link_get(const char *name, struct rtnl_link *ret);	/* -ENODEV: no such interface */
int rtnl_link_by_index(int index, struct rtnl_link *ret);	/* likewise */
typedef int rtnl_link_fn(void *owner, const struct rtnl_link *l);	/* 0: go on */
int rtnl_links_each(rtnl_link_fn *fn, void *owner);		/* all of them, in one dump */
int rtnl_link_set(int index, bool up);
int rtnl_neigh_add(int index, const struct addr *a, const uint8_t mac[6]);	/* permanent */
int rtnl_neigh_del(int index, const struct addr *a);
int rtnl_route_add(int index, const struct addr *host);		/* /32 or /128, scope link */
int rtnl_route_del(int index, const struct addr *host);

/* Names of the interfaces of default routes; up to max. Number found or -errno. */
int rtnl_default_links(char names[][16], int max);
/* Every address of this host, one by one, with the interface each belongs to. */
typedef int rtnl_address_fn(void *owner, const struct addr *a, int index);	/* 0: go on */
int rtnl_addresses_each(rtnl_address_fn *fn, void *owner);
/* The address of an RTM_NEWADDR or RTM_DELADDR message; false: it is of no family we know. */
struct nlmsghdr;
bool rtnl_address_of(const struct nlmsghdr *h, struct addr *ret, int *ret_index);
/* Index, state and name of an RTM_NEWLINK or RTM_DELLINK message. */
bool rtnl_link_of(const struct nlmsghdr *h, struct rtnl_link *ret);

/*
 * Policy routing rules, before main at 32766. Packets that Cordon lets pass, and the host's own, jump over
 * the rest: the number of sandboxes must not slow them down.
 */
enum {
	RTNL_PREF_OWN = 86,		/* made on this host: to the end */
	RTNL_PREF_PASSING,		/* with a state bit that forwards: to the end */
	RTNL_PREF_STEER,		/* steered: a table of their own */
	RTNL_PREF_NETWORK = 90,		/* from a sandbox network: unreachable */
	RTNL_PREF_UPLINK,		/* IPv6, in by an uplink: to the end */
	RTNL_PREF_INTERFACE,		/* IPv6, in by a sandbox interface: unreachable */
	RTNL_PREF_END = 102		/* where the others jump to: does nothing */
};
enum rtnl_action { RTNL_UNREACHABLE = 0, RTNL_TABLE, RTNL_GOTO, RTNL_NOP };
struct rtnl_rule {
	uint8_t family;			/* 4 or 6 */
	uint32_t pref;
	struct prefix from;		/* family 0: any */
	const char *iif;		/* NULL: any */
	uint32_t mark, mask;		/* mask 0: any mark */
	enum rtnl_action action;
	uint32_t to;			/* the table, or the preference to go to */
};
int rtnl_rule(const struct rtnl_rule *r, bool add);
/* `local default dev lo` in a table of its own, where steered packets are looked up. */
int rtnl_local_table(uint32_t table, uint8_t family, bool add);

/* Delete every rule that is like this one, whatever its interface. */
int rtnl_rules_clear(const struct rtnl_rule *like);

/* Backstop of one IPv6 sandbox interface: in by it without a state bit: unreachable. */
int rtnl_backstop_add(const char *interface);
int rtnl_backstop_del(const char *interface);
typedef int rtnl_backstop_fn(void *owner, const char *interface);	/* 0: go on */
int rtnl_backstops_each(rtnl_backstop_fn *fn, void *owner);
int rtnl_backstop_clear(void);			/* of every interface */

#endif
