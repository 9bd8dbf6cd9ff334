/*
 * nflog.c - refused packets, as the ruleset logs them
 *
 * Theory of operation: the ruleset logs with a prefix that names the reason and with the mark that
 * identify set; the kernel adds the interfaces and the first 128 bytes of the packet. Here prefix,
 * mark and packet become one audit event. Who it was: the mark's sandbox; a packet whose source was
 * not accepted has mark 0, and then the interface tells whose link it came from (an address would
 * be the liar's choice). A spoofed source on a link that nobody registered is
 * `interface_unregistered`. Repeats are aggregated by audit_aggregate(); the kernel limits how many
 * reach us, and refusals.c accounts for the rest. Spec: linux/netfilter/nfnetlink_log.h.
 */
#include "netd/nflog.h"

#include <errno.h>
#include <arpa/inet.h>
#include <libmnl/libmnl.h>
#include <libnetfilter_log/libnetfilter_log.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_log.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "netd/packet.h"
#include "netd/profiles.h"
#include "netd/recent.h"
#include "netd/refusals.h"
#include "netd/registry.h"
#include "policy/interface.h"
#include "policy/mark.h"

enum {
	READS_PER_WAKE = 32,
	DRAIN_MAX = 65536,
	COPY_BYTES = 128,
	FLUSH_CENTISECONDS = 5,
	QUEUE_THRESHOLD = 1,
	RECEIVE_BUFFER = 4 << 20
};

struct nflog {
	struct netd *n;
	struct mnl_socket *nl;
	struct watch watch;
};

struct refusal {
	enum reason reason;
	struct packet packet;
	const struct sandbox *sandbox;
	char interface[IF_NAMESIZE];
};

static void put_line(struct netd *n, const struct refusal *f)
{
	uint16_t profile = f->sandbox ? f->sandbox->profile : 0;
	const struct policy *policy = profiles_policy(n->profiles, profile);
	struct audit_head h = { .event = "flow",
				.sandbox = f->sandbox ? f->sandbox->name : "",
				.profile = profiles_name(n->profiles, profile),
				.decision = "deny",
				.reason = reason_text(f->reason),
				.rule = "default",
				.policy = policy ? policy_sha256(policy) : "" };
	char saddr[ADDR_TEXT_MAX], daddr[ADDR_TEXT_MAX], number[8], key[512], what[MSG_WHAT];
	const char *proto = packet_proto(f->packet.proto, number);
	struct audit_line l;

	addr_format(&f->packet.saddr, saddr);
	addr_format(&f->packet.daddr, daddr);
	audit_begin(&l, &h);
	audit_str(&l, "interface", f->interface);
	audit_str(&l, "saddr", saddr);
	audit_str(&l, "daddr", daddr);
	audit_str(&l, "proto", proto);
	if (f->packet.has_ports)
		audit_u64(&l, "port", f->packet.dport);
	snprintf(what, sizeof(what), "packet to %s %s port %u", daddr, proto, f->packet.dport);
	if (f->sandbox)
		recent_note(n->recent, f->sandbox->id, f->reason, what);
	snprintf(key, sizeof(key), "packet %s %s %s %s %s %u", f->interface,
		 f->sandbox ? f->sandbox->name : "", reason_text(f->reason), daddr, proto,
		 f->packet.dport);
	audit_aggregate(n->audit, key, &l);
}

/* What the kernel says of a packet. */
struct seen {
	enum reason reason;
	uint32_t mark, in, out;
	uint8_t mac[6]; /* the sender's */
	struct rd payload;
};

static void mac_of(const struct nlattr *a, uint8_t ret[6])
{
	const struct nfulnl_msg_packet_hw *hw;

	if (!a || mnl_attr_validate2(a, MNL_TYPE_UNSPEC, sizeof(*hw)) < 0)
		return;
	hw = mnl_attr_get_payload(a);
	if (ntohs(hw->hw_addrlen) == 6)
		memcpy(ret, hw->hw_addr, 6);
}

