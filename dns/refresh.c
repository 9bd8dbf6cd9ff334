/*
 * refresh.c - names in use are asked for again at their TTL, though no client asks
 *
 * Theory of operation: a client keeps the synthetic address of a name for as long as it likes, and the
 * kernel translates it to the real one that was pinned last. So somebody has to follow the name while it
 * is in use: netd tells which names are (IN_USE, anew every half minute), and here each of them is
 * resolved and pinned again when what the resolver knows of it has expired. That goes through the same
 * entries and pins as a client's question, for no sandbox (id 0): netd lets such a pin give nothing that
 * the profile does not have already. A client that asks meanwhile waits for the same pin.
 *
 * Bounds: a list of fixed size; a name that is not in use any more leaves it after KEEP_MS. At most
 * STARTS_PER_TICK refreshes are begun each tick and OPEN_MAX are on their way, which leaves clients most
 * of the resolver's places: with more names than that rate serves, each is refreshed later than its TTL,
 * one after the other. Due times are spread by up to an eighth of the TTL. A name that cannot be resolved
 * is tried again after a time that doubles; what the kernel has stays.
 */
#include "dns/refresh.h"

#include <errno.h>
#include <string.h>

#include "dns/table.h"
#include "policy/mark.h"
#include "policy/policy.h"

enum { NAMES_MAX = 16384, TICK_MS = 200, STARTS_PER_TICK = 40, OPEN_MAX = 64, KEEP_MS = 75 * 1000,
       AGAIN_MIN_MS = 5000, AGAIN_MAX_MS = 300 * 1000 };

struct followed {
	struct table_node node;
	struct refresh *owner;
	char name[MSG_NAME];
	uint16_t profile;
	bool used, open;
	uint32_t again_ms;		/* after the next failure; 0: the last was none */
	uint64_t until_ms;
	struct resolver_wait wait;
};

struct refresh {
	struct loop *loop;
	struct resolver *resolver;
	struct view *view;
	struct timer tick;
	struct table table;
	struct followed *names;
	uint64_t *due_ms;		/* of each of them; apart, since all are looked at each tick */
	size_t high, n, hand, open;
};

static struct followed *find(const struct refresh *f, uint16_t profile, const char *name,
			     uint64_t hash)
{
	struct table_node *n = table_first(&f->table, hash);

	for (; n; n = table_next(n)) {
		struct followed *w = container_of(n, struct followed, node);

		if (w->profile == profile && !strcmp(w->name, name))
			return w;
	}
	return NULL;
}

static struct followed *place(struct refresh *f)
{
	if (f->n < f->high)
		for (size_t i = 0; i < f->high; i++)
			if (!f->names[i].used)
				return &f->names[i];
	return f->high < NAMES_MAX ? &f->names[f->high++] : NULL;
}

static void drop(struct refresh *f, struct followed *w)
{
	table_remove(&f->table, &w->node);
	w->used = false;
	f->n--;
}

/* Up to an eighth of the time: the same each time for a name, so that they stay spread. */
static uint64_t spread(const struct followed *w, uint64_t ms)
{
	return ms / 8 * (w->node.hash & 1023) / 1024;
}

static void due_at(struct followed *w, uint64_t at_ms)
{
	w->owner->due_ms[w - w->owner->names] = at_ms;
}

/* ---- one refresh ---- */

static void on_outcome(struct resolver_wait *wait, const struct outcome *o)
{
	struct followed *w = container_of(wait, struct followed, wait);
	struct refresh *f = w->owner;
	uint64_t now = loop_now(f->loop), expires = outcome_expires(o);

	w->open = false;
	f->open--;
	if (outcome_pinned(o)) {
		w->again_ms = 0;
		due_at(w, expires + spread(w, expires > now ? expires - now : 0));
		return;
	}
	w->again_ms = !w->again_ms ? AGAIN_MIN_MS : w->again_ms * 2;
	if (w->again_ms > AGAIN_MAX_MS)
		w->again_ms = AGAIN_MAX_MS;
	due_at(w, now + w->again_ms + spread(w, w->again_ms));
}

