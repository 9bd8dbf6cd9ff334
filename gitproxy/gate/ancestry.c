/*
 * ancestry.c - is one commit an ancestor of another, and where do two histories part
 *
 * Theory of operation: from the new commit back, newest first, until the old one is met; and from the
 * old one back as well, since what it descends from cannot descend from it: once every commit that is yet
 * to be looked at is an ancestor of the old one, the answer is no. So the dates, which are a client's,
 * decide how much is read, never what the answer is, and histories are not read to their beginning.
 * The commits from which two histories part are found the same way: what both colours reach is one, and what it
 * descends from is stale. Where dates lie, one may be found that another descends from; it is taken out.
 */
#include "gitproxy/gate/run.h"

#include <errno.h>
#include <stdlib.h>

enum paint { PAINT_NEW = 1, PAINT_OLD = 2, PAINT_QUEUED = 4, PAINT_STALE = 8, PAINT_BASE = 16 };
enum { STEPS_MAX = 20 << 20 };		/* of all commands together; then nothing is an ancestor any more */

struct queued { uint64_t date; uint32_t node; };

struct ancestry {
	struct run *r;
	uint8_t *paint;			/* by node */
	struct queued *queue;		/* a heap, the newest first */
	uint32_t *touched;		/* nodes with paint */
	size_t n_queue, n_touched, cap, cap_paint;
	size_t pending;			/* how many of the queue must still be looked at */
	bool bases;			/* what is asked for; else: is it an ancestor */
	uint64_t steps;
};

int ancestry_new(struct run *r, struct ancestry **ret)
{
	*ret = calloc(1, sizeof(**ret));
	if (!*ret)
		return -ENOMEM;
	(*ret)->r = r;
	return 0;
}

void ancestry_free(struct ancestry *a)
{
	if (!a)
		return;
	free(a->paint);
	free(a->queue);
	free(a->touched);
	free(a);
}

/* Room for what is known by now. A commit is queued at most twice, once for each colour. */
static int room(struct ancestry *a)
{
	size_t n = a->r->g->n_pack + a->r->g->outside.n;
	uint8_t *paint;

	if (n > a->cap_paint) {
		n += n / 2;
		paint = realloc(a->paint, n);
		if (!paint)
			return -ENOMEM;
		memset(paint + a->cap_paint, 0, n - a->cap_paint);
		a->paint = paint;
		a->cap_paint = n;
	}
	if (a->n_queue + 1 > a->cap || a->n_touched + 1 > a->cap) {
		size_t cap = 2 * a->cap + 256;
		struct queued *queue = realloc(a->queue, cap * sizeof(*queue));
		uint32_t *touched = queue ? realloc(a->touched, cap * sizeof(*touched)) : NULL;

		a->queue = queue ? queue : a->queue;
		a->touched = touched ? touched : a->touched;
		if (!touched)
			return -ENOMEM;
		a->cap = cap;
	}
	return 0;
}

/* ---- the queue ---- */

static void swap(struct queued *a, struct queued *b)
{
	struct queued c = *a;

	*a = *b;
	*b = c;
}

static void enqueue(struct ancestry *a, uint32_t node, uint64_t date)
{
	size_t i = a->n_queue++;

	a->queue[i] = (struct queued){ date, node };
	for (; i && a->queue[(i - 1) / 2].date < a->queue[i].date; i = (i - 1) / 2)
		swap(&a->queue[i], &a->queue[(i - 1) / 2]);
}

static uint32_t dequeue(struct ancestry *a)
{
	uint32_t node = a->queue[0].node;

	a->queue[0] = a->queue[--a->n_queue];
	for (size_t i = 0, k; (k = 2 * i + 1) < a->n_queue; i = k) {
		if (k + 1 < a->n_queue && a->queue[k + 1].date > a->queue[k].date)
			k++;
		if (a->queue[i].date >= a->queue[k].date)
			break;
		swap(&a->queue[i], &a->queue[k]);
	}
	return node;
}

/* ---- painting ---- */

static bool is_pending(const struct ancestry *a, uint8_t paint)
{
	if (a->bases)
		return paint & PAINT_QUEUED && !(paint & PAINT_STALE);
	return paint == (PAINT_NEW | PAINT_QUEUED);
}

/* Has it these colours now, and had not? Then what it descends from is to be painted too. */
static int paint(struct ancestry *a, uint32_t node, uint8_t colours)
{
	int r = graph_load(a->r->g, a->r->objects, node, OBJECT_COMMIT);
	uint8_t before;

	if (r == 0)
		r = room(a);
	if (r < 0)
		return r;
	before = a->paint[node];
	if ((before & colours) == colours || (!a->bases && colours == PAINT_NEW && before & PAINT_OLD))
		return 0;
	if (!before)
		a->touched[a->n_touched++] = node;
	a->pending -= is_pending(a, before);
	a->paint[node] |= colours | PAINT_QUEUED;
	a->pending += is_pending(a, a->paint[node]);
	if (!(before & PAINT_QUEUED))
		enqueue(a, node, graph_node(a->r->g, node)->commit->date);
	return 0;
}

