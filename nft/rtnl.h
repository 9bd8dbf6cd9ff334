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
/* Every address of this host; number or -errno. */
int rtnl_host_addresses(struct addr *ret, int max);
/* The same one by one, with the interface each belongs to: any number of them. */
typedef int rtnl_address_fn(void *owner, const struct addr *a, int index);	/* 0: go on */
int rtnl_addresses_each(rtnl_address_fn *fn, void *owner);
/* The address of an RTM_NEWADDR or RTM_DELADDR message; false: it is of no family we know. */
struct nlmsghdr;
bool rtnl_address_of(const struct nlmsghdr *h, struct addr *ret, int *ret_index);
/* Index, state and name of an RTM_NEWLINK or RTM_DELLINK message. */
bool rtnl_link_of(const struct nlmsghdr *h, struct rtnl_link *ret);

/*
 * One policy routing rule. table 0: unreachable. mask 0: any mark. Preferences, before main at 32766:
 * the host's own replies, the sandbox networks, one rule per IPv6 sandbox interface, steered packets.
 */
enum { RTNL_PREF_REPLY = 89, RTNL_PREF_NETWORK = 90, RTNL_PREF_INTERFACE = 91, RTNL_PREF_STEER = 101 };
struct rtnl_rule {
	uint8_t family;			/* 4 or 6 */
	uint32_t pref;
	struct prefix from;		/* family 0: any */
	const char *iif;		/* NULL: any */
	uint32_t mark, mask;
	uint32_t table;
};
int rtnl_rule(const struct rtnl_rule *r, bool add);
/* `local default dev lo` in a table of its own, where steered packets are looked up. */
int rtnl_local_table(uint32_t table, uint8_t family, bool add);

/* Backstop of one IPv6 sandbox interface: pref 91 iif IF without a state bit: unreachable. */
int rtnl_backstop_add(const char *interface);
int rtnl_backstop_del(const char *interface);
int rtnl_backstop_clear(void);			/* of every interface */

#endif
