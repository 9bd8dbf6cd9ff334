/*
 * rtnl.c - links, neighbours, routes and policy routing rules through rtnetlink
 *
 * Theory of operation: one short-lived socket per request. These are rare (a sandbox added or removed),
 * so there is no state to keep and nothing to lose; in return each function stands alone.
 */
#include "nft/rtnl.h"

#include <errno.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <linux/fib_rules.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <libmnl/libmnl.h>

#include "base/mem.h"

enum { MESSAGE_MAX = 4096, REPLY_MAX = 1 << 16 };

typedef struct mnl_socket *mnl_socket_ptr;
static void socket_close(struct mnl_socket *s) { mnl_socket_close(s); }
DEFINE_AUTO(mnl_socket, mnl_socket_ptr, socket_close)

static int family_of(const struct addr *a)
{
	return a->family == 6 ? AF_INET6 : AF_INET;
}

/* Send, run fn (may be NULL) on every answer, until the acknowledgement or the end of the dump. */
static int request(struct nlmsghdr *h, mnl_cb_t fn, void *owner)
{
	AUTO(mnl_socket) struct mnl_socket *s = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC);
	char buf[REPLY_MAX] __attribute__((aligned(8)));
	int r = 1;

	if (!s || mnl_socket_bind(s, 0, MNL_SOCKET_AUTOPID) < 0)
		return -errno;
	h->nlmsg_flags |= NLM_F_REQUEST | NLM_F_ACK;
	if (mnl_socket_sendto(s, h, h->nlmsg_len) < 0)
		return -errno;
	while (r > 0) {
		ssize_t n = mnl_socket_recvfrom(s, buf, sizeof(buf));

		if (n < 0)
			return -errno;
		r = mnl_cb_run(buf, (size_t)n, 0, mnl_socket_get_portid(s), fn, owner);
	}
	return r < 0 ? -errno : 0;
}

static struct nlmsghdr *message(char *buf, uint16_t type, uint16_t flags)
{
	struct nlmsghdr *h = mnl_nlmsg_put_header(buf);

	h->nlmsg_type = type;
	h->nlmsg_flags = flags;
	return h;
}

/* The idempotence of this module: there already, or gone already, is done. */
static int settled(int r, int harmless)
{
	return r == harmless ? 0 : r;
}

/* ---- links ---- */

static int link_attr(const struct nlattr *a, void *owner)
{
	struct rtnl_link *l = owner;

	switch (mnl_attr_get_type(a)) {
	case IFLA_IFNAME:
		snprintf(l->name, sizeof(l->name), "%s", mnl_attr_get_str(a));
		break;
	case IFLA_ADDRESS:
		if (mnl_attr_get_payload_len(a) == sizeof(l->mac))
			memcpy(l->mac, mnl_attr_get_payload(a), sizeof(l->mac));
		break;
	case IFLA_MASTER:
		l->bridged = true;
		break;
	default:
		break;
	}
	return MNL_CB_OK;
}

bool rtnl_link_of(const struct nlmsghdr *h, struct rtnl_link *ret)
{
	const struct ifinfomsg *i = mnl_nlmsg_get_payload(h);

	*ret = (struct rtnl_link){ 0 };
	if (mnl_nlmsg_get_payload_len(h) < sizeof(*i))
		return false;
	ret->index = i->ifi_index;
	ret->up = i->ifi_flags & IFF_UP;
	return mnl_attr_parse(h, sizeof(*i), link_attr, ret) >= 0;
}

static int link_answer(const struct nlmsghdr *h, void *owner)
{
	return rtnl_link_of(h, owner) ? MNL_CB_OK : MNL_CB_ERROR;
}

int rtnl_link_by_index(int index, struct rtnl_link *ret)
{
	char buf[MESSAGE_MAX] __attribute__((aligned(8)));
	struct nlmsghdr *h = message(buf, RTM_GETLINK, 0);
	struct ifinfomsg *i = mnl_nlmsg_put_extra_header(h, sizeof(*i));
	struct rtnl_link l;
	int r;

	i->ifi_index = index;
	r = request(h, link_answer, &l);
	if (r < 0)
		return r;
	*ret = l;
	return 0;
}

struct each_link {
	rtnl_link_fn *fn;
	void *owner;
};

static int link_each(const struct nlmsghdr *h, void *owner)
{
	const struct each_link *e = owner;
	struct rtnl_link l;

	if (!rtnl_link_of(h, &l))
		return MNL_CB_OK;
	return e->fn(e->owner, &l) ? MNL_CB_ERROR : MNL_CB_OK;
}