static bool seen_of(struct nlattr *const attrs[NFULA_MAX + 1], struct seen *ret)
{
	const char *prefix;

	*ret = (struct seen){ 0 };
	if (!attrs[NFULA_PREFIX] || mnl_attr_validate(attrs[NFULA_PREFIX], MNL_TYPE_NUL_STRING) < 0)
		return false;
	prefix = mnl_attr_get_str(attrs[NFULA_PREFIX]);
	if (strncmp(prefix, RULESET_LOG_PREFIX, strlen(RULESET_LOG_PREFIX)))
		return false; /* another program's rule in our group */
	ret->reason = reason_of_text(prefix + strlen(RULESET_LOG_PREFIX));
	if (attrs[NFULA_MARK])
		ret->mark = ntohl(mnl_attr_get_u32(attrs[NFULA_MARK]));
	if (attrs[NFULA_IFINDEX_INDEV])
		ret->in = ntohl(mnl_attr_get_u32(attrs[NFULA_IFINDEX_INDEV]));
	if (attrs[NFULA_IFINDEX_OUTDEV])
		ret->out = ntohl(mnl_attr_get_u32(attrs[NFULA_IFINDEX_OUTDEV]));
	mac_of(attrs[NFULA_HWADDR], ret->mac);
	if (attrs[NFULA_PAYLOAD])
		ret->payload = rd_of(mnl_attr_get_payload(attrs[NFULA_PAYLOAD]),
				     mnl_attr_get_payload_len(attrs[NFULA_PAYLOAD]));
	return ret->reason != REASON_NONE;
}

/* The side of the sandbox: packets on their way to one come in by an uplink. */
static void interface_of(const struct netd *n, const struct seen *seen, char out[IF_NAMESIZE])
{
	char in[IF_NAMESIZE] = "";

	out[0] = '\0';
	if (seen->in)
		if_indextoname(seen->in, in);
	if (seen->out && !interface_is_policed(n->config, in))
		if_indextoname(seen->out, out);
	if (!out[0])
		memcpy(out, in, sizeof(in));
}

/*
 * The kernel does not know a source that we do: its elements are being written again. No liar, no
 * stranger, but not served either.
 */
static enum reason reason_of(const struct netd *n, const struct refusal *f, const struct seen *seen)
{
	const struct sandbox *s = registry_by_addr(n->registry, &f->packet.saddr);

	if (seen->reason != REASON_SOURCE_SPOOFED)
		return seen->reason;
	if (s && s->state == SANDBOX_OPEN && !strcmp(s->interface, f->interface) &&
	    !memcmp(s->mac, seen->mac, sizeof(s->mac)))
		return REASON_INTERNAL_ERROR;
	return f->sandbox ? REASON_SOURCE_SPOOFED : REASON_INTERFACE_UNREGISTERED;
}

static int on_message(const struct nlmsghdr *h, void *owner)
{
	struct nlattr *attrs[NFULA_MAX + 1] = { NULL };
	struct nflog *g = owner;
	struct registry *registry = g->n->registry;
	struct refusal f = { 0 };
	struct seen seen;

	if (nflog_nlmsg_parse(h, attrs) != MNL_CB_OK || !seen_of(attrs, &seen))
		return MNL_CB_OK;
	packet_parse(seen.payload, &f.packet); /* what cannot be read stays empty */
	interface_of(g->n, &seen, f.interface);
	refusals_logged(g->n->refusals, seen.reason, mark_sandbox(seen.mark), f.interface);
	f.sandbox = registry_by_id(registry, mark_sandbox(seen.mark));
	if (!f.sandbox || strcmp(f.sandbox->interface, f.interface)) /* another program's mark, or none */
		f.sandbox = registry_by_interface(registry, f.interface);
	f.reason = reason_of(g->n, &f, &seen);
	put_line(g->n, &f);
	return MNL_CB_OK;
}

