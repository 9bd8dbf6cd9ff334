/*
 * doctor_nft.c - other software's nftables (and iptables-nft): what it does to sandboxes' packets
 *
 * Theory of operation: an accept of other software opens nothing, but its drop is a drop: so
 * packets as sandboxes cause them are led through every base chain of others (doctor_walk.c), and
 * what surely drops them is told with the command that lets them by. On the way it is seen who
 * writes marks in the bits that hold Cordon's states, who translates or takes over what is Cordon's
 * to translate or take over, and who hides packets from the hooks altogether.
 */
#include <errno.h>
#include <netinet/in.h>
#include <net/if.h>
#include <string.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_conntrack_common.h>

#include "cli/doctor.h"
#include "cli/doctor_walk.h"
#include "policy/interface.h"
#include "policy/mark.h"

enum { PORT_HTTPS = 443, TRANSPORT_DPORT = 2, PATTERN_INDEX = 0x7ffffff0 };

/* Where a packet that a sandbox causes comes in and goes out. */
enum place { PLACE_NONE = 0, PLACE_SANDBOX, PLACE_UPLINK };

static const struct journey {
	int hook;
	enum place in, out;
	uint8_t l4proto;
	uint16_t dport; /* 0: unknown */
	uint32_t ct_state, mark, mark_known, ct_status;
	bool reply, synthetic; /* synthetic: the destination is */
	const char *what;
} journeys[] = {
	{ .hook = NF_INET_PRE_ROUTING,
	  .in = PLACE_SANDBOX,
	  .l4proto = IPPROTO_TCP,
	  .dport = PORT_HTTPS,
	  .ct_state = CT_NEW,
	  .synthetic = true,
	  .what = "what sandboxes send" },
	{ .hook = NF_INET_PRE_ROUTING,
	  .in = PLACE_SANDBOX,
	  .l4proto = IPPROTO_TCP,
	  .dport = PORT_DNS,
	  .ct_state = CT_NEW,
	  .what = "the sandboxes' DNS queries" },
	{ .hook = NF_INET_PRE_ROUTING,
	  .in = PLACE_SANDBOX,
	  .l4proto = IPPROTO_UDP,
	  .dport = PORT_DNS,
	  .ct_state = CT_UNTRACKED,
	  .what = "the sandboxes' DNS queries" },
	{ .hook = NF_INET_PRE_ROUTING,
	  .in = PLACE_UPLINK,
	  .l4proto = IPPROTO_TCP,
	  .ct_state = CT_ESTABLISHED,
	  .reply = true,
	  .what = "replies to sandboxes" },
	{ .hook = NF_INET_FORWARD,
	  .in = PLACE_SANDBOX,
	  .out = PLACE_UPLINK,
	  .l4proto = IPPROTO_TCP,
	  .dport = PORT_HTTPS,
	  .ct_state = CT_NEW,
	  .ct_status = IPS_DST_NAT,
	  .mark = MARK_INSPECT,
	  .mark_known = MARK_STATE_MASK,
	  .what = "what sandboxes are granted" },
	{ .hook = NF_INET_FORWARD,
	  .in = PLACE_UPLINK,
	  .out = PLACE_SANDBOX,
	  .l4proto = IPPROTO_TCP,
	  .ct_state = CT_ESTABLISHED,
	  .ct_status = IPS_DST_NAT,
	  .reply = true,
	  .what = "replies to sandboxes" },
	{ .hook = NF_INET_LOCAL_IN,
	  .in = PLACE_SANDBOX,
	  .l4proto = IPPROTO_UDP,
	  .dport = PORT_DNS,
	  .ct_state = CT_UNTRACKED,
	  .mark = MARK_STEERED,
	  .mark_known = MARK_STATE_MASK,
	  .what = "the sandboxes' DNS queries" },
	{ .hook = NF_INET_LOCAL_IN,
	  .in = PLACE_SANDBOX,
	  .l4proto = IPPROTO_TCP,
	  .dport = PORT_HTTPS,
	  .ct_state = CT_NEW,
	  .mark = MARK_STEERED,
	  .mark_known = MARK_STATE_MASK,
	  .synthetic = true,
	  .what = "what sandboxes send to the git proxy" },
	{ .hook = NF_INET_LOCAL_OUT,
	  .out = PLACE_SANDBOX,
	  .l4proto = IPPROTO_UDP,
	  .ct_state = CT_UNTRACKED,
	  .what = "answers to DNS queries" },
	{ .hook = NF_INET_LOCAL_OUT,
	  .out = PLACE_SANDBOX,
	  .l4proto = IPPROTO_TCP,
	  .ct_state = CT_ESTABLISHED,
	  .reply = true,
	  .what = "the git proxy's answers" },
	{ .hook = NF_INET_POST_ROUTING,
	  .out = PLACE_UPLINK,
	  .l4proto = IPPROTO_TCP,
	  .dport = PORT_HTTPS,
	  .ct_state = CT_NEW,
	  .ct_status = IPS_DST_NAT,
	  .what = "what sandboxes are granted" },
	{ .hook = NF_INET_POST_ROUTING,
	  .out = PLACE_SANDBOX,
	  .l4proto = IPPROTO_TCP,
	  .ct_state = CT_ESTABLISHED,
	  .reply = true,
	  .what = "replies to sandboxes" },
};

