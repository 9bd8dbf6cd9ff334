/*
 * watch.c - what other software does to our table and our links
 *
 * Theory of operation: two multicast subscriptions (nftables changes, links) behind one epoll
 * descriptor, which the caller's loop polls. A message is only looked at to tell which of the three bits
 * it is; what to do about it is netd's. Our own element updates arrive here as well and mean nothing.
 * A lost message (ENOBUFS) means that anything may have happened.
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

#include "nft/ruleset.h"

enum { RECEIVE_BUFFER = 4 << 20, READS_MAX = 64 };

static int subscribe(int protocol, uint32_t group, int epoll)
{
	AUTO(fd) int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, protocol);
	struct sockaddr_nl sa = { .nl_family = AF_NETLINK };
	struct epoll_event ev = { .events = EPOLLIN };
	int force = RECEIVE_BUFFER;

	if (fd < 0 || bind(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0)
		return -errno;
	setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &force, sizeof(force));
	if (setsockopt(fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &group, sizeof(group)) < 0)
		return -errno;
	ev.data.fd = fd;
	if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &ev) < 0)
		return -errno;
	STEAL_FD(fd);				/* lives as long as the epoll descriptor: the process */
	return 0;
}

int ruleset_watch_open(void)
{
	AUTO(fd) int epoll = epoll_create1(EPOLL_CLOEXEC);
	int r;

	if (epoll < 0)
		return -errno;
	r = subscribe(NETLINK_NETFILTER, NFNLGRP_NFTABLES, epoll);
	if (r == 0)
		r = subscribe(NETLINK_ROUTE, RTNLGRP_LINK, epoll);
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

	if (mnl_nlmsg_get_payload_len(h) < sizeof(*g) || g->nfgen_family != NFPROTO_INET)
		return false;
	mnl_attr_parse(h, sizeof(*g), attr_name, &name);
	return name && !strcmp(name, "cordon");
}

static int bits_of(const struct nlmsghdr *h)
{
	switch (h->nlmsg_type) {
	case NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_DELTABLE:
		return about_us(h) ? WATCH_TABLE_GONE : 0;
	case NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_DELCHAIN:
	case NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_NEWRULE:
	case NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_DELRULE:
		return about_us(h) ? WATCH_RULES_CHANGED : 0;
	case RTM_NEWLINK:
	case RTM_DELLINK:
		return WATCH_LINK;
	default:
		return 0;
	}
}

static int read_one(int fd)
{
	char buf[1 << 16] __attribute__((aligned(8)));
	int bits = 0;

	for (int i = 0; i < READS_MAX; i++) {
		ssize_t n = recv(fd, buf, sizeof(buf), MSG_DONTWAIT);
		const struct nlmsghdr *h = (const struct nlmsghdr *)buf;
		int left = (int)n;

		if (n < 0 && errno == ENOBUFS)
			return WATCH_TABLE_GONE | WATCH_RULES_CHANGED | WATCH_LINK;
		if (n < 0)
			break;
		for (; mnl_nlmsg_ok(h, left); h = mnl_nlmsg_next(h, &left))
			bits |= bits_of(h);
	}
	return bits;
}

int ruleset_watch_read(int fd)
{
	struct epoll_event ev[2];
	int n = epoll_wait(fd, ev, ARRAY_SIZE(ev), 0), bits = 0;

	if (n < 0)
		return errno == EINTR ? 0 : -errno;
	for (int i = 0; i < n; i++)
		bits |= read_one(ev[i].data.fd);
	return bits;
}
