/*
 * run_net.c - the link of one `cordon run`: a veth pair between the host and a namespace without a
 * name
 *
 * Theory of operation: rtnetlink requests over one short-lived socket, each acknowledged before the
 * next. The pair is made in one request with fixed link addresses, the guest's end born in its
 * namespace, so that nothing of it is ever half there. That end has IFF_NOARP and permanent
 * neighbours, and address generation, router solicitation and duplicate detection are off: the
 * guest's kernel then says nothing by itself, so every refusal in the audit was the command's
 * doing. The namespace has no name in the file system: when its last process ends, the kernel
 * removes it and the pair with it, whatever happened to us.
 */
#include "cli/run_net.h"

#include <errno.h>
#include <fcntl.h>
#include <libmnl/libmnl.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <net/if.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "base/mem.h"

enum { MESSAGE_MAX = 1024, SLOT_MAX = 0xffff };

typedef struct mnl_socket *mnl_socket_ptr;
static void socket_close(struct mnl_socket *s)
{
	mnl_socket_close(s);
}
DEFINE_AUTO(mnl_socket, mnl_socket_ptr, socket_close)

struct request {
	struct mnl_socket *s;
	struct nlmsghdr *h;
	char buf[MESSAGE_MAX] __attribute__((aligned(8)));
};

static struct mnl_socket *open_socket(void)
{
	struct mnl_socket *s = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC);

	if (s && mnl_socket_bind(s, 0, MNL_SOCKET_AUTOPID) < 0) {
		mnl_socket_close(s);
		s = NULL;
	}
	return s;
}

static void *begin(struct request *q, uint16_t type, uint16_t flags, size_t head)
{
	q->h = mnl_nlmsg_put_header(q->buf);
	q->h->nlmsg_type = type;
	q->h->nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK | flags;
	return mnl_nlmsg_put_extra_header(q->h, head);
}

static int finish(struct request *q)
{
	char answer[MESSAGE_MAX * 4] __attribute__((aligned(8)));
	ssize_t n;

	if (mnl_socket_sendto(q->s, q->h, q->h->nlmsg_len) < 0)
		return -errno;
	n = mnl_socket_recvfrom(q->s, answer, sizeof(answer));
	if (n < 0 || mnl_cb_run(answer, (size_t)n, 0, mnl_socket_get_portid(q->s), NULL, NULL) < 0)
		return -errno;
	return 0;
}

/* Addresses of slot n, and link addresses that carry n, so that a packet dump is readable. */
bool run_link_of(const struct prefix *net4, const struct prefix *net6, uint32_t n,
		 struct run_link *ret)
{
	struct run_link l = {
		.host_mac = { 0x02, 0xcd, 0, 0, (uint8_t)(n >> 8), (uint8_t)n },
		.guest_mac = { 0x02, 0xcd, 1, 0, (uint8_t)(n >> 8), (uint8_t)n },
	};
	const struct prefix *net[2] = { net4, net6 };

	if (n >= SLOT_MAX)
		return false;
	snprintf(l.name, sizeof(l.name), "cdn%04u", n);
	for (int i = 0; i < 2; i++) {
		l.host[i] = addr_plus(&net[i]->addr, 2 * (uint64_t)n);
		l.guest[i] = addr_plus(&net[i]->addr, 2 * (uint64_t)n + 1);
		if (!prefix_has(net[i], &l.guest[i]))
			return false;
	}
	*ret = l;
	return true;
}

