/*
 * bounds.c - how much new trees unfold to
 *
 * Theory of operation: ten trees that each hold the one before ten times are ten small objects, and ten
 * thousand million files for whoever checks them out. So for each tree of the pack is computed, once,
 * how many entries it and all below it have on all paths, and how long and deep the longest paths
 * are. A tree that the mirror has counts as empty.
 */
#include "gitproxy/gate/run.h"

#include <errno.h>
#include <stdlib.h>

struct frame {
	struct links_tree *tree;
	uint32_t next;			/* edge */
	uint32_t name;			/* bytes of the name in its parent, which is the frame before */
};

struct bounds {
	struct run *r;
	struct frame *frame;
	uint32_t n;
	bool deep;
};

static uint64_t add(uint64_t a, uint64_t b)
{
	return a > UINT64_MAX - b ? UINT64_MAX : a + b;
}

static bool push(struct bounds *b, struct links_tree *t, uint32_t name)
{
	if (b->n == b->r->limits.depth)
		return !(b->deep = true);
	t->unfolds = t->n_entries;
	t->depth = 1;
	b->frame[b->n++] = (struct frame){ .tree = t, .name = name };
	return true;
}

/* All below t is known: t in its parent. */
static void merge(struct links_tree *parent, const struct links_tree *t, uint32_t name)
{
	uint64_t path = (uint64_t)name + 1 + t->path;

	parent->unfolds = add(parent->unfolds, t->unfolds);
	if (parent->depth < t->depth + 1)
		parent->depth = t->depth + 1;
	if (parent->path < path)
		parent->path = path > UINT32_MAX ? UINT32_MAX : (uint32_t)path;
}

static struct links_tree *below(const struct graph *g, const struct edge *e)
{
	if (edge_kind(e) != TREE_DIRECTORY || e->to >= g->n_pack || g->node[e->to].type != OBJECT_TREE)
		return NULL;
	return g->node[e->to].tree;
}

static void measure(struct bounds *b, struct links_tree *root)
{
	const struct graph *g = b->r->g;

	if (!push(b, root, 0))
		return;
	while (b->n && !b->deep) {
		struct frame *f = &b->frame[b->n - 1];
		const struct edge *e;
		struct links_tree *t;
		uint32_t name;

		if (f->next == f->tree->n_edges) {
			if (--b->n)
				merge(b->frame[b->n - 1].tree, f->tree, f->name);
			continue;
		}
		e = &f->tree->edge[f->next++];
		t = below(g, e);
		name = (uint32_t)g->names.text[edge_name(e)].n;
		if (t && t->depth)
			merge(f->tree, t, name);
		else if (t)
			push(b, t, name);
	}
}

static bool within(const struct run *r, const struct links_tree *t)
{
	return t->unfolds <= r->limits.paths && t->path <= r->limits.path && t->depth <= r->limits.depth;
}

int run_bounds(struct run *r)
{
	AUTO(mem) struct frame *frame = calloc(r->limits.depth, sizeof(*frame));
	struct bounds b = { .r = r, .frame = frame };
	char id[RUN_SHORT];

	if (!frame)
		return -ENOMEM;
	for (uint32_t i = 0; i < r->g->n_pack; i++) {
		struct node *n = &r->g->node[i];

		if (n->type != OBJECT_TREE || !n->tree)
			continue;
		if (!n->tree->depth)
			measure(&b, n->tree);
		if (b.deep || !within(r, n->tree)) {
			run_refuse(r, RUN_EVERY, REASON_PACK_LIMIT_EXCEEDED,
				   "a tree of too many files, or of too long paths (%s)", run_short(r, i, id));
			return 0;
		}
	}
	return 0;
}