static const char *const hook_names[] = { "prerouting", "input", "forward", "output",
					  "postrouting" };

/* ---- making the packets ---- */

static void know(struct bits *b, size_t at, const void *v, size_t n)
{
	memcpy(b->v + at, v, n);
	memset(b->known + at, 0xff, n);
}

/* Every name of 16 bytes is known to its end; of a pattern only what stands before the asterisk. */
static void know_name(struct bits *b, const char *name)
{
	char padded[IF_NAMESIZE] = "";
	size_t n = strcspn(name, "*");

	snprintf(padded, sizeof(padded), "%s", name);
	know(b, 0, padded, name[n] ? n : sizeof(padded));
}

static uint32_t index_of(const char *name)
{
	uint32_t i = strchr(name, '*') ? 0 : if_nametoindex(name);

	return i ? i : PATTERN_INDEX;
}

static void know_place(const struct doctor *d, enum place at, const char *pattern,
		       struct bits *name, uint32_t *index)
{
	const char *is = at == PLACE_SANDBOX ? pattern : d->n_uplinks ? d->uplinks[0] : "no-uplink";

	if (at == PLACE_NONE)
		return;
	know_name(name, is);
	*index = index_of(is);
}

/* Addresses that only a sandbox and a name have: rules for other networks surely do not match them.
 */
static void know_addresses(const struct doctor *d, const struct journey *j, struct packet *p)
{
	const struct host_config *c = d->cfg;
	bool v6 = p->nfproto == NFPROTO_IPV6;
	size_t source = v6 ? 8 : 12, destination = v6 ? 24 : 16;
	struct addr name =
		v6 ? pool_addr6(&c->pool, POOL_FIRST_NAME) : pool_addr4(&c->pool, POOL_FIRST_NAME);
	struct addr guest = addr_plus(v6 ? &c->run6.addr : &c->run4.addr, 1);

	if (j->in == PLACE_SANDBOX)
		know(&p->network, source, guest.b, addr_len(&guest));
	if (j->out == PLACE_SANDBOX)
		know(&p->network, destination, guest.b, addr_len(&guest));
	else if (j->synthetic)
		know(&p->network, destination, name.b, addr_len(&name));
}

static void packet_make(const struct doctor *d, const struct journey *j, const char *pattern,
			uint8_t nfproto, struct packet *ret)
{
	uint16_t dport = htons(j->dport);

	*ret = (struct packet){ .nfproto = nfproto,
				.l4proto = j->l4proto,
				.mark = j->mark,
				.mark_known = j->mark_known,
				.ct_state = j->ct_state,
				.ct_status = j->ct_status,
				.ct_reply = j->reply };
	know_place(d, j->in, pattern, &ret->iifname, &ret->iif);
	know_place(d, j->out, pattern, &ret->oifname, &ret->oif);
	if (j->in == PLACE_NONE)
		know_name(&ret->iifname, "");
	know_addresses(d, j, ret);
	know(&ret->network, nfproto == NFPROTO_IPV6 ? 6 : 9, &j->l4proto, 1);
	if (dport)
		know(&ret->transport, TRANSPORT_DPORT, &dport, sizeof(dport));
}