/* For a new namespace "default" is what its links begin with. */
int run_net_quiet(void)
{
	static const struct {
		const char *path, *value;
	} settings[] = {
		{ "/proc/sys/net/ipv6/conf/default/addr_gen_mode", "1" },
		{ "/proc/sys/net/ipv6/conf/default/router_solicitations", "0" },
		{ "/proc/sys/net/ipv6/conf/default/accept_ra", "0" },
		{ "/proc/sys/net/ipv6/conf/default/accept_dad", "0" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(settings); i++) {
		AUTO(fd) int fd = open(settings[i].path, O_WRONLY | O_CLOEXEC);

		if (fd < 0 || write(fd, settings[i].value, strlen(settings[i].value)) < 0)
			return -errno;
	}
	return 0;
}

static void put_peer(struct nlmsghdr *h, const struct run_link *l, pid_t pid)
{
	struct nlattr *info = mnl_attr_nest_start(h, IFLA_LINKINFO), *data, *peer;
	struct ifinfomsg *i;

	mnl_attr_put_strz(h, IFLA_INFO_KIND, "veth");
	data = mnl_attr_nest_start(h, IFLA_INFO_DATA);
	peer = mnl_attr_nest_start(h, VETH_INFO_PEER);
	i = mnl_nlmsg_put_extra_header(h, sizeof(*i));
	i->ifi_flags = i->ifi_change = IFF_NOARP; /* it cannot be up before it has its peer */
	mnl_attr_put_strz(h, IFLA_IFNAME, RUN_NET_GUEST);
	mnl_attr_put(h, IFLA_ADDRESS, 6, l->guest_mac);
	mnl_attr_put_u32(h, IFLA_NET_NS_PID, (uint32_t)pid);
	mnl_attr_nest_end(h, peer);
	mnl_attr_nest_end(h, data);
	mnl_attr_nest_end(h, info);
}

static int add_pair(struct mnl_socket *s, const struct run_link *l, pid_t pid)
{
	struct request q = { .s = s };
	struct ifinfomsg *i = begin(&q, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, sizeof(*i));

	i->ifi_flags = i->ifi_change = IFF_UP;
	mnl_attr_put_strz(q.h, IFLA_IFNAME, l->name);
	mnl_attr_put(q.h, IFLA_ADDRESS, 6, l->host_mac);
	put_peer(q.h, l, pid);
	return finish(&q);
}

static int set_up(struct mnl_socket *s, unsigned index)
{
	struct request q = { .s = s };
	struct ifinfomsg *i = begin(&q, RTM_NEWLINK, 0, sizeof(*i));

	i->ifi_index = (int)index;
	i->ifi_flags = i->ifi_change = IFF_UP;
	return finish(&q);
}

static int add_address(struct mnl_socket *s, unsigned index, const struct addr *a)
{
	struct request q = { .s = s };
	struct ifaddrmsg *m = begin(&q, RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, sizeof(*m));

	m->ifa_family = a->family == 6 ? AF_INET6 : AF_INET;
	m->ifa_prefixlen = a->family == 6 ? 127 : 31;
	m->ifa_flags = a->family == 6 ? IFA_F_NODAD : 0;
	m->ifa_index = index;
	mnl_attr_put(q.h, IFA_LOCAL, addr_len(a), a->b);
	mnl_attr_put(q.h, IFA_ADDRESS, addr_len(a), a->b);
	return finish(&q);
}

static int add_neighbour(struct mnl_socket *s, unsigned index, const struct addr *a,
			 const uint8_t mac[6])
{
	struct request q = { .s = s };
	struct ndmsg *m = begin(&q, RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_REPLACE, sizeof(*m));

	m->ndm_family = a->family == 6 ? AF_INET6 : AF_INET;
	m->ndm_ifindex = (int)index;
	m->ndm_state = NUD_PERMANENT;
	mnl_attr_put(q.h, NDA_DST, addr_len(a), a->b);
	mnl_attr_put(q.h, NDA_LLADDR, 6, mac);
	return finish(&q);
}

static int add_default_route(struct mnl_socket *s, unsigned index, const struct addr *gateway)
{
	struct request q = { .s = s };
	struct rtmsg *m = begin(&q, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL, sizeof(*m));

	m->rtm_family = gateway->family == 6 ? AF_INET6 : AF_INET;
	m->rtm_table = RT_TABLE_MAIN;
	m->rtm_protocol = RTPROT_STATIC;
	m->rtm_scope = RT_SCOPE_UNIVERSE;
	m->rtm_type = RTN_UNICAST;
	mnl_attr_put(q.h, RTA_GATEWAY, addr_len(gateway), gateway->b);
	mnl_attr_put_u32(q.h, RTA_OIF, index);
	return finish(&q);
}

int run_net_create(const struct run_link *l, pid_t pid)
{
	AUTO(mnl_socket) struct mnl_socket *s = open_socket();
	int r = s ? add_pair(s, l, pid) : -errno;
	unsigned index;

	if (r < 0)
		return r;
	index = if_nametoindex(l->name);
	if (!index)
		return -errno;
	r = add_address(s, index, &l->host[0]);
	return r < 0 ? r : add_address(s, index, &l->host[1]);
}

static int guest_family(struct mnl_socket *s, unsigned index, const struct run_link *l, int i)
{
	int r = add_address(s, index, &l->guest[i]);

	if (!r)
		r = add_neighbour(s, index, &l->host[i], l->host_mac);
	return r < 0 ? r : add_default_route(s, index, &l->host[i]);
}

int run_net_inside(const struct run_link *l)
{
	AUTO(mnl_socket) struct mnl_socket *s = open_socket();
	unsigned lo = if_nametoindex("lo"), index = if_nametoindex(RUN_NET_GUEST);
	int r;

	if (!s || !lo || !index)
		return -errno;
	r = set_up(s, lo);
	if (!r)
		r = set_up(s, index);
	if (!r)
		r = guest_family(s, index, l, 0);
	return r < 0 ? r : guest_family(s, index, l, 1);
}

int run_net_remove(const char *name)
{
	AUTO(mnl_socket) struct mnl_socket *s = open_socket();
	struct request q = { .s = s };
	struct ifinfomsg *i = begin(&q, RTM_DELLINK, 0, sizeof(*i));
	int r;

	(void)i;
	if (!s)
		return -errno;
	mnl_attr_put_strz(q.h, IFLA_IFNAME, name);
	r = finish(&q);
	return r == -ENODEV ? 0 : r;
}
