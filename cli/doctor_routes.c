/*
 * doctor_routes.c - routes and policy routing rules that cross Cordon's
 *
 * Theory of operation: the synthetic pool and the sandbox networks must mean on this host what
 * Cordon means by them. Rules that come before the backstop's can route around it once the ruleset
 * is gone; rules that read the mark's state bits see Cordon's states. Numbers are those that
 * nft/rtnl.h sets.
 */
#include <errno.h>
#include <net/if.h>
#include <string.h>
#include <linux/fib_rules.h>
#include <linux/rtnetlink.h>
#include <libmnl/libmnl.h>

#include "cli/doctor.h"
#include "cli/doctor_dump.h"
#include "nft/firewall.h"
#include "policy/interface.h"
#include "policy/mark.h"

struct route {
	struct prefix to;
	uint32_t table;
	uint8_t type;
	char link[IF_NAMESIZE];
};

static void prefix_take(struct prefix *p, uint8_t family, uint8_t bits, const struct nlattr *a)
{
	p->addr.family = family == AF_INET6 ? 6 : 4;
	p->bits = bits;
	if (a && mnl_attr_get_payload_len(a) == addr_len(&p->addr))
		memcpy(p->addr.b, mnl_attr_get_payload(a), addr_len(&p->addr));
}

static void route_parse(const struct nlmsghdr *h, struct route *ret)
{
	const struct rtmsg *m = mnl_nlmsg_get_payload(h);
	const struct nlattr *a, *to = NULL;

	*ret = (struct route){ .table = m->rtm_table, .type = m->rtm_type };
	mnl_attr_for_each(a, h, sizeof(*m))
	{
		if (mnl_attr_get_type(a) == RTA_DST)
			to = a;
		else if (mnl_attr_get_type(a) == RTA_TABLE)
			ret->table = mnl_attr_get_u32(a);
		else if (mnl_attr_get_type(a) == RTA_OIF)
			if_indextoname(mnl_attr_get_u32(a), ret->link);
	}
	prefix_take(&ret->to, m->rtm_family, m->rtm_dst_len, to);
}

/* A wider route (a default, a VPN's half of everything) is no clash: synthetic addresses never get
 * there. */
static bool inside(const struct prefix *outer, const struct prefix *p)
{
	return p->bits >= outer->bits && prefix_overlap(outer, p);
}

static void clash(struct doctor *d, const struct prefix *ours, const struct route *r,
		  const char *what, const char *key, enum doctor_severity s)
{
	char text[ADDR_TEXT_MAX], own[ADDR_TEXT_MAX];

	prefix_format(&r->to, text);
	prefix_format(ours, own);
	doctor_say(d, s,
		   "lies in %s %s\troute %s dev %s\tchoose another `%s` in %s, or renumber that "
		   "network",
		   what, own, text, r->link[0] ? r->link : "-", key, d->cfg->file);
}

static void check_table(struct doctor *d, const struct route *r)
{
	char text[ADDR_TEXT_MAX];

	if (r->table != STEER_TABLE || (r->type == RTN_LOCAL && !r->to.bits))
		return;
	prefix_format(&r->to, text);
	doctor_say(d, DOCTOR_PROBLEM,
		   "is in the table that makes sandboxes' DNS queries and proxied connections "
		   "local\troute %s dev %s table %d\tgive that software another table",
		   text, r->link[0] ? r->link : "-", STEER_TABLE);
}

static int route_check(const struct nlmsghdr *h, void *owner)
{
	struct doctor *d = owner;
	const struct host_config *c = d->cfg;
	const struct prefix *pools[] = { &c->pool.v4, &c->pool.v6 };
	struct route r;

	route_parse(h, &r);
	check_table(d, &r);
	if (!r.to.bits || r.type == RTN_MULTICAST || r.type == RTN_ANYCAST)
		return MNL_CB_OK;
	for (size_t i = 0; i < ARRAY_SIZE(pools); i++)
		if (inside(pools[i], &r.to))
			clash(d, pools[i], &r, "the synthetic addresses", "addresses",
			      DOCTOR_PROBLEM);
	if (interface_is_policed(c, r.link) || r.type == RTN_LOCAL || r.type == RTN_BROADCAST)
		return MNL_CB_OK;
	for (size_t i = 0; i < c->n_networks; i++)
		if (inside(&c->networks[i], &r.to))
			clash(d, &c->networks[i], &r, "the sandbox network", "sandbox_networks",
			      DOCTOR_PROBLEM);
	if (inside(&c->run4, &r.to) || inside(&c->run6, &r.to))
		clash(d, r.to.addr.family == 6 ? &c->run6 : &c->run4, &r,
		      "the addresses of cordon run", "run_addresses", DOCTOR_PROBLEM);
	return MNL_CB_OK;
}

