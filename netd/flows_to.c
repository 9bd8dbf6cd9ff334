/*
 * flows_to.c - the flows to synthetic addresses, as conntrack has them
 *
 * Theory of operation: the table is read whole, of one family, for several names at once; an entry is
 * looked at where it lies in the message, without an object. (The kernel's own filter by address,
 * CTA_FILTER, gives for IPv6 all entries but those that match, up to Linux 6.18 at least.)
 *
 * Whether an answer is recent: an entry's timeout is set anew by each packet, to a value that depends
 * on its TCP state, so what is left of it tells when the last one came. An established flow of which
 * bytes are unacknowledged gets a shorter one; a connection that idles, or whose server has died, is
 * therefore no witness for its server, while one that exchanges bytes is.
 *
 * Entries to be deleted are gathered first: answers to a deletion would come amid the dump. A deletion
 * names tuple and id, so it never hits another entry that took the tuple meanwhile.
 */
#include "netd/flows_to.h"

#include <arpa/inet.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/netfilter/nf_conntrack_common.h>
#include <linux/netfilter/nf_conntrack_tcp.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

enum { DUMP_BUFFER = 1 << 16, TUPLE_MAX = 160, DROP_MAX = 4096, DROPS_AT_ONCE = 64 };

/* Seconds, by enum tcp_conntrack: the kernel's defaults. Established is often changed. */
static uint32_t timeouts[] = {
	[TCP_CONNTRACK_SYN_RECV] = 60,	 [TCP_CONNTRACK_ESTABLISHED] = 432000,
	[TCP_CONNTRACK_FIN_WAIT] = 120,	 [TCP_CONNTRACK_CLOSE_WAIT] = 60,
	[TCP_CONNTRACK_LAST_ACK] = 30,	 [TCP_CONNTRACK_TIME_WAIT] = 120,
	[TCP_CONNTRACK_CLOSE] = 10,
};

struct entry {
	struct addr to, by;	/* original destination; who answers */
	uint8_t proto, tcp;	/* enum tcp_conntrack */
	uint32_t status, left_s, id;
	const struct nlattr *tuple;
};

DEFINE_AUTO(mnl, struct mnl_socket *, mnl_socket_close)

void flows_to_init(void)
{
	FILE *f = fopen("/proc/sys/net/netfilter/nf_conntrack_tcp_timeout_established", "re");
	unsigned v;

	if (f && fscanf(f, "%u", &v) == 1)
		timeouts[TCP_CONNTRACK_ESTABLISHED] = v;
	if (f)
		fclose(f);
}

/* ---- entries ---- */

static const struct nlattr *nested(const struct nlattr *in, uint16_t type)
{
	const struct nlattr *a;

	if (!in)
		return NULL;
	mnl_attr_for_each_nested(a, in)
		if (mnl_attr_get_type(a) == type)
			return a;
	return NULL;
}

static struct addr addr_in(const struct nlattr *ip, uint16_t v4, uint16_t v6)
{
	const struct nlattr *a4 = nested(ip, v4), *a6 = nested(ip, v6);
	struct addr ret = { 0 };

	if (a4 && mnl_attr_get_payload_len(a4) == 4)
		ret.family = 4;
	else if (a6 && mnl_attr_get_payload_len(a6) == 16)
		ret.family = 6;
	if (ret.family)
		memcpy(ret.b, mnl_attr_get_payload(ret.family == 4 ? a4 : a6), addr_len(&ret));
	return ret;
}

static uint32_t be32(const struct nlattr *a)
{
	return a && mnl_attr_get_payload_len(a) == 4 ? ntohl(mnl_attr_get_u32(a)) : 0;
}

static uint8_t u8(const struct nlattr *a)
{
	return a && mnl_attr_get_payload_len(a) >= 1 ? mnl_attr_get_u8(a) : 0;
}

