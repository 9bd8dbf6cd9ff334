/*
 * sandbox_links.c - the interfaces of sandboxes
 *
 * Theory of operation: a sandbox's identity element names its interface, but links come and go
 * under that name. One that appears, is made anew or comes up gets its settings, host routes and
 * permanent neighbours (the backstop that it has from its beginning is netd/backstops.c's). One
 * that joined a bridge, where packets pass by the policy, is taken down; so is one that was
 * renamed: under a name outside the patterns the ruleset does not even see it. An event only says
 * whose link to look at: those sandboxes go into a queue, each once however much happens to it, and
 * some are looked at in every turn of the loop, so that ten thousand links do not keep anybody
 * waiting. What is seen is looked at, never believed from an event; all of it may be done again and
 * again.
 *
 * An index alone says little: a link that is gone may have left its number to another one, which is
 * none of ours to touch. So a deletion is taken from its event, and otherwise the link that left its
 * name must still have the address that it had.
 */
#include "netd/sandbox_links.h"

#include <errno.h>
#include <string.h>

#include "base/log.h"
#include "netd/backstops.h"
#include "netd/sandboxes.h"
#include "policy/mark.h"

enum { CHECKS_PER_TURN = 32 };

struct links {
	struct netd *n;
	struct timer turn;
	uint16_t queue[MARK_SANDBOX_MAX + 1]; /* ids, each once: its sandbox says to_check */
	uint32_t head, count;
};