int rtnl_links_each(rtnl_link_fn *fn, void *owner)
{
	char buf[MESSAGE_MAX] __attribute__((aligned(8)));
	struct nlmsghdr *h = message(buf, RTM_GETLINK, NLM_F_DUMP);
	struct each_link e = { fn, owner };

	mnl_nlmsg_put_extra_header(h, sizeof(struct ifinfomsg));
	return request(h, link_each, &e);
}

int rtnl_link_get(const char *name, struct rtnl_link *ret)
{
	char buf[MESSAGE_MAX] __attribute__((aligned(8)));
	struct nlmsghdr *h = message(buf, RTM_GETLINK, 0);
	struct rtnl_link l = { 0 };
	int r;

	if (!name[0] || strlen(name) >= sizeof(l.name))
		return -ENODEV;
	mnl_nlmsg_put_extra_header(h, sizeof(struct ifinfomsg));
	mnl_attr_put_strz(h, IFLA_IFNAME, name);
	r = request(h, link_answer, &l);
	if (r < 0)
		return r;
	if (strcmp(l.name, name))
		return -ENODEV;			/* an alternative name, which no rule goes by */
	*ret = l;
	return 0;
}

int rtnl_link_set(int index, bool up)
{
	char buf[MESSAGE_MAX] __attribute__((aligned(8)));
	struct nlmsghdr *h = message(buf, RTM_NEWLINK, 0);
	struct ifinfomsg *i = mnl_nlmsg_put_extra_header(h, sizeof(*i));

	i->ifi_index = index;
	i->ifi_change = IFF_UP;
	i->ifi_flags = up ? IFF_UP : 0;
	return request(h, NULL, NULL);
}

/* ---- neighbours and host routes ---- */

static struct nlmsghdr *neigh_message(char *buf, uint16_t type, uint16_t flags, int index,
				      const struct addr *a)
{
	struct nlmsghdr *h = message(buf, type, flags);
	struct ndmsg *n = mnl_nlmsg_put_extra_header(h, sizeof(*n));

	n->ndm_family = family_of(a);
	n->ndm_ifindex = index;
	n->ndm_state = NUD_PERMANENT;
	mnl_attr_put(h, NDA_DST, addr_len(a), a->b);
	return h;
}

int rtnl_neigh_add(int index, const struct addr *a, const uint8_t mac[6])
{
	char buf[MESSAGE_MAX] __attribute__((aligned(8)));
	struct nlmsghdr *h = neigh_message(buf, RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_REPLACE, index, a);

	mnl_attr_put(h, NDA_LLADDR, 6, mac);
	return request(h, NULL, NULL);
}

int rtnl_neigh_del(int index, const struct addr *a)
{
	char buf[MESSAGE_MAX] __attribute__((aligned(8)));

	return settled(request(neigh_message(buf, RTM_DELNEIGH, 0, index, a), NULL, NULL), -ENOENT);
}

static struct nlmsghdr *route_message(char *buf, uint16_t type, uint16_t flags, int index,
				      const struct addr *host)
{
	struct nlmsghdr *h = message(buf, type, flags);
	struct rtmsg *m = mnl_nlmsg_put_extra_header(h, sizeof(*m));

	m->rtm_family = family_of(host);
	m->rtm_dst_len = addr_len(host) * 8;
	m->rtm_table = RT_TABLE_MAIN;
	m->rtm_protocol = RTPROT_STATIC;
	m->rtm_scope = host->family == 4 ? RT_SCOPE_LINK : RT_SCOPE_UNIVERSE;
	m->rtm_type = RTN_UNICAST;
	mnl_attr_put(h, RTA_DST, addr_len(host), host->b);
	mnl_attr_put_u32(h, RTA_OIF, index);
	return h;
}

int rtnl_route_add(int index, const struct addr *host)
{
	char buf[MESSAGE_MAX] __attribute__((aligned(8)));

	return request(route_message(buf, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, index, host), NULL, NULL);
}

int rtnl_route_del(int index, const struct addr *host)
{
	char buf[MESSAGE_MAX] __attribute__((aligned(8)));

	return settled(request(route_message(buf, RTM_DELROUTE, 0, index, host), NULL, NULL), -ESRCH);
}