/* A full buffer (ENOBUFS) loses events, not counts: refusals.c will find them. False: nothing left. */
static bool read_one(struct nflog *g)
{
	char buf[1 << 16] __attribute__((aligned(8)));
	ssize_t r = recv(g->watch.fd, buf, sizeof(buf), MSG_DONTWAIT);

	if (r > 0)
		mnl_cb_run(buf, (size_t)r, 0, 0, on_message, g);
	return r > 0 || (r < 0 && errno == ENOBUFS);
}

void nflog_drain(struct nflog *g)
{
	for (int i = 0; i < DRAIN_MAX && read_one(g); i++)
		;
}

static void on_readable(struct loop *l, struct watch *w, uint32_t events)
{
	struct nflog *g = container_of(w, struct nflog, watch);

	(void)l;
	(void)events;
	for (int i = 0; i < READS_PER_WAKE && read_one(g); i++)
		;
}

/* Each configuration message is acknowledged. */
static int configure(struct nflog *g, struct nlmsghdr *h)
{
	char buf[1024] __attribute__((aligned(8)));
	ssize_t r;

	h->nlmsg_flags |= NLM_F_ACK;
	if (mnl_socket_sendto(g->nl, h, h->nlmsg_len) < 0)
		return -errno;
	r = mnl_socket_recvfrom(g->nl, buf, sizeof(buf));
	if (r < 0 || mnl_cb_run(buf, (size_t)r, 0, 0, NULL, NULL) < 0)
		return -errno;
	return 0;
}

static int join(struct nflog *g)
{
	char buf[1024] __attribute__((aligned(8)));
	struct nlmsghdr *h =
		nflog_nlmsg_put_header(buf, NFULNL_MSG_CONFIG, AF_UNSPEC, RULESET_NFLOG_GROUP);
	int r;

	if (nflog_attr_put_cfg_cmd(h, NFULNL_CFG_CMD_BIND) < 0)
		return -EINVAL;
	r = configure(g, h);
	if (r < 0)
		return r;
	h = nflog_nlmsg_put_header(buf, NFULNL_MSG_CONFIG, AF_UNSPEC, RULESET_NFLOG_GROUP);
	if (nflog_attr_put_cfg_mode(h, NFULNL_COPY_PACKET, COPY_BYTES) < 0)
		return -EINVAL;
	/* Each at once: one that the kernel kept back would come after its sandbox is gone, and
	 * name nobody. The rules limit the rate per sandbox. */
	mnl_attr_put_u32(h, NFULA_CFG_TIMEOUT, htonl(FLUSH_CENTISECONDS));
	mnl_attr_put_u32(h, NFULA_CFG_QTHRESH, htonl(QUEUE_THRESHOLD));
	return configure(g, h);
}

int nflog_new(struct netd *n, struct nflog **ret)
{
	AUTO(nflog) struct nflog *g = calloc(1, sizeof(*g));
	int force = RECEIVE_BUFFER, r;

	if (!g)
		return -ENOMEM;
	g->n = n;
	g->watch.fd = -1;
	r = refusals_new(n, &n->refusals);
	if (r < 0)
		return r;
	g->nl = mnl_socket_open2(NETLINK_NETFILTER, SOCK_CLOEXEC);
	if (!g->nl || mnl_socket_bind(g->nl, 0, MNL_SOCKET_AUTOPID) < 0)
		return -errno;
	setsockopt(mnl_socket_get_fd(g->nl), SOL_SOCKET, SO_RCVBUFFORCE, &force, sizeof(force));
	r = join(g);
	if (r < 0)
		return r;
	g->watch = (struct watch){ .fd = mnl_socket_get_fd(g->nl),
				   .events = EPOLLIN,
				   .fn = on_readable };
	r = loop_add(n->loop, &g->watch);
	if (r < 0)
		return r;
	*ret = STEAL(g);
	return 0;
}

void nflog_free(struct nflog *g)
{
	if (!g)
		return;
	loop_del(g->n->loop, &g->watch);
	refusals_free(g->n->refusals);
	g->n->refusals = NULL;
	if (g->nl)
		mnl_socket_close(g->nl);
	free(g);
}
