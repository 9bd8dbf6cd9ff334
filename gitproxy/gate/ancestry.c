/*
 * ancestry.c - is one commit an ancestor of another
 *
 * Theory of operation: from the new commit back, newest first, until the old one is met; and from the
 * old one back as well, since what it descends from cannot descend from it: once every commit that is yet
 * to be looked at is an ancestor of the old one, the answer is no. So the dates, which are a client's,
 * decide how much is read, never what the answer is, and histories are not read to their beginning.
 */
#include "gitproxy/gate/run.h"

#include <errno.h>
#include <stdlib.h>

enum paint { PAINT_NEW = 1, PAINT_OLD = 2, PAINT_QUEUED = 4 };
enum { STEPS_MAX = 20 << 20 };		/* of all commands together; then nothing is an ancestor any more */

struct queued { uint64_t date; uint32_t node; };

struct ancestry {
	struct run *r;
	uint8_t *paint;			/* by node */
	struct queued *queue;		/* a heap, the newest first */
	uint32_t *touched;		/* nodes with paint */
	size_t n_queue, n_touched, cap, cap_paint, pending;	/* queued with PAINT_NEW alone */
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

static bool is_pending(uint8_t paint)
{
	return paint == (PAINT_NEW | PAINT_QUEUED);
}

/* Has it this colour now, and had not? Then what it descends from is to be painted too. */
static int paint(struct ancestry *a, uint32_t node, uint8_t colour)
{
	int r = graph_load(a->r->g, a->r->objects, node, OBJECT_COMMIT);
	uint8_t before;

	if (r == 0)
		r = room(a);
	if (r < 0)
		return r;
	before = a->paint[node];
	if (before & colour || (colour == PAINT_NEW && before & PAINT_OLD))
		return 0;
	if (!before)
		a->touched[a->n_touched++] = node;
	a->pending -= is_pending(before);
	a->paint[node] |= colour | PAINT_QUEUED;
	a->pending += is_pending(a->paint[node]);
	if (!(before & PAINT_QUEUED))
		enqueue(a, node, graph_node(a->r->g, node)->commit->date);
	return 0;
}

static int step(struct ancestry *a, uint32_t old, bool *ret_found)
{
	uint32_t node = dequeue(a);
	const struct links_commit *c = graph_node(a->r->g, node)->commit;
	uint8_t colour = a->paint[node] & PAINT_OLD ? PAINT_OLD : PAINT_NEW;
	int r = 0;

	a->pending -= is_pending(a->paint[node]);
	a->paint[node] &= (uint8_t)~PAINT_QUEUED;
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
	int r = paint(a, new, PAINT_NEW);

	if (r == 0 && !found)
		r = paint(a, old, PAINT_OLD);
	while (r == 0 && !found && a->pending && a->steps++ < STEPS_MAX)
		r = step(a, old, &found);
	wipe(a);
	return r < 0 ? r : found;
}