/* Routes and neighbours want a link that is up; the link's event brings us back when it is. */
int sandbox_link_fit(struct netd *n, struct sandbox *s, const struct rtnl_link *link)
{
	int r = backstop_ensure(n, s->interface);

	registry_set_link(n->registry, s, link->index, s->stray);
	memcpy(s->link_mac, link->mac, sizeof(s->link_mac));
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

void sandbox_link_unfit(const struct sandbox *s)
{
	for (int i = 0; s->link && i < 2; i++) {
		if (!s->addr[i].family)
			continue;
		rtnl_neigh_del(s->link, &s->addr[i]);
		rtnl_route_del(s->link, &s->addr[i]);
	}
}

static void link_down(struct sandbox *s, int index)
{
	int r = rtnl_link_set(index, false);

	if (r < 0 && r != -ENODEV)
		log_line(LOG_ERR, "event=link_down_failed sandbox=%s errno=%d", s->name, -r);
	s->downed = r >= 0;
	s->link_up = false;
}

/* The link that had this index is there under another name; ret_up: and up. */
static bool has_moved(const struct sandbox *s, int index, bool *ret_up)
{
	struct rtnl_link link;

	if (!index || rtnl_link_by_index(index, &link) < 0)
		return false;
	*ret_up = link.up;
	return strcmp(link.name, s->interface) && !memcmp(link.mac, s->link_mac, sizeof(link.mac));
}

/* Gone under its name. What it is called now, the ruleset may not know: down with it. */
static void link_lost(struct netd *n, struct sandbox *s)
{
	bool up, moved = has_moved(s, s->link, &up);

	s->downed = s->link_up = false;
	if (moved)
		link_down(s, s->link);
	registry_set_link(n->registry, s, 0, moved ? s->link : 0);
	sandbox_audit(n, s, "interface lost");
}

/* Whoever renamed it may take it up afterwards. Back under its name it is no stray any more. */
static void check_stray(struct netd *n, struct sandbox *s)
{
	bool up;

	if (!has_moved(s, s->stray, &up)) {
		registry_set_link(n->registry, s, s->link, 0);
		return;
	}
	if (!up)
		return;
	log_line(LOG_WARN, "event=stray_link_down sandbox=%s index=%d", s->name, s->stray);
	rtnl_link_set(s->stray, false);
}

/* A run's interface does not come back, and after a restart nobody else would remove it. */
static void run_ended(struct netd *n, struct sandbox *s)
{
	if (s->run && !n->reloading)
		sandbox_rm(n, s->name, 0, NULL);
}

static void link_bridged(struct netd *n, struct sandbox *s, const struct rtnl_link *link)
{
	registry_set_link(n->registry, s, link->index, s->stray);
	memcpy(s->link_mac, link->mac, sizeof(s->link_mac));
	if (!link->up)
		return;
	link_down(s, link->index);
	sandbox_audit(n, s, "interface is in a bridge");
}

static void link_found(struct netd *n, struct sandbox *s, struct rtnl_link *link)
{
	int r;

	if (link->bridged) {
		link_bridged(n, s, link);
		return;
	}
	if (s->link == link->index && s->link_up == link->up && !s->downed)
		return;
	if (s->downed && !link->up && rtnl_link_set(link->index, true) >= 0)
		link->up = true;
	s->downed = false;
	r = sandbox_link_fit(n, s, link);
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
		check_stray(n, s);
	if (r == -ENODEV)
		run_ended(n, s);
	else if (r >= 0)
		link_found(n, s, &link);
}

/* ---- the queue ---- */

static void to_check(struct netd *n, struct sandbox *s)
{
	struct links *l = n->links;

	if (s->to_check)
		return;
	s->to_check = true;
	l->queue[(l->head + l->count++) % ARRAY_SIZE(l->queue)] = s->id;
	if (!l->turn.due_ms)
		loop_arm(n->loop, &l->turn, 0);
}

/* rm may have taken one out of the table meanwhile, or takes it out now: ids, not pointers. */
static void on_turn(struct loop *loop, struct timer *t)
{
	struct links *l = container_of(t, struct links, turn);

	for (int i = 0; l->count && i < CHECKS_PER_TURN; i++) {
		struct sandbox *s = registry_by_id(l->n->registry, l->queue[l->head]);

		l->head = (l->head + 1) % ARRAY_SIZE(l->queue);
		l->count--;
		if (!s || !s->to_check)
			continue;
		s->to_check = false;
		if (s->state == SANDBOX_OPEN)
			check_link(l->n, s);
	}
	if (l->count && !t->due_ms)
		loop_arm(loop, t, 0);
}

/* The event of a deletion is the one thing that cannot be looked at afterwards. */
static void link_deleted(struct netd *n, int index)
{
	struct sandbox *s;

	while ((s = registry_by_link(n->registry, index))) {
		s->downed = s->link_up = false;
		registry_set_link(n->registry, s, 0, s->stray);
		if (s->state == SANDBOX_OPEN)
			sandbox_audit(n, s, "interface lost");
		to_check(n, s);
	}
	while ((s = registry_by_stray(n->registry, index)))
		registry_set_link(n->registry, s, s->link, 0);
}

void sandbox_links_changed(struct netd *n, int index, const char *name, bool gone)
{
	struct sandbox *s;

	if (gone)
		link_deleted(n, index);
	for (s = registry_by_interface(n->registry, name); s; s = registry_next_on(s))
		to_check(n, s);
	for (s = registry_by_link(n->registry, index); s; s = registry_next_of_link(s))
		to_check(n, s);
	s = registry_by_stray(n->registry, index);
	if (s)
		to_check(n, s);
}

void sandbox_links_check_all(struct netd *n)
{
	REGISTRY_EACH (n->registry, s)
		to_check(n, s);
}

void sandbox_links_check_runs(struct netd *n)
{
	REGISTRY_EACH (n->registry, s)
		if (s->run && !s->link)
			to_check(n, s);
}

/* ---- all at once ---- */

static int down_one(void *owner, const struct rtnl_link *link)
{
	struct netd *n = owner;

	for (struct sandbox *s = registry_by_interface(n->registry, link->name); s;
	     s = registry_next_on(s))
		s->downed |= link->up && rtnl_link_set(link->index, false) >= 0;
	return 0;
}

void sandbox_links_all(struct netd *n, bool up)
{
	int r = up ? 0 : rtnl_links_each(down_one, n);

	if (r < 0)
		log_line(LOG_ERR, "event=links_not_down errno=%d", -r);
	if (up)
		sandbox_links_check_all(n);
}

int links_new(struct netd *n, struct links **ret)
{
	struct links *l = calloc(1, sizeof(*l));

	if (!l)
		return -ENOMEM;
	l->n = n;
	l->turn.fn = on_turn;
	*ret = l;
	return 0;
}

void links_free(struct links *l)
{
	if (!l)
		return;
	loop_disarm(l->n->loop, &l->turn);
	free(l);
}