/* ---- leading them through ---- */

struct visit {
	struct doctor *d;
	const struct journey *j;
	const char *pattern;
	const struct rules *rules;
};

typedef void fate_fn(struct visit *v, const struct rules_chain *base,
		     const struct rules_chain *where, enum fate f);

static bool chain_sees(const struct rules_chain *c, const struct journey *j, uint8_t nfproto)
{
	return c->hook == j->hook && (c->family == NFPROTO_INET || c->family == nfproto);
}

static void lead(struct visit *v, struct rules *r, const struct packet *p, fate_fn *on_fate,
		 effect_fn *on_effect)
{
	for (size_t i = 0; i < r->n; i++) {
		const struct rules_chain *base = &r->chain[i], *where;
		enum fate f;

		if (!chain_sees(base, v->j, p->nfproto))
			continue;
		f = walk_base(r, base, p, on_effect, v, &where);
		if (on_fate && f != FATE_PASSES)
			on_fate(v, base, where, f);
	}
}

static void lead_all(struct doctor *d, fate_fn *on_fate, effect_fn *on_effect)
{
	static const uint8_t protocols[] = { NFPROTO_IPV4, NFPROTO_IPV6 };
	AUTO(rules) struct rules *r = NULL;
	int e = rules_read(&r);

	if (e < 0) {
		doctor_say(d, DOCTOR_WARNING, "not looked at: %s\t%s\tsudo cordon doctor",
			   strerror(-e), d->check);
		return;
	}
	for (size_t i = 0; i < d->cfg->n_interfaces; i++)
		for (size_t k = 0; k < ARRAY_SIZE(journeys); k++)
			for (size_t n = 0; n < ARRAY_SIZE(protocols); n++) {
				struct visit v = { d, &journeys[k], d->cfg->interfaces[i], r };
				struct packet p;

				packet_make(d, v.j, v.pattern, protocols[n], &p);
				lead(&v, r, &p, on_fate, on_effect);
			}
}

static const char *hook_name(int hook)
{
	return hook >= 0 && hook < (int)ARRAY_SIZE(hook_names) ? hook_names[hook] : "no hook";
}

/* ---- drops ---- */

/* Tables that iptables-nft manages: their base chains are in capitals and their own rules may not
 * be nft's. */
static bool is_iptables(const struct rules_chain *c)
{
	static const char *const names[] = { "filter", "nat", "mangle", "raw", "security" };
	static const char *const chains[] = { "PREROUTING", "INPUT", "FORWARD", "OUTPUT",
					      "POSTROUTING" };
	bool table = false, chain = false;

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		table = table || !strcmp(c->table, names[i]);
	for (size_t i = 0; i < ARRAY_SIZE(chains); i++)
		chain = chain || !strcmp(c->name, chains[i]);
	return table && chain && (c->family == NFPROTO_IPV4 || c->family == NFPROTO_IPV6);
}

/* "tap*" as iptables and firewalld write it. */
static void plus_pattern(const char *pattern, char out[IF_NAMESIZE + 1])
{
	snprintf(out, IF_NAMESIZE + 1, "%s", pattern);
	out[strcspn(out, "*")] = strchr(pattern, '*') ? '+' : '\0';
}

static void fix_iptables(const struct visit *v, const struct rules_chain *base, char *out,
			 size_t cap)
{
	bool docker = rules_chain_named(v->rules, base->family, base->table, "DOCKER-USER") &&
		      base->hook == NF_INET_FORWARD;
	char plus[IF_NAMESIZE + 1];

	plus_pattern(v->pattern, plus);
	snprintf(out, cap, "%s%s%s -I %s %s '%s' -j ACCEPT",
		 base->family == NFPROTO_IPV6 ? "ip6tables" : "iptables",
		 strcmp(base->table, "filter") ? " -t " : "",
		 strcmp(base->table, "filter") ? base->table : "",
		 docker ? "DOCKER-USER" : base->name, v->j->in == PLACE_SANDBOX ? "-i" : "-o",
		 plus);
}