static void start(struct followed *w, const struct view_sandbox *s)
{
	struct refresh *f = w->owner;
	struct name_decision d = { 0 };
	uint64_t until;

	policy_decide_name(s->policy, w->name, &d);
	if (!d.allowed || d.proxied) {
		drop(f, w);
		return;
	}
	if (resolver_fresh(f->resolver, s, w->name, &until)) {	/* a client asked before us */
		due_at(w, until + spread(w, until - loop_now(f->loop)));
		return;
	}
	w->open = true;
	f->open++;
	if (resolver_wait(f->resolver, s, w->name, &d, &w->wait))
		return;
	w->open = false;
	f->open--;
	due_at(w, loop_now(f->loop) + AGAIN_MIN_MS);
}

static void begin(struct followed *w)
{
	struct view_sandbox nobody = { .profile = w->profile };

	nobody.policy = view_policy_of(w->owner->view, w->profile);
	if (nobody.policy)
		start(w, &nobody);
	else if (view_ready(w->owner->view))
		drop(w->owner, w);			/* its profile is gone */
	view_sandbox_done(&nobody);
}

static void on_tick(struct loop *l, struct timer *t)
{
	struct refresh *f = container_of(t, struct refresh, tick);
	uint64_t now = loop_now(l);
	unsigned starts = 0;

	for (size_t i = 0; i < f->high && starts < STARTS_PER_TICK && f->open < OPEN_MAX; i++) {
		struct followed *w = &f->names[f->hand];
		bool due = f->due_ms[f->hand] <= now;

		f->hand = (f->hand + 1) % f->high;
		if (!due || !w->used || w->open)
			continue;
		if (w->until_ms <= now) {
			drop(f, w);
			continue;
		}
		begin(w);
		starts++;
	}
	if (f->n)
		loop_arm(l, t, TICK_MS);
}

/* ---- what is in use ---- */

static void follow(struct refresh *f, uint16_t profile, const char *name)
{
	uint64_t hash = table_hash(&f->table, name, strlen(name), profile), now = loop_now(f->loop);
	struct followed *w = find(f, profile, name, hash);

	if (!w) {
		w = place(f);
		if (!w)
			return;
		*w = (struct followed){ .owner = f, .profile = profile, .used = true,
					.wait.fn = on_outcome };
		msg_text_set(w->name, sizeof(w->name), name);
		table_put(&f->table, &w->node, hash);
		due_at(w, now);
		f->n++;
	}
	w->until_ms = now + KEEP_MS;
	if (!f->tick.due_ms)
		loop_arm(f->loop, &f->tick, TICK_MS);
}

int refresh_in_use(struct refresh *f, const struct ipc_in *in)
{
	const struct msg_in_use *m = msg_body(in, MSG_IN_USE);

	if (!m || m->n > MSG_IN_USE_NAMES)
		return -EPROTO;
	for (uint16_t i = 0; i < m->n; i++) {
		if (!msg_text_ok(m->name[i].name, MSG_NAME) || !m->name[i].profile ||
		    m->name[i].profile > MARK_PROFILE_MAX)
			return -EPROTO;
		follow(f, m->name[i].profile, m->name[i].name);
	}
	return 0;
}

int refresh_new(struct loop *l, struct resolver *r, struct view *v, struct refresh **ret)
{
	AUTO(refresh) struct refresh *f = calloc(1, sizeof(*f));
	int e;

	if (!f)
		return -ENOMEM;
	f->loop = l;
	f->resolver = r;
	f->view = v;
	f->tick.fn = on_tick;
	f->names = calloc(NAMES_MAX, sizeof(*f->names));
	f->due_ms = calloc(NAMES_MAX, sizeof(*f->due_ms));
	if (!f->names || !f->due_ms)
		return -ENOMEM;
	e = table_init(&f->table, NAMES_MAX);
	if (e < 0)
		return e;
	*ret = STEAL(f);
	return 0;
}

void refresh_free(struct refresh *f)
{
	if (!f)
		return;
	for (size_t i = 0; f->names && i < f->high; i++)
		resolver_cancel(&f->names[i].wait);
	loop_disarm(f->loop, &f->tick);
	table_done(&f->table);
	free(f->names);
	free(f->due_ms);
	free(f);
}
