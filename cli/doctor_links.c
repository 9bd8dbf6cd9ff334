/*
 * doctor_links.c - interfaces: where sandboxes come in and where their flows leave
 *
 * Theory of operation: one dump of all links gives names, masters and what stands on what; the
 * identity maps of the kernel say which are registered, so that no daemon needs to be asked.
 */
#include <errno.h>
#include <net/if.h>
#include <string.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <libmnl/libmnl.h>

#include "cli/doctor.h"
#include "cli/doctor_dump.h"
#include "nft/ruleset.h"
#include "policy/interface.h"

static void link_kind(const struct nlattr *nest, char out[16])
{
	const struct nlattr *a;

	mnl_attr_for_each_nested(a, nest) if (mnl_attr_get_type(a) == IFLA_INFO_KIND)
		snprintf(out, 16, "%s", mnl_attr_get_str(a));
}

static void link_attr(struct doctor_link *l, const struct nlattr *a)
{
	switch (mnl_attr_get_type(a)) {
	case IFLA_IFNAME:
		snprintf(l->l.name, sizeof(l->l.name), "%s", mnl_attr_get_str(a));
		break;
	case IFLA_MASTER:
		l->master = (int)mnl_attr_get_u32(a);
		break;
	case IFLA_LINK:
		l->lower = (int)mnl_attr_get_u32(a);
		break;
	case IFLA_LINK_NETNSID:
		l->lower_here = false;
		break;
	case IFLA_LINKINFO:
		link_kind(a, l->kind);
		break;
	default:
		break;
	}
}

static int link_add(const struct nlmsghdr *h, void *owner)
{
	const struct ifinfomsg *i = mnl_nlmsg_get_payload(h);
	struct doctor_link *l;
	struct doctor *d = owner;
	const struct nlattr *a;

	if (d->n_links == DOCTOR_LINKS_MAX)
		return MNL_CB_OK;
	l = &d->links[d->n_links++];
	*l = (struct doctor_link){ .l.index = i->ifi_index,
				   .l.up = i->ifi_flags & IFF_UP,
				   .lower_here = true };
	mnl_attr_for_each(a, h, sizeof(*i)) link_attr(l, a);
	l->policed = interface_is_policed(d->cfg, l->l.name);
	return MNL_CB_OK;
}

static const struct doctor_link *link_named(const struct doctor *d, const char *name)
{
	for (size_t i = 0; i < d->n_links; i++)
		if (!strcmp(d->links[i].l.name, name))
			return &d->links[i];
	return NULL;
}

static const struct doctor_link *link_indexed(const struct doctor *d, int index)
{
	for (size_t i = 0; index && i < d->n_links; i++)
		if (d->links[i].l.index == index)
			return &d->links[i];
	return NULL;
}

static bool is_uplink(const struct doctor *d, const char *name)
{
	for (size_t i = 0; i < d->n_uplinks; i++)
		if (!strcmp(d->uplinks[i], name))
			return true;
	return false;
}

static int mark_registered(void *owner, const struct ruleset_elem *e)
{
	struct doctor *d = owner;

	for (size_t i = 0; i < d->n_links; i++)
		if (!strcmp(d->links[i].l.name, e->interface))
			d->links[i].registered = true;
	return 0;
}

static void look_at_ruleset(struct doctor *d)
{
	AUTO(ruleset) struct ruleset *r = NULL;

	if (!d->root || ruleset_open(&r) < 0)
		return;
	d->loaded = ruleset_present(r);
	if (!d->loaded)
		return;
	ruleset_each(r, MAP_IDENTITY, 4, mark_registered, d);
	ruleset_each(r, MAP_IDENTITY, 6, mark_registered, d);
}

static void look_at_uplinks(struct doctor *d)
{
	const struct host_config *c = d->cfg;
	int n;

	for (size_t i = 0; i < c->n_uplinks && i < DOCTOR_UPLINKS_MAX; i++)
		snprintf(d->uplinks[d->n_uplinks++], 16, "%s", c->uplinks[i]);
	if (c->n_uplinks)
		return;
	n = rtnl_default_links(d->uplinks, DOCTOR_UPLINKS_MAX);
	d->n_uplinks = n > 0 ? (size_t)n : 0;
}

int doctor_look(struct doctor *d)
{
	int r;

	d->links = calloc(DOCTOR_LINKS_MAX, sizeof(*d->links));
	if (!d->links)
		return -ENOMEM;
	r = doctor_dump_route(RTM_GETLINK, AF_UNSPEC, sizeof(struct ifinfomsg), link_add, d);
	look_at_uplinks(d);
	look_at_ruleset(d);
	return r;
}

/* ---- findings ---- */

