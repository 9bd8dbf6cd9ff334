/*
 * guard.c - what other software does to the ruleset and to sandbox links
 *
 * Theory of operation: `nft flush ruleset` (which Debian's nftables.service does on reload) takes
 * our table along. Forwarding is then held by the routing backstop, but the host's own ports are
 * not, so the static ruleset is loaded again before anything else: without elements it lets nothing
 * in. When that cannot be done, every sandbox link goes down, and stays down until it can. Then all
 * elements are written from memory, and the queue rule is put back. One audit event tells of it.
 * Rules that were only changed (`nft flush table inet cordon` leaves the chains, which accept then)
 * are loaded again as well: that is one transaction, and the elements stay. Whether they were
 * changed by somebody else is told by a fingerprint that is taken whenever we changed them
 * ourselves. A notification is a hint: what is really there is looked at. What fails is tried again
 * until it works. What happens to links goes to netd/sandbox_links.c, and an address that this host
 * has now is taken away from the names that led there.
 */
#include "netd/guard.h"

#include <errno.h>

#include "base/log.h"
#include "netd/backstops.h"
#include "netd/flows.h"
#include "netd/host_addresses.h"
#include "netd/inspector.h"
#include "netd/names.h"
#include "netd/ranges.h"
#include "netd/sandbox_links.h"
#include "netd/sandboxes.h"
#include "nft/firewall.h"

enum { RETRY_MS = 500 };

struct guard {
	struct netd *n;
	struct watch watch;
	struct timer again;
	bool open;	/* the ruleset is gone, or not complete */
	bool down;	/* so the links are */
	unsigned seen;	/* what one read told, as bits of enum watch_what */
	uint64_t print; /* of the rules as they should be */
};

static void audit_ruleset(struct netd *n, const char *what, uint64_t ms)
{
	struct audit_head h = { .event = "ruleset", .decision = "" };
	struct audit_line l;

	audit_begin(&l, &h);
	audit_str(&l, "what", what);
	audit_u64(&l, "ms", ms);
	audit_put(n->audit, &l);
}

void guard_settle(struct netd *n)
{
	int r = n->guard ? ruleset_fingerprint(n->rules, &n->guard->print) : 0;

	if (r < 0)
		log_line(LOG_ERR, "event=fingerprint_failed errno=%d", -r);
}

static int load_rules(struct netd *n)
{
	char said[256] = "";
	int r = firewall_load(n->config, said, sizeof(said));

	if (r < 0)
		log_line(LOG_ERR, "event=ruleset_not_loaded errno=%d said=\"%s\"", -r, said);
	return r;
}

static int rebuild(struct guard *g)
{
	struct netd *n = g->n;
	int r = load_rules(n);

	if (r < 0 && !g->down) {
		g->down = true;
		sandbox_links_all(n, false);
	}
	if (r >= 0)
		r = names_refill(n->names);
	if (r >= 0)
		r = ranges_rebase(n->rules, n->profiles, NULL);
	if (r >= 0)
		r = inspector_queue_rule(n);
	if (r >= 0)
		r = sandboxes_refill(n); /* last: without identities nothing passes */
	return r;
}

static void restored(struct guard *g, uint64_t ms)
{
	g->open = false;
	guard_settle(g->n);
	if (g->down)
		sandbox_links_all(g->n, true);
	g->down = false;
	audit_ruleset(g->n, "the ruleset was removed by other software and is restored", ms);
	log_line(LOG_WARN, "event=ruleset_restored ms=%llu", (unsigned long long)ms);
}

static void restore(struct guard *g)
{
	uint64_t from = loop_wall_ms();
	int r;

	if (!g->open && ruleset_present(g->n->rules))
		return;
	g->open = true;
	r = rebuild(g);
	if (r >= 0) {
		restored(g, loop_wall_ms() - from);
		return;
	}
	log_line(LOG_ERR, "event=ruleset_not_restored errno=%d", -r);
	loop_arm(g->n->loop, &g->again, RETRY_MS);
}

/*
 * The table is there: are the rules ours? Loading keeps elements, but it may be another table, made anew
 * before we looked, and empty.
 */