static uint32_t next(struct ancestry *a)
{
	uint32_t node = dequeue(a);

	a->pending -= is_pending(a, a->paint[node]);
	a->paint[node] &= (uint8_t)~PAINT_QUEUED;
	return node;
}

static int step(struct ancestry *a, uint32_t old, bool *ret_found)
{
	uint32_t node = next(a);
	const struct links_commit *c = graph_node(a->r->g, node)->commit;
	uint8_t colour = a->paint[node] & PAINT_OLD ? PAINT_OLD : PAINT_NEW;
	int r = 0;

	for (uint32_t i = 0; i < c->n_parents && r == 0 && !*ret_found; i++) {
		*ret_found = colour == PAINT_NEW && c->parent[i] == old;
		r = paint(a, c->parent[i], colour);
	}
	return r;
}

static void wipe(struct ancestry *a)
{
	for (size_t i = 0; i < a->n_touched; i++)
		a->paint[a->touched[i]] = 0;
	a->n_touched = a->n_queue = a->pending = 0;
}

int ancestry_is(struct ancestry *a, uint32_t old, uint32_t new)
{
	bool found = old == new;
	int r;

	a->bases = false;
	r = paint(a, new, PAINT_NEW);
	if (r == 0 && !found)
		r = paint(a, old, PAINT_OLD);
	while (r == 0 && !found && a->pending && a->steps++ < STEPS_MAX)
		r = step(a, old, &found);
	wipe(a);
	return r < 0 ? r : found;
}

/* What a tag leads to, at last. A tip that is not here, or odd, leads nowhere: -ENOENT, 0. */
static int paint_tip(struct ancestry *a, const struct oid *tip, uint32_t node, bool *ret_found)
{
	struct graph *g = a->r->g;
	enum object_type type;
	uint32_t at;
	int r = graph_link(g, tip->byte, (struct link){ .from = NODE_NONE }, &at);

	if (r == 0)
		r = graph_type(g, a->r->objects, at, &type);
	while (r == 0 && type == OBJECT_TAG) {
		at = graph_node(g, at)->tag->object;
		r = graph_type(g, a->r->objects, at, &type);
	}
	if (r < 0)
		return r == -EBADMSG ? 0 : r;
	*ret_found |= at == node;
	return type == OBJECT_COMMIT ? paint(a, at, PAINT_NEW) : 0;
}

int ancestry_listed(struct ancestry *a, uint32_t node)
{
	const struct oid *absent = NULL;
	bool found = false;
	int r = 0;

	a->bases = false;
	for (size_t i = 0; i < a->r->n_tips && r == 0 && !found; i++) {
		r = paint_tip(a, &a->r->tips[i], node, &found);
		if (r == -ENOENT) {
			absent = &a->r->tips[i];
			r = 0;
		}
	}
	if (r == 0 && !found)
		r = paint(a, node, PAINT_OLD);
	while (r == 0 && !found && a->pending && a->steps++ < STEPS_MAX)
		r = step(a, node, &found);
	wipe(a);
	if (r == 0 && !found && absent && !a->r->tips_may_lack) {
		a->r->missing = *absent;	/* it may be the one that leads there */
		return -ENOENT;
	}
	return r < 0 ? r : found;
}

/* ---- where histories part ---- */

static int base_step(struct ancestry *a, struct ancestry_bases *b)
{
	uint32_t node = next(a);
	const struct links_commit *c = graph_node(a->r->g, node)->commit;
	uint8_t *paints = &a->paint[node], colours = *paints & (PAINT_NEW | PAINT_OLD | PAINT_STALE);
	int r = 0;

	if (colours == (PAINT_NEW | PAINT_OLD)) {
		if (!(*paints & PAINT_BASE)) {
			if (b->n == ARRAY_SIZE(b->node))
				return -E2BIG;
			b->node[b->n++] = node;
		}
		*paints |= PAINT_BASE;
		colours |= PAINT_STALE;
	}
	for (uint32_t i = 0; i < c->n_parents && r == 0; i++)
		r = paint(a, c->parent[i], colours);
	return r;
}

/* Those that another one descends from are none. */
static int keep_best(struct ancestry *a, struct ancestry_bases *b)
{
	struct ancestry_bases best = { .one = b->one, .two = b->two };

	for (size_t i = 0; i < b->n; i++) {
		int below = 0;

		for (size_t k = 0; k < b->n && below == 0; k++)
			below = k == i ? 0 : ancestry_is(a, b->node[i], b->node[k]);
		if (below < 0)
			return below;
		if (!below)
			best.node[best.n++] = b->node[i];
	}
	*b = best;
	return 0;
}

int ancestry_bases(struct ancestry *a, struct ancestry_bases *b)
{
	int r;

	b->n = 0;
	a->bases = true;
	r = paint(a, b->one, PAINT_NEW);
	if (r == 0)
		r = paint(a, b->two, PAINT_OLD);
	while (r == 0 && a->pending)
		r = a->steps++ < STEPS_MAX ? base_step(a, b) : -E2BIG;
	wipe(a);
	return r < 0 ? r : keep_best(a, b);
}