static bool entry_read(const struct nlmsghdr *h, struct entry *ret)
{
	const struct nlattr *a, *at[CTA_MAX + 1] = { 0 };

	mnl_attr_for_each(a, h, sizeof(struct nfgenmsg))
		if (mnl_attr_get_type(a) <= CTA_MAX)
			at[mnl_attr_get_type(a)] = a;
	*ret = (struct entry){
		.to = addr_in(nested(at[CTA_TUPLE_ORIG], CTA_TUPLE_IP), CTA_IP_V4_DST,
			      CTA_IP_V6_DST),
		.by = addr_in(nested(at[CTA_TUPLE_REPLY], CTA_TUPLE_IP), CTA_IP_V4_SRC,
			      CTA_IP_V6_SRC),
		.proto = u8(nested(nested(at[CTA_TUPLE_ORIG], CTA_TUPLE_PROTO), CTA_PROTO_NUM)),
		.tcp = u8(nested(nested(at[CTA_PROTOINFO], CTA_PROTOINFO_TCP),
				 CTA_PROTOINFO_TCP_STATE)),
		.status = be32(at[CTA_STATUS]),
		.left_s = be32(at[CTA_TIMEOUT]),
		.id = be32(at[CTA_ID]),
		.tuple = at[CTA_TUPLE_ORIG],
	};
	return ret->to.family && ret->tuple;
}

static bool answered_lately(const struct entry *e)
{
	uint32_t most = e->tcp < ARRAY_SIZE(timeouts) ? timeouts[e->tcp] : 0;

	return e->proto == IPPROTO_TCP && e->status & IPS_SEEN_REPLY && most &&
	       e->left_s + FLOWS_LATELY_S >= most;
}

/* ---- dumps ---- */

static struct nlmsghdr *request(char *buf, uint16_t type, uint16_t flags, uint8_t family)
{
	struct nlmsghdr *h = mnl_nlmsg_put_header(buf);
	struct nfgenmsg *g = mnl_nlmsg_put_extra_header(h, sizeof(*g));

	h->nlmsg_type = NFNL_SUBSYS_CTNETLINK << 8 | type;
	h->nlmsg_flags = NLM_F_REQUEST | flags;
	g->nfgen_family = family == 4 ? AF_INET : family == 6 ? AF_INET6 : AF_UNSPEC;
	g->version = NFNETLINK_V0;
	return h;
}

static int connect_conntrack(struct mnl_socket **ret)
{
	AUTO(mnl) struct mnl_socket *nl = mnl_socket_open2(NETLINK_NETFILTER, SOCK_CLOEXEC);

	if (!nl || mnl_socket_bind(nl, 0, MNL_SOCKET_AUTOPID) < 0)
		return -errno;
	*ret = STEAL(nl);
	return 0;
}

struct walk {
	uint8_t family; /* 0: both */
	void (*fn)(void *owner, const struct entry *e);
	void *owner;
	int n;
};

static int on_message(const struct nlmsghdr *h, void *data)
{
	struct walk *w = data;
	struct entry e;

	w->n++;
	if (entry_read(h, &e))
		w->fn(w->owner, &e);
	return MNL_CB_OK;
}

static int walk(struct walk *w)
{
	AUTO(mnl) struct mnl_socket *nl = NULL;
	AUTO(mem) char *buf = calloc(1, DUMP_BUFFER);
	struct nlmsghdr *h;
	int r = buf ? connect_conntrack(&nl) : -ENOMEM;
	ssize_t n;

	if (r < 0)
		return r;
	h = request(buf, IPCTNL_MSG_CT_GET, NLM_F_DUMP, w->family);
	if (mnl_socket_sendto(nl, h, h->nlmsg_len) < 0)
		return -errno;
	for (r = MNL_CB_OK; r == MNL_CB_OK;) {
		n = mnl_socket_recvfrom(nl, buf, DUMP_BUFFER);
		r = n < 0 ? MNL_CB_ERROR
			  : mnl_cb_run(buf, (size_t)n, 0, mnl_socket_get_portid(nl), on_message, w);
	}
	return r < 0 ? -errno : w->n;
}

/* ---- has it answered? ---- */

struct asked {
	struct flows_to *to;
	size_t n;
};

