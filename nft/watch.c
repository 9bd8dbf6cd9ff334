/*
 * watch.c - what other software does to our tables, links and addresses
 *
 * Theory of operation: two sockets (nftables changes; links and addresses) behind one epoll descriptor,
 * which the caller's loop polls. A message becomes one event that says what changed; whether that
 * matters, and what is there now, is for netd to see. Our own element updates arrive here as well and
 * mean nothing. A lost message (ENOBUFS) means that anything may have happened: all events at once.
 */
#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <libmnl/libmnl.h>

#include "nft/rtnl.h"
#include "nft/ruleset.h"

enum { RECEIVE_BUFFER = 4 << 20, READS_MAX = 64 };

static int subscribe(int protocol, const uint32_t *groups, size_t n, int epoll)
{
	AUTO(fd) int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, protocol);
	struct sockaddr_nl sa = { .nl_family = AF_NETLINK };
	struct epoll_event ev = { .events = EPOLLIN };
	int force = RECEIVE_BUFFER;

	if (fd < 0 || bind(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0)
		return -errno;
	setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &force, sizeof(force));
	for (size_t i = 0; i < n; i++)
		if (setsockopt(fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &groups[i], sizeof(groups[i])) < 0)
			return -errno;
	ev.data.fd = fd;
	if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &ev) < 0)
		return -errno;
	STEAL_FD(fd);				/* lives as long as the epoll descriptor: the process */
	return 0;
}

int ruleset_watch_open(void)
{
	static const uint32_t tables[] = { NFNLGRP_NFTABLES };
	static const uint32_t links[] = { RTNLGRP_LINK, RTNLGRP_IPV4_IFADDR, RTNLGRP_IPV6_IFADDR };
	AUTO(fd) int epoll = epoll_create1(EPOLL_CLOEXEC);
	int r;

	if (epoll < 0)
		return -errno;
	r = subscribe(NETLINK_NETFILTER, tables, ARRAY_SIZE(tables), epoll);
	if (r == 0)
		r = subscribe(NETLINK_ROUTE, links, ARRAY_SIZE(links), epoll);
	return r < 0 ? r : STEAL_FD(epoll);
}

static int attr_name(const struct nlattr *a, void *owner)
{
	const char **name = owner;

	if (mnl_attr_get_type(a) == NFTA_TABLE_NAME && mnl_attr_validate(a, MNL_TYPE_NUL_STRING) >= 0)
		*name = mnl_attr_get_str(a);
	return MNL_CB_OK;
}

/* NFTA_TABLE_NAME, NFTA_CHAIN_TABLE and NFTA_RULE_TABLE are all attribute 1. */
static bool about_us(const struct nlmsghdr *h)
{
	const struct nfgenmsg *g = mnl_nlmsg_get_payload(h);
	const char *name = NULL;

	if (mnl_nlmsg_get_payload_len(h) < sizeof(*g) ||
	    (g->nfgen_family != NFPROTO_INET && g->nfgen_family != NFPROTO_ARP))
		return false;
	mnl_attr_parse(h, sizeof(*g), attr_name, &name);
	return name && !strcmp(name, "cordon");
}

static bool link_event(const struct nlmsghdr *h, struct watch_event *e)
{
	const struct ifinfomsg *i = mnl_nlmsg_get_payload(h);
	struct rtnl_link l;

	if (!rtnl_link_of(h, &l) || i->ifi_family != AF_UNSPEC)
		return false;			/* a bridge tells of its ports in family AF_BRIDGE */
	e->what = WATCH_LINK;
	e->gone = h->nlmsg_type == RTM_DELLINK;
	e->index = l.index;
	memcpy(e->name, l.name, sizeof(e->name));
	return true;
}

static bool event_of(const struct nlmsghdr *h, struct watch_event *e)
{
	switch (h->nlmsg_type) {
	case NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_DELTABLE:
		e->what = WATCH_TABLE_GONE;
		return about_us(h);
	case NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_DELCHAIN:
	case NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_NEWRULE:
	case NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_DELRULE:
		e->what = WATCH_RULES_CHANGED;
		return about_us(h);
	case RTM_NEWLINK:
	case RTM_DELLINK:
		return link_event(h, e);
	case RTM_NEWADDR:
	case RTM_DELADDR:
		e->what = WATCH_ADDRESS;
		e->gone = h->nlmsg_type == RTM_DELADDR;
		return rtnl_address_of(h, &e->addr, &e->index);
	default:
		return false;
	}
}

static void tell_all(ruleset_watch_fn *fn, void *owner)
{
	static const enum watch_what all[] = { WATCH_TABLE_GONE, WATCH_RULES_CHANGED, WATCH_LOST };

	for (size_t i = 0; i < ARRAY_SIZE(all); i++)
		fn(owner, &(struct watch_event){ .what = all[i] });
}

static void read_one(int fd, ruleset_watch_fn *fn, void *owner)
{
	char buf[1 << 16] __attribute__((aligned(8)));

	for (int i = 0; i < READS_MAX; i++) {
		ssize_t n = recv(fd, buf, sizeof(buf), MSG_DONTWAIT);
		const struct nlmsghdr *h = (const struct nlmsghdr *)buf;
		int left = (int)n;

		if (n < 0 && errno == ENOBUFS)
			tell_all(fn, owner);
		if (n < 0)
			break;
		for (; mnl_nlmsg_ok(h, left); h = mnl_nlmsg_next(h, &left)) {
			struct watch_event e = { 0 };

			if (event_of(h, &e))
				fn(owner, &e);
		}
	}
}

int ruleset_watch_read(int fd, ruleset_watch_fn *fn, void *owner)
{
	struct epoll_event ev[2];
	int n = epoll_wait(fd, ev, ARRAY_SIZE(ev), 0);

	if (n < 0)
		return errno == EINTR ? 0 : -errno;
	for (int i = 0; i < n; i++)
		read_one(ev[i].data.fd, fn, owner);
	return 0;
}
