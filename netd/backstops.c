/*
 * backstops.c - the routing backstop of every interface that is policed
 *
 * Theory of operation: IPv6 has no check of the reverse path, so each sandbox interface has a routing
 * rule that lets nothing pass without a state bit, whatever its source (strict rp_filter is its like for
 * IPv4). It belongs to the interface, not to the sandbox: it is made when an interface appears whose
 * name is policed, registered or not, and goes with the interface. For the kernel a rule is dear: it
 * walks all rules and all IPv6 routes (3 ms at ten thousand), so rules are made and deleted in turns of
 * their own, a few in each, and nobody waits, except for a sandbox that is added on an interface whose
 * turn has not come yet.
 */
#include "netd/backstops.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "netd/registry.h"
#include "nft/firewall.h"
#include "nft/rtnl.h"
#include "policy/interface.h"

enum { BUCKETS = 1 << 14, RULES_PER_TURN = 2 };

struct entry {
	struct entry *next;	     /* in its bucket */
	struct entry *later, **back; /* in the queue; back NULL: not queued */
	bool wanted; /* the interface is there, and policed */
	bool rule;   /* it has its rule, which goes by the name and outlives the link */
	bool set;    /* it has its settings, which do not */
	char name[16];
};

struct backstops {
	struct netd *n;
	struct timer turn;
	struct entry *bucket[BUCKETS];
	struct entry *head, **tail;
};

static struct entry **place_of(struct backstops *b, const char *name)
{
	struct entry **at;
	uint32_t h = 2166136261u;

	for (const char *c = name; *c; c++)
		h = (h ^ (uint8_t)*c) * 16777619u;
	for (at = &b->bucket[(h ^ h >> 16) % BUCKETS]; *at && strcmp((*at)->name, name); at = &(*at)->next)
		;
	return at;
}

/* NULL: out of memory. */
static struct entry *entry_for(struct backstops *b, const char *name)
{
	struct entry **at = place_of(b, name);

	if (*at)
		return *at;
	*at = calloc(1, sizeof(**at));
	if (*at)
		snprintf((*at)->name, sizeof((*at)->name), "%s", name);
	return *at;
}

static void unqueue(struct backstops *b, struct entry *e)
{
	if (!e->back)
		return;
	*e->back = e->later;
	if (e->later)
		e->later->back = e->back;
	else
		b->tail = e->back;
	e->back = NULL;
}

static bool is_settled(const struct entry *e)
{
	return e->rule == e->wanted && e->set == e->wanted;
}

static void queue(struct backstops *b, struct entry *e)
{
	if (e->back || is_settled(e))
		return;
	e->later = NULL;
	e->back = b->tail;
	*b->tail = e;
	b->tail = &e->later;
	if (!b->turn.due_ms)
		loop_arm(b->n->loop, &b->turn, 0);
}

static void forget(struct backstops *b, struct entry *e)
{
	struct entry **at = place_of(b, e->name);

	unqueue(b, e);
	*at = e->next;
	free(e);
}

/* Settings that hold without nftables, and the rule. */
static int make(struct entry *e)
{
	int r = e->set ? 0 : firewall_interface_sysctls(e->name);

	e->set = r >= 0;
	if (r >= 0 && !e->rule)
		r = rtnl_backstop_add(e->name);
	e->rule |= r >= 0;
	return r;
}

static void settle(struct backstops *b, struct entry *e)
{
	int r = 0;

	unqueue(b, e);
	if (e->wanted)
		r = make(e);
	else if (e->rule)
		r = rtnl_backstop_del(e->name);
	/* One that is gone again already is forgotten by its event. */
	if (r < 0 && r != -ENOENT && r != -ENODEV)
		log_line(LOG_ERR, "event=backstop_failed interface=%s errno=%d", e->name, -r);
	if (!e->wanted)
		forget(b, e);
}

static void on_turn(struct loop *l, struct timer *t)
{
	struct backstops *b = container_of(t, struct backstops, turn);

	for (int i = 0; b->head && i < RULES_PER_TURN; i++)
		settle(b, b->head);
	if (b->head && !t->due_ms)
		loop_arm(l, t, 0);
}

int backstop_ensure(struct netd *n, const char *interface)
{
	struct entry *e = entry_for(n->backstops, interface);

	if (!e)
		return -ENOMEM;
	unqueue(n->backstops, e);
	e->wanted = true;
	return make(e);
}

void backstop_link(struct netd *n, const char *interface, bool gone)
{
	struct backstops *b = n->backstops;
	struct entry *e;

	if (gone) {
		e = *place_of(b, interface);
	} else if (interface_is_policed(n->config, interface)) {
		e = entry_for(b, interface);
	} else {
		return;
	}
	if (!e)
		return;
	e->wanted = !gone;
	e->set &= !gone;
	if (gone && !e->rule)
		forget(b, e);
	else
		queue(b, e);
}

static int on_rule(void *owner, const char *interface)
{
	struct entry *e = entry_for(owner, interface);

	if (e)
		e->rule = true;
	return e ? 0 : -ENOMEM;
}

static int on_link(void *owner, const struct rtnl_link *l)
{
	struct backstops *b = owner;
	struct entry *e = interface_is_policed(b->n->config, l->name) ? entry_for(b, l->name) : NULL;

	if (e)
		e->wanted = true;
	return 0;
}

void backstops_check_all(struct netd *n)
{
	struct backstops *b = n->backstops;
	int r;

	for (size_t i = 0; i < BUCKETS; i++)
		for (struct entry *e = b->bucket[i]; e; e = e->next)
			e->wanted = false;
	r = rtnl_links_each(on_link, b);
	if (r < 0)
		log_line(LOG_ERR, "event=links_not_read errno=%d", -r);
	for (size_t i = 0; i < BUCKETS; i++)
		for (struct entry *e = b->bucket[i]; e; e = e->next) {
			e->wanted |= r < 0;
			e->set &= e->wanted;
			queue(b, e);
		}
}

int backstops_new(struct netd *n, struct backstops **ret)
{
	AUTO(backstops) struct backstops *b = calloc(1, sizeof(*b));
	int r;

	if (!b)
		return -ENOMEM;
	b->n = n;
	b->turn.fn = on_turn;
	b->tail = &b->head;
	r = rtnl_backstops_each(on_rule, b);
	if (r < 0)
		return r;
	*ret = STEAL(b);
	return 0;
}

void backstops_free(struct backstops *b)
{
	if (!b)
		return;
	loop_disarm(b->n->loop, &b->turn);
	for (size_t i = 0; i < BUCKETS; i++)
		for (struct entry *e; (e = b->bucket[i]);) {
			b->bucket[i] = e->next;
			free(e);
		}
	free(b);
}
