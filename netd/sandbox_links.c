/*
 * sandbox_links.c - the interfaces of sandboxes
 *
 * Theory of operation: a sandbox's identity element names its interface, but links come and go
 * under that name. One that appears, is made anew or comes up gets its sysctls, its backstop, host
 * routes and permanent neighbours. One that joined a bridge, where packets pass by the policy, is
 * taken down; so is one that was renamed: under a name outside the patterns the ruleset does not
 * even see it. What is seen is looked at, never believed from an event; all of it may be done again
 * and again.
 */
#include "netd/sandbox_links.h"

#include <errno.h>
#include <net/if.h>
#include <string.h>

#include "base/log.h"
#include "netd/sandboxes.h"
#include "nft/firewall.h"

/* Routes and neighbours want a link that is up; check_links comes back when it is. */
int sandbox_link_fit(struct sandbox *s, const struct rtnl_link *link)
{
	int r = firewall_interface_sysctls(s->interface);

	if (r >= 0 && s->addr[1].family)
		r = rtnl_backstop_add(s->interface);
	s->link = link->index;
	s->link_up = link->up;
	for (int i = 0; r >= 0 && link->up && i < 2; i++) {
		if (!s->addr[i].family)
			continue;
		r = rtnl_route_add(link->index, &s->addr[i]);
		if (r >= 0)
			r = rtnl_neigh_add(link->index, &s->addr[i], s->mac);
	}
	return r;
}

void sandbox_link_unfit(const struct netd *n, const struct sandbox *s)
{
	bool shared = false;

	REGISTRY_EACH (n->registry, other)
		shared |= other != s && !strcmp(other->interface, s->interface);
	if (!shared)
		rtnl_backstop_del(s->interface);
	for (int i = 0; s->link && i < 2; i++) {
		if (!s->addr[i].family)
			continue;
		rtnl_neigh_del(s->link, &s->addr[i]);
		rtnl_route_del(s->link, &s->addr[i]);
	}
}

static void link_down(struct netd *n, struct sandbox *s, const char *what)
{
	int r = rtnl_link_set(s->link, false);

	if (r < 0 && r != -ENODEV)
		log_line(LOG_ERR, "event=link_down_failed sandbox=%s errno=%d", s->name, -r);
	s->downed = r >= 0;
	s->link_up = false;
	sandbox_audit(n, s, what);
}

/* Gone under its name. What it is called now, the ruleset may not know: down with it. */
static void link_lost(struct netd *n, struct sandbox *s)
{
	link_down(n, s, "interface lost");
	s->stray = s->downed ? s->link : 0;
	s->link = 0;
}

/* Whoever renamed it may take it up afterwards. Back under its name it is no stray any more. */
static void check_stray(struct sandbox *s)
{
	char name[IF_NAMESIZE];
	struct rtnl_link link;

	if (!if_indextoname((unsigned)s->stray, name) || !strcmp(name, s->interface)) {
		s->stray = 0;
		return;
	}
	if (rtnl_link_get(name, &link) < 0 || link.index != s->stray || !link.up)
		return;
	log_line(LOG_WARN, "event=stray_link_down sandbox=%s interface=%s", s->name, name);
	rtnl_link_set(s->stray, false);
}

/* A run's interface does not come back, and after a restart nobody else would remove it. */
static void run_ended(struct netd *n, struct sandbox *s)
{
	if (s->run && !n->reloading)
		sandbox_rm(n, s->name, 0, NULL);
}

static void link_found(struct netd *n, struct sandbox *s, struct rtnl_link *link)
{
	int r;

	if (link->bridged) {
		s->link = link->index;
		if (link->up)
			link_down(n, s, "interface is in a bridge");
		return;
	}
	if (s->link == link->index && s->link_up == link->up && !s->downed)
		return;
	if (s->downed && !link->up && rtnl_link_set(link->index, true) >= 0)
		link->up = true;
	s->downed = false;
	r = sandbox_link_fit(s, link);
	if (r < 0)
		log_line(LOG_ERR, "event=link_setup_failed sandbox=%s interface=%s errno=%d",
			 s->name, s->interface, -r);
}

static void check_link(struct netd *n, struct sandbox *s)
{
	struct rtnl_link link = { 0 };
	int r = rtnl_link_get(s->interface, &link);

	if (s->link && (r < 0 || link.index != s->link))
		link_lost(n, s);
	if (s->stray)
		check_stray(s);
	if (r == -ENODEV)
		run_ended(n, s);
	else if (r >= 0)
		link_found(n, s, &link);
}

/* rm takes a sandbox out of the table later or at once, so the walk goes by number. */
void sandboxes_check_links(struct netd *n)
{
	uint32_t id = 0;

	for (struct sandbox *s; (s = registry_after(n->registry, id));) {
		id = s->id;
		if (s->state == SANDBOX_OPEN)
			check_link(n, s);
	}
}

void sandboxes_links(struct netd *n, bool up)
{
	REGISTRY_EACH (n->registry, s) {
		struct rtnl_link link;

		if (rtnl_link_get(s->interface, &link) < 0)
			continue;
		if (!up && link.up && rtnl_link_set(link.index, false) >= 0)
			s->downed = true;
	}
	if (up)
		sandboxes_check_links(n);
}
