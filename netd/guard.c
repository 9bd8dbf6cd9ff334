/*
 * guard.c - what other software does to the ruleset and to sandbox links
 *
 * Theory of operation: `nft flush ruleset` (which Debian's nftables.service does on reload) takes
 * our table along. Forwarding is then held by the routing backstop, but the host's own ports are
 * not, so every sandbox link goes down first; then the static ruleset is loaded again, all elements
 * are written from memory, the queue rule is put back, and the links come up. One audit event tells
 * of it. Rules that were only changed (`nft flush table inet cordon` leaves the chains, which
 * accept then) are loaded again without touching the links: that is one transaction. Whether they
 * were changed by somebody else is told by a fingerprint that is taken whenever we changed them
 * ourselves. A notification is a hint: what is really there is looked at. What fails is tried
 * again, links down meanwhile, until it works. Link events come in bursts, so the look at all links
 * waits a moment.
 */
#include "netd/guard.h"

#include <errno.h>

#include "base/log.h"
#include "netd/inspector.h"
#include "netd/names.h"
#include "netd/sandbox_links.h"
#include "netd/sandboxes.h"
#include "nft/firewall.h"

enum { LINKS_AFTER_MS = 10, RETRY_MS = 500 };

struct guard {
	struct netd *n;
	struct watch watch;
	struct timer links;
	struct timer again;
	bool open;	/* the ruleset is gone, or not complete */
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

static int rebuild(struct netd *n)
{
	int r = load_rules(n);

	if (r >= 0)
		r = names_refill(n->names);
	if (r >= 0)
		r = inspector_queue_rule(n);
	if (r >= 0)
		r = sandboxes_refill(n); /* last: without identities nothing passes */
	return r;
}

static void restore(struct guard *g)
{
	struct netd *n = g->n;
	uint64_t from = loop_wall_ms();
	int r;

	if (!g->open && ruleset_present(n->rules))
		return;
	g->open = true;
	sandboxes_links(n, false);
	r = rebuild(n);
	if (r < 0) {
		log_line(LOG_ERR, "event=ruleset_not_restored errno=%d", -r);
		loop_arm(n->loop, &g->again, RETRY_MS);
		return;
	}
	g->open = false;
	guard_settle(n);
	sandboxes_links(n, true);
	audit_ruleset(n, "the ruleset was removed by other software and is restored",
		      loop_wall_ms() - from);
	log_line(LOG_WARN, "event=ruleset_restored ms=%llu",
		 (unsigned long long)(loop_wall_ms() - from));
}

/* The table is there: are the rules ours? Elements are kept by loading. */
static void check_rules(struct guard *g)
{
	struct netd *n = g->n;
	uint64_t from = loop_wall_ms(), print;
	int r = ruleset_fingerprint(n->rules, &print);

	if (r >= 0 && print == g->print)
		return;
	r = load_rules(n);
	if (r >= 0)
		r = inspector_queue_rule(n);
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

static void on_links(struct loop *l, struct timer *t)
{
	struct guard *g = container_of(t, struct guard, links);

	(void)l;
	if (!g->open)
		sandboxes_check_links(g->n);
}

static void on_event(struct loop *l, struct watch *w, uint32_t events)
{
	struct guard *g = container_of(w, struct guard, watch);
	int what = ruleset_watch_read(w->fd);

	(void)events;
	if (what < 0) {
		log_line(LOG_ERR, "event=watch_failed errno=%d", -what);
		what = WATCH_TABLE_GONE | WATCH_RULES_CHANGED | WATCH_LINK;
	}
	if (what & (WATCH_TABLE_GONE | WATCH_RULES_CHANGED))
		restore(g);
	if (what & WATCH_RULES_CHANGED && !g->open)
		check_rules(g);
	if (what & WATCH_LINK && !g->links.due_ms)
		loop_arm(l, &g->links, LINKS_AFTER_MS);
}

int guard_new(struct netd *n, int taken, struct guard **ret)
{
	AUTO(fd) int fd = taken;
	struct guard *g = calloc(1, sizeof(*g));
	int r;

	if (!g)
		return -ENOMEM;
	g->n = n;
	g->links.fn = on_links;
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
	loop_disarm(g->n->loop, &g->links);
	loop_disarm(g->n->loop, &g->again);
	loop_del(g->n->loop, &g->watch);
	close(g->watch.fd);
	free(g);
}