static void run_routes(struct doctor *d)
{
	static const uint8_t families[] = { AF_INET, AF_INET6 };

	for (size_t i = 0; i < ARRAY_SIZE(families); i++)
		doctor_dump_route(RTM_GETROUTE, families[i], sizeof(struct rtmsg), route_check, d);
}

/* ---- rules ---- */

struct rule {
	uint8_t family, action;
	uint32_t pref, mark, mask, table;
	bool from, iif, has_mark;
};

static void rule_parse(const struct nlmsghdr *h, struct rule *ret)
{
	const struct fib_rule_hdr *f = mnl_nlmsg_get_payload(h);
	const struct nlattr *a;

	*ret = (struct rule){ .family = f->family == AF_INET6 ? 6 : 4,
			      .action = f->action,
			      .table = f->table,
			      .mask = UINT32_MAX,
			      .from = f->src_len };
	mnl_attr_for_each(a, h, sizeof(*f))
	{
		uint16_t type = mnl_attr_get_type(a);

		if (type == FRA_PRIORITY)
			ret->pref = mnl_attr_get_u32(a);
		else if (type == FRA_FWMARK)
			ret->mark = mnl_attr_get_u32(a);
		else if (type == FRA_FWMASK)
			ret->mask = mnl_attr_get_u32(a);
		else if (type == FRA_TABLE)
			ret->table = mnl_attr_get_u32(a);
		ret->iif = ret->iif || type == FRA_IIFNAME;
		ret->has_mark = ret->has_mark || type == FRA_FWMARK;
	}
}

/* As nft/firewall.c and nft/rtnl.c make them: in a band of their own, and only steering asks a
 * table. */
static bool rule_is_ours(const struct rule *r)
{
	if (r->pref != RTNL_PREF_END && (r->pref < RTNL_PREF_OWN || r->pref > RTNL_PREF_INTERFACE))
		return false;
	return r->action != FR_ACT_TO_TBL || (r->mark == MARK_STEERED && r->mask == MARK_STEERED);
}

static void rule_say(struct doctor *d, const struct rule *r, enum doctor_severity s,
		     const char *what, const char *fix)
{
	doctor_say(d, s, "%s\tip -%u rule pref %u fwmark %#x/%#x lookup %u\t%s", what, r->family,
		   r->pref, r->mark, r->has_mark ? r->mask : 0, r->table, fix);
}

static int rule_check(const struct nlmsghdr *h, void *owner)
{
	struct doctor *d = owner;
	struct rule r;

	rule_parse(h, &r);
	if (!r.pref || rule_is_ours(&r))
		return MNL_CB_OK;
	if (r.has_mark && r.mask & MARK_STATE_MASK)
		rule_say(d, &r, r.pref <= RTNL_PREF_END ? DOCTOR_PROBLEM : DOCTOR_WARNING,
			 "reads mark bits 28-31, which hold Cordon's states",
			 "give that software a mask without 0xf0000000");
	else if (r.pref <= RTNL_PREF_END && r.action == FR_ACT_TO_TBL && !r.from && !r.iif)
		rule_say(d, &r, DOCTOR_WARNING,
			 "comes before Cordon's backstop: it could route sandboxes once the "
			 "ruleset is gone",
			 "give it a preference above 200");
	return MNL_CB_OK;
}

static void run_rules(struct doctor *d)
{
	static const uint8_t families[] = { AF_INET, AF_INET6 };

	for (size_t i = 0; i < ARRAY_SIZE(families); i++)
		doctor_dump_route(RTM_GETRULE, families[i], sizeof(struct fib_rule_hdr), rule_check,
				  d);
}

const struct doctor_check doctor_routes = { "routes", "none in Cordon's networks", false,
					    run_routes };
const struct doctor_check doctor_routing_rules = { "routing rules", "none before Cordon's", false,
						   run_rules };