static void fix_of(const struct visit *v, const struct rules_chain *base, char *out, size_t cap)
{
	char plus[IF_NAMESIZE + 1];

	plus_pattern(v->pattern, plus);
	if (!strcmp(base->table, "firewalld"))
		snprintf(out, cap,
			 "firewall-cmd --permanent --zone=trusted --add-interface='%s' && "
			 "firewall-cmd "
			 "--reload",
			 plus);
	else if (is_iptables(base))
		fix_iptables(v, base, out, cap);
	else
		snprintf(out, cap, "nft insert rule %s %s %s %s '\"%s\"' accept",
			 rules_family_name(base->family), base->table, base->name,
			 v->j->in == PLACE_SANDBOX ? "iifname" : "oifname", v->pattern);
}

static void tell_fate(struct visit *v, const struct rules_chain *base,
		      const struct rules_chain *where, enum fate f)
{
	char fix[256];

	fix_of(v, base, fix, sizeof(fix));
	doctor_say(v->d, f == FATE_DROPPED ? DOCTOR_PROBLEM : DOCTOR_WARNING,
		   "%s %s (%s; in chain %s)\t%s %s %s\t%s   (and where that software keeps its "
		   "rules; it opens nothing: "
		   "Cordon's drops stay)",
		   f == FATE_DROPPED ? "drops" : "may drop", v->j->what, v->pattern, where->name,
		   rules_family_name(base->family), base->table, base->name, fix);
}

static void check_legacy(struct doctor *d, const char *path, const char *command)
{
	char line[64];

	if (doctor_read(path, line, sizeof(line)) && line[0])
		doctor_say(d, DOCTOR_WARNING,
			   "has rules of its own, which cannot be looked at here\t%s (table "
			   "%s)\t%s -S, and "
			   "use iptables-nft instead",
			   command, line, command);
}

static void run_filters(struct doctor *d)
{
	lead_all(d, tell_fate, NULL);
	check_legacy(d, "/proc/net/ip_tables_names", "iptables-legacy");
	check_legacy(d, "/proc/net/ip6_tables_names", "ip6tables-legacy");
}

/* ---- marks ---- */

static void tell_mark(void *owner, const struct rules_chain *c, enum effect_kind k, uint32_t bits)
{
	struct visit *v = owner;
	uint32_t ours = k == EFFECT_CT_MARK ? bits : bits & MARK_STATE_MASK;
	bool states = bits & MARK_STATE_MASK;

	if ((k != EFFECT_MARK && k != EFFECT_CT_MARK) || !ours)
		return;
	doctor_say(v->d, states ? DOCTOR_PROBLEM : DOCTOR_WARNING,
		   "writes bits %#x of the %s mark of sandboxes' packets, %s\t%s %s %s\t%s", ours,
		   k == EFFECT_MARK ? "packet" : "conntrack",
		   states ? "where Cordon keeps what may pass"
			  : "where Cordon keeps whose flow it is",
		   rules_family_name(c->family), c->table, c->name,
		   states ? "give that software a mask without 0xf0000000, or except the sandbox "
			    "interfaces"
			  : "except the sandbox interfaces there");
}

static void run_marks(struct doctor *d)
{
	lead_all(d, NULL, tell_mark);
}

/* ---- what goes round the rules ---- */

static const struct {
	enum doctor_severity severity;
	const char *what, *fix;
} effects[] = {
	[EFFECT_NAT] = { DOCTOR_WARNING,
			 "translates what sandboxes send, which breaks what they are granted",
			 "except the sandbox interfaces there (iifname != ...)" },
	[EFFECT_TPROXY] = { DOCTOR_PROBLEM,
			    "hands sandboxes' connections to a socket that is not Cordon's",
			    "except the sandbox interfaces there (iifname != ...)" },
	[EFFECT_NOTRACK] = { DOCTOR_PROBLEM,
			     "takes sandboxes' flows out of connection tracking: none is "
			     "translated",
			     "except the sandbox interfaces there (iifname != ...)" },
	[EFFECT_ZONE] = { DOCTOR_PROBLEM,
			  "puts sandboxes' flows into another conntrack zone: replies do not find "
			  "them",
			  "except the sandbox interfaces there (iifname != ...)" },
	[EFFECT_OFFLOAD] = { DOCTOR_PROBLEM,
			     "puts sandboxes' flows into a flowtable: the rest of them goes round "
			     "every "
			     "rule, inspection included",
			     "except the sandbox interfaces there, or remove the flowtable" },
	[EFFECT_REDIRECT] = { DOCTOR_PROBLEM,
			      "forwards sandboxes' packets before any rule of Cordon's",
			      "remove the rule" },
};