static void check_rules(struct guard *g)
{
	struct netd *n = g->n;
	uint64_t from = loop_wall_ms(), print;
	int r = ruleset_fingerprint(n->rules, &print);

	if (r >= 0 && print == g->print)
		return;
	r = rebuild(g);
	if (r < 0) {
		g->open = true; /* the whole way, until it works */
		loop_arm(n->loop, &g->again, 0);
		return;
	}
	guard_settle(n);
	audit_ruleset(n, "rules were changed by other software and are restored",
		      loop_wall_ms() - from);
	log_line(LOG_WARN, "event=rules_restored");
}

static void on_again(struct loop *l, struct timer *t)
{
	(void)l;
	restore(container_of(t, struct guard, again));
}

/* ---- addresses ---- */

/* What named a server until now would name the host: out, with its flows. */
static void rebase_names(struct netd *n)
{
	struct flow_list lost = { 0 };
	int r = names_rebase(n->names, n->profiles, flows_add, &lost);

	if (r < 0)
		log_line(LOG_ERR, "event=names_not_rebased errno=%d", -r);
	else
		flows_close(&lost);
	free(lost.key);
}

static void address_changed(struct netd *n, const struct watch_event *e)
{
	if (e->gone)
		host_addresses_del(n->addresses, &e->addr, e->index);
	else if (host_addresses_put(n->addresses, &e->addr, e->index) &&
		 names_lead_to(n->names, &e->addr))
		rebase_names(n);
}

static void anything_happened(struct netd *n)
{
	int r = host_addresses_read(n->addresses);

	log_line(LOG_WARN, "event=link_events_lost errno=%d", -r);
	rebase_names(n);
	backstops_check_all(n);
	sandbox_links_check_all(n);
}

/* ---- events ---- */

static void on_change(void *owner, const struct watch_event *e)
{
	struct guard *g = owner;

	g->seen |= 1u << e->what; /* those of the ruleset come in dozens: looked at once */
	switch (e->what) {
	case WATCH_TABLE_GONE:
	case WATCH_RULES_CHANGED:
		break;
	case WATCH_LINK:
		backstop_link(g->n, e->name, e->gone);
		sandbox_links_changed(g->n, e->index, e->name, e->gone);
		break;
	case WATCH_ADDRESS:
		address_changed(g->n, e);
		break;
	case WATCH_LOST:
		break; /* told for both sockets */
	}
}

static void on_event(struct loop *l, struct watch *w, uint32_t events)
{
	struct guard *g = container_of(w, struct guard, watch);
	int r;

	(void)l;
	(void)events;
	g->seen = 0;
	r = ruleset_watch_read(w->fd, on_change, g);
	if (r < 0) {
		log_line(LOG_ERR, "event=watch_failed errno=%d", -r);
		g->seen = ~0u;
	}
	if (g->seen & (1u << WATCH_TABLE_GONE | 1u << WATCH_RULES_CHANGED))
		restore(g);
	if (g->seen & 1u << WATCH_RULES_CHANGED && !g->open)
		check_rules(g);
	if (g->seen & 1u << WATCH_LOST)
		anything_happened(g->n);
}

int guard_new(struct netd *n, int taken, struct guard **ret)
{
	AUTO(fd) int fd = taken;
	struct guard *g = calloc(1, sizeof(*g));
	int r;

	if (!g)
		return -ENOMEM;
	g->n = n;
	g->again.fn = on_again;
	g->watch = (struct watch){ .fd = fd, .events = EPOLLIN, .fn = on_event };
	r = loop_add(n->loop, &g->watch);
	if (r < 0) {
		free(g);
		return r;
	}
	STEAL_FD(fd);
	r = ruleset_fingerprint(n->rules, &g->print);
	if (r < 0) {
		guard_free(g);
		return r;
	}
	*ret = g;
	return 0;
}

void guard_free(struct guard *g)
{
	if (!g)
		return;
	loop_disarm(g->n->loop, &g->again);
	loop_del(g->n->loop, &g->watch);
	close(g->watch.fd);
	free(g);
}