int rtnl_local_table(uint32_t table, uint8_t family, bool add)
{
	char buf[MESSAGE_MAX] __attribute__((aligned(8)));
	struct nlmsghdr *h = message(buf, add ? RTM_NEWROUTE : RTM_DELROUTE,
				     add ? NLM_F_CREATE | NLM_F_REPLACE : 0);
	struct rtmsg *m = mnl_nlmsg_put_extra_header(h, sizeof(*m));

	m->rtm_family = family == 6 ? AF_INET6 : AF_INET;
	m->rtm_table = RT_TABLE_UNSPEC;				/* it has a byte only */
	m->rtm_protocol = RTPROT_STATIC;
	m->rtm_scope = family == 4 ? RT_SCOPE_HOST : RT_SCOPE_UNIVERSE;
	m->rtm_type = RTN_LOCAL;
	mnl_attr_put_u32(h, RTA_TABLE, table);
	mnl_attr_put_u32(h, RTA_OIF, if_nametoindex("lo"));
	return settled(request(h, NULL, NULL), add ? 0 : -ESRCH);
}

/* ---- default routes and addresses ---- */

struct default_links {
	char (*names)[16];
	int n, max;
};

static bool known(const struct default_links *d, const char *name)
{
	for (int i = 0; i < d->n; i++)
		if (!strcmp(d->names[i], name))
			return true;
	return false;
}

static int default_route(const struct nlmsghdr *h, void *owner)
{
	const struct rtmsg *m = mnl_nlmsg_get_payload(h);
	struct default_links *d = owner;
	const struct nlattr *a;
	char name[IF_NAMESIZE];

	if (m->rtm_dst_len || m->rtm_type != RTN_UNICAST || m->rtm_table != RT_TABLE_MAIN)
		return MNL_CB_OK;
	mnl_attr_for_each(a, h, sizeof(*m)) {
		if (mnl_attr_get_type(a) != RTA_OIF || !if_indextoname(mnl_attr_get_u32(a), name))
			continue;
		if (d->n < d->max && !known(d, name))
			snprintf(d->names[d->n++], 16, "%s", name);
	}
	return MNL_CB_OK;
}

int rtnl_default_links(char names[][16], int max)
{
	static const int families[] = { AF_INET, AF_INET6 };
	struct default_links d = { names, 0, max };

	for (size_t i = 0; i < ARRAY_SIZE(families); i++) {
		char buf[MESSAGE_MAX] __attribute__((aligned(8)));
		struct nlmsghdr *h = message(buf, RTM_GETROUTE, NLM_F_DUMP);
		struct rtmsg *m = mnl_nlmsg_put_extra_header(h, sizeof(*m));
		int r;

		m->rtm_family = families[i];
		r = request(h, default_route, &d);
		if (r < 0)
			return r;
	}
	return d.n;
}

bool rtnl_address_of(const struct nlmsghdr *h, struct addr *ret, int *ret_index)
{
	const struct ifaddrmsg *m = mnl_nlmsg_get_payload(h);
	const struct nlattr *a;
	bool local = false;

	*ret = (struct addr){ 0 };
	if (mnl_nlmsg_get_payload_len(h) < sizeof(*m) ||
	    (m->ifa_family != AF_INET && m->ifa_family != AF_INET6))
		return false;
	ret->family = m->ifa_family == AF_INET6 ? 6 : 4;
	*ret_index = (int)m->ifa_index;
	/* On a point-to-point link IFA_ADDRESS is the other end's: IFA_LOCAL, where given, is ours. */
	mnl_attr_for_each(a, h, sizeof(*m)) {
		uint16_t type = mnl_attr_get_type(a);

		if ((type != IFA_LOCAL && (type != IFA_ADDRESS || local)) ||
		    mnl_attr_get_payload_len(a) != addr_len(ret))
			continue;
		memcpy(ret->b, mnl_attr_get_payload(a), addr_len(ret));
		local |= type == IFA_LOCAL;
	}
	return true;
}

struct each_address {
	rtnl_address_fn *fn;
	void *owner;
};

static int address_each(const struct nlmsghdr *h, void *owner)
{
	const struct each_address *e = owner;
	struct addr a;
	int index;

	if (!rtnl_address_of(h, &a, &index))
		return MNL_CB_OK;
	return e->fn(e->owner, &a, index) ? MNL_CB_ERROR : MNL_CB_OK;
}

int rtnl_addresses_each(rtnl_address_fn *fn, void *owner)
{
	char buf[MESSAGE_MAX] __attribute__((aligned(8)));
	struct nlmsghdr *h = message(buf, RTM_GETADDR, NLM_F_DUMP);
	struct each_address e = { fn, owner };

	mnl_nlmsg_put_extra_header(h, sizeof(struct ifaddrmsg));
	return request(h, address_each, &e);
}