static void check_master(struct doctor *d, const struct doctor_link *l)
{
	const struct doctor_link *m = link_indexed(d, l->master);

	if (l->policed && m && strcmp(m->kind, "openvswitch"))
		doctor_say(d, DOCTOR_PROBLEM,
			   "is a port of %s %s, where the host sees its packets as %s's: they pass "
			   "unpoliced\t%s\tip link set %s nomaster, and route to it",
			   m->kind[0] ? m->kind : "interface", m->l.name, m->l.name, l->l.name,
			   l->l.name);
	if (l->policed && !strcmp(l->kind, "bridge"))
		doctor_say(
			d, DOCTOR_PROBLEM,
			"is a bridge: its ports reach each other unpoliced\t%s\tuse routed taps, "
			"or change `sandbox_interfaces` in %s",
			l->l.name, d->cfg->file);
}

/* What stands on a sandbox's interface takes its packets out of the pattern. */
static void check_lower(struct doctor *d, const struct doctor_link *l)
{
	const struct doctor_link *below = l->lower_here ? link_indexed(d, l->lower) : NULL;

	if (!below || !below->policed || l->policed || !strcmp(l->kind, "veth"))
		return;
	doctor_say(d, DOCTOR_PROBLEM,
		   "stands on sandbox interface %s and is not policed\t%s\tip link del %s, or "
		   "rename it so that sandbox_interfaces matches it",
		   below->l.name, l->l.name, l->l.name);
}

static void check_registered(struct doctor *d, const struct doctor_link *l)
{
	if (!l->policed || l->registered || !d->root)
		return;
	if (!d->loaded && l->l.up)
		doctor_say(d, DOCTOR_PROBLEM,
			   "is up and no ruleset is loaded\t%s\tsudo cordon firewall start",
			   l->l.name);
	else if (l->l.up)
		doctor_say(d, DOCTOR_WARNING,
			   "has no sandbox registered: nothing passes\t%s\tcordon add NAME "
			   "--interface %s --mac M --ip A --profile P",
			   l->l.name, l->l.name);
}

static void check_bridge_netfilter(struct doctor *d)
{
	char value[16];

	if (!doctor_read("/proc/sys/net/bridge/bridge-nf-call-iptables", value, sizeof(value)) ||
	    value[0] == '0')
		return;
	for (size_t i = 0; i < d->n_links; i++)
		if (d->links[i].policed && d->links[i].master)
			doctor_say(d, DOCTOR_WARNING,
				   "bridged packets pass IP rules under the bridge's name\t"
				   "net.bridge.bridge-nf-call-iptables (br_netfilter)\t"
				   "take sandbox interfaces out of bridges");
}

static void run_links(struct doctor *d)
{
	for (size_t i = 0; i < d->n_links; i++) {
		check_master(d, &d->links[i]);
		check_lower(d, &d->links[i]);
		check_registered(d, &d->links[i]);
	}
	check_bridge_netfilter(d);
}

static void check_uplink(struct doctor *d, const char *name)
{
	const struct doctor_link *l = link_named(d, name);

	if (!l)
		doctor_say(d, DOCTOR_PROBLEM,
			   "there is no such interface\tuplink %s\tcorrect `uplink` in %s", name,
			   d->cfg->file);
	else if (!l->l.up)
		doctor_say(d, DOCTOR_PROBLEM, "is down\tuplink %s\tip link set %s up", name, name);
	else if (l->policed)
		doctor_say(d, DOCTOR_PROBLEM,
			   "is called like a sandbox interface\tuplink %s\tchange `uplink` or "
			   "`sandbox_interfaces` in %s",
			   name, d->cfg->file);
}

static void run_uplinks(struct doctor *d)
{
	char found[DOCTOR_UPLINKS_MAX][16];
	int n = rtnl_default_links(found, DOCTOR_UPLINKS_MAX);

	if (!d->n_uplinks)
		doctor_say(d, DOCTOR_PROBLEM,
			   "there is none: the host has no default route, so nothing can leave\t"
			   "uplink\tname `uplink` in %s",
			   d->cfg->file);
	for (size_t i = 0; i < d->n_uplinks; i++)
		check_uplink(d, d->uplinks[i]);
	for (int i = 0; i < n; i++)
		if (!is_uplink(d, found[i]))
			doctor_say(
				d, DOCTOR_WARNING,
				"has a default route, but flows may not leave there\t%s\tadd it to "
				"`uplink` in %s, or remove the route",
				found[i], d->cfg->file);
}

const struct doctor_check doctor_links = { "interfaces", "policed ones are routed and registered",
					   false, run_links };
const struct doctor_check doctor_uplinks = { "uplinks", "present", false, run_uplinks };