static void on_asked(void *owner, const struct entry *e)
{
	const struct asked *a = owner;

	for (size_t i = 0; i < a->n; i++)
		if (addr_eq(&e->to, &a->to[i].synthetic) && addr_eq(&e->by, &a->to[i].real))
			a->to[i].answered |= answered_lately(e);
}

int flows_answered(struct flows_to *to, size_t n)
{
	struct asked a = { to, n };
	struct walk w = { to->synthetic.family, on_asked, &a, 0 };

	for (size_t i = 0; i < n; i++)
		to[i].answered = false;
	return walk(&w);
}

/* ---- deleting ---- */

struct dropped {
	uint32_t id;
	uint16_t n;
	uint8_t tuple[TUPLE_MAX];
};
struct drops {
	const struct flows_to *to;
	size_t n_to;
	struct dropped *entry;
	size_t n, cap;
};

static bool is_dropped(const struct drops *d, const struct entry *e)
{
	bool found = false;

	for (size_t i = 0; i < d->n_to; i++)
		found |= addr_eq(&e->to, &d->to[i].synthetic) && !addr_eq(&e->by, &d->to[i].real);
	return found && e->proto == IPPROTO_TCP && !(e->status & IPS_SEEN_REPLY);
}

static void on_drop(void *owner, const struct entry *e)
{
	struct drops *d = owner;
	uint16_t n = mnl_attr_get_payload_len(e->tuple);
	struct dropped *more;

	if (!is_dropped(d, e) || n > TUPLE_MAX || d->n == DROP_MAX)
		return;
	if (d->n == d->cap) {
		more = reallocarray(d->entry, d->cap ? d->cap * 2 : 16, sizeof(*more));
		if (!more)
			return;
		d->entry = more;
		d->cap = d->cap ? d->cap * 2 : 16;
	}
	d->entry[d->n] = (struct dropped){ .id = e->id, .n = n };
	memcpy(d->entry[d->n++].tuple, mnl_attr_get_payload(e->tuple), n);
}

/* No acknowledgement is asked for, and one that ended by itself is not there: both are well. */
static int drop_some(struct mnl_socket *nl, uint8_t family, const struct dropped *d, size_t n)
{
	char buf[DROPS_AT_ONCE * 256] __attribute__((aligned(8)));
	size_t at = 0;

	for (size_t i = 0; i < n; i++) {
		struct nlmsghdr *h = request(buf + at, IPCTNL_MSG_CT_DELETE, 0, family);

		mnl_attr_put(h, CTA_TUPLE_ORIG | NLA_F_NESTED, d[i].n, d[i].tuple);
		mnl_attr_put_u32(h, CTA_ID, htonl(d[i].id));
		at += NLMSG_ALIGN(h->nlmsg_len);
	}
	return mnl_socket_sendto(nl, buf, at) < 0 ? -errno : 0;
}

int flows_drop_unanswered(const struct flows_to *to, size_t n)
{
	AUTO(mnl) struct mnl_socket *nl = NULL;
	struct drops d = { .to = to, .n_to = n };
	struct walk w = { to->synthetic.family, on_drop, &d, 0 };
	int r = walk(&w);

	if (r >= 0)
		r = connect_conntrack(&nl);
	for (size_t i = 0; r >= 0 && i < d.n; i += DROPS_AT_ONCE)
		r = drop_some(nl, to->synthetic.family, d.entry + i,
			      d.n - i < DROPS_AT_ONCE ? d.n - i : DROPS_AT_ONCE);
	free(d.entry);
	return r < 0 ? r : 0;
}

/* ---- all of them ---- */

struct all {
	flows_each_fn *fn;
	void *owner;
};

static void on_each(void *owner, const struct entry *e)
{
	const struct all *a = owner;

	a->fn(a->owner, &e->to);
}

int flows_each(flows_each_fn *fn, void *owner)
{
	struct all a = { fn, owner };
	struct walk w = { 0, on_each, &a, 0 };

	return walk(&w);
}