/* ---- policy routing rules ---- */

static const uint8_t actions[] = {
	[RTNL_UNREACHABLE] = FR_ACT_UNREACHABLE, [RTNL_TABLE] = FR_ACT_TO_TBL,
	[RTNL_GOTO] = FR_ACT_GOTO, [RTNL_NOP] = FR_ACT_NOP,
};

static int rule_change(const struct rtnl_rule *r, bool add)
{
	char buf[MESSAGE_MAX] __attribute__((aligned(8)));
	struct nlmsghdr *h = message(buf, add ? RTM_NEWRULE : RTM_DELRULE,
				     add ? NLM_F_CREATE | NLM_F_EXCL : 0);
	struct fib_rule_hdr *f = mnl_nlmsg_put_extra_header(h, sizeof(*f));

	f->family = r->family == 6 ? AF_INET6 : AF_INET;
	f->action = actions[r->action];
	if (r->action == RTNL_TABLE || r->action == RTNL_GOTO)
		mnl_attr_put_u32(h, r->action == RTNL_GOTO ? FRA_GOTO : FRA_TABLE, r->to);
	mnl_attr_put_u32(h, FRA_PRIORITY, r->pref);
	if (r->from.addr.family) {
		f->src_len = r->from.bits;
		mnl_attr_put(h, FRA_SRC, addr_len(&r->from.addr), r->from.addr.b);
	}
	if (r->iif)
		mnl_attr_put_strz(h, FRA_IIFNAME, r->iif);
	if (r->mask) {
		mnl_attr_put_u32(h, FRA_FWMARK, r->mark);
		mnl_attr_put_u32(h, FRA_FWMASK, r->mask);
	}
	return request(h, NULL, NULL);
}

int rtnl_rule(const struct rtnl_rule *r, bool add)
{
	return settled(rule_change(r, add), add ? -EEXIST : -ENOENT);
}

static int backstop(const char *interface, bool add)
{
	struct rtnl_rule r = { .family = 6, .pref = RTNL_PREF_INTERFACE, .iif = interface,
			       .mark = 0, .mask = MARK_STATE_MASK };

	return rtnl_rule(&r, add);
}

int rtnl_backstop_add(const char *interface)
{
	return backstop(interface, true);
}

int rtnl_backstop_del(const char *interface)
{
	return backstop(interface, false);
}

struct each_backstop {
	rtnl_backstop_fn *fn;
	void *owner;
};

static int backstop_each(const struct nlmsghdr *h, void *owner)
{
	const struct each_backstop *e = owner;
	const char *interface = NULL;
	const struct nlattr *a;
	uint32_t pref = 0;

	mnl_attr_for_each(a, h, sizeof(struct fib_rule_hdr)) {
		if (mnl_attr_get_type(a) == FRA_PRIORITY)
			pref = mnl_attr_get_u32(a);
		if (mnl_attr_get_type(a) == FRA_IIFNAME && mnl_attr_validate(a, MNL_TYPE_NUL_STRING) >= 0)
			interface = mnl_attr_get_str(a);
	}
	if (pref != RTNL_PREF_INTERFACE || !interface)
		return MNL_CB_OK;
	return e->fn(e->owner, interface) ? MNL_CB_ERROR : MNL_CB_OK;
}

int rtnl_backstops_each(rtnl_backstop_fn *fn, void *owner)
{
	char buf[MESSAGE_MAX] __attribute__((aligned(8)));
	struct nlmsghdr *h = message(buf, RTM_GETRULE, NLM_F_DUMP);
	struct fib_rule_hdr *f = mnl_nlmsg_put_extra_header(h, sizeof(*f));
	struct each_backstop e = { fn, owner };

	f->family = AF_INET6;
	return request(h, backstop_each, &e);
}

/* A deletion without an interface takes the first rule of that preference, whatever its interface. */
int rtnl_rules_clear(const struct rtnl_rule *like)
{
	int r;

	do {
		r = rule_change(like, false);
	} while (r == 0);
	return settled(r, -ENOENT);
}

int rtnl_backstop_clear(void)
{
	return rtnl_rules_clear(&(struct rtnl_rule){ .family = 6, .pref = RTNL_PREF_INTERFACE,
						     .mask = MARK_STATE_MASK });
}