/* A destination translated elsewhere than in prerouting and input is the host's own affair. */
static void tell_bypass(void *owner, const struct rules_chain *c, enum effect_kind k, uint32_t bits)
{
	struct visit *v = owner;

	(void)bits;
	if (k >= ARRAY_SIZE(effects) || !effects[k].what || v->j->in != PLACE_SANDBOX ||
	    (k == EFFECT_NOTRACK && v->j->ct_state == CT_UNTRACKED) ||
	    (k == EFFECT_NAT && v->j->ct_state == CT_UNTRACKED))
		return;
	doctor_say(v->d, effects[k].severity, "%s (%s)\t%s %s %s\t%s", effects[k].what,
		   hook_name(v->j->hook), rules_family_name(c->family), c->table, c->name,
		   effects[k].fix);
}

static void tell_flowtable(void *owner, const char *table, const char *name, const char *dev)
{
	struct doctor *d = owner;

	if (interface_is_policed(d->cfg, dev))
		doctor_say(d, DOCTOR_PROBLEM,
			   "has sandbox interface %s among its devices: flows in it go round every "
			   "rule\t"
			   "flowtable %s in table %s\ttake %s out of its devices",
			   dev, name, table, dev);
}

static const char *ingress_device(const struct rules_chain *c, const struct host_config *cfg)
{
	const char *const *all = nftnl_chain_is_set(c->c, NFTNL_CHAIN_DEVICES)
					 ? nftnl_chain_get(c->c, NFTNL_CHAIN_DEVICES)
					 : NULL;
	const char *one = nftnl_chain_get_str(c->c, NFTNL_CHAIN_DEV);

	for (; all && *all; all++)
		if (interface_is_policed(cfg, *all))
			return *all;
	return one && interface_is_policed(cfg, one) ? one : NULL;
}

struct ingress {
	struct doctor *d;
	const char *dev;
	bool forwards;
};

static void note_redirect(void *owner, const struct rules_chain *c, enum effect_kind k,
			  uint32_t bits)
{
	struct ingress *in = owner;

	(void)c, (void)bits;
	in->forwards = in->forwards || k == EFFECT_REDIRECT;
}

/* Chains at the device itself come before every hook of ours. */
static void check_ingress(struct doctor *d, struct rules *r, const struct rules_chain *c)
{
	struct ingress in = { d, ingress_device(c, d->cfg), false };
	const struct rules_chain *where;
	struct packet p = { .nfproto = NFPROTO_NETDEV };

	if (c->hook < 0 || !in.dev)
		return;
	walk_base(r, c, &p, note_redirect, &in, &where);
	if (in.forwards)
		doctor_say(d, DOCTOR_PROBLEM,
			   "forwards packets of %s before any rule of Cordon's\t%s %s %s\tremove "
			   "the rule",
			   in.dev, rules_family_name(c->family), c->table, c->name);
	else
		doctor_say(d, DOCTOR_WARNING,
			   "sees packets of %s before Cordon does\t%s %s %s\tmake sure that it "
			   "only drops",
			   in.dev, rules_family_name(c->family), c->table, c->name);
}

static void run_bypasses(struct doctor *d)
{
	AUTO(rules) struct rules *r = NULL;

	lead_all(d, NULL, tell_bypass);
	if (rules_read(&r) < 0)
		return;
	rules_flowtables(r, tell_flowtable, d);
	for (size_t i = 0; i < r->n; i++)
		if (r->chain[i].family == NFPROTO_NETDEV || r->chain[i].family == NFPROTO_INET)
			check_ingress(d, r, &r->chain[i]);
}

const struct doctor_check doctor_filters = { "other filters", "none drops sandboxes' traffic", true,
					     run_filters };
const struct doctor_check doctor_marks = { "other marks", "none in Cordon's bits", true,
					   run_marks };
const struct doctor_check doctor_bypasses = { "bypasses",
					      "nothing takes packets away from the rules", true,
					      run_bypasses };
