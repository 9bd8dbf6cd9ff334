/*
 * walk.c - is everything there, and does the push reach everything it brings
 *
 * Theory of operation: a push is whole when each object that one of the pack points to is in the pack or
 * in the mirror, which is whole itself, and is what it is taken for.
 * Nothing is hidden when each object of the pack is reached from a new tip, or is the mirror's anyway.
 * Objects point to what was made before them, never in a circle, so from any object one gets, from referrer
 * to referrer, to one that nothing of the pack points to. If all of those are tips, every object is
 * reached: nothing needs to be walked. One that is neither a tip nor the mirror's is hidden. One that
 * is the mirror's (the base of a delta, an object sent once too often) may point to a new
 * object: then, and only then, the tips are walked from, and trees read again for it.
 */
#include "gitproxy/gate/run.h"

#include <errno.h>
#include <stdlib.h>

/* ---- tips ---- */

int run_tips(struct run *r)
{
	static const struct oid none;

	for (uint32_t i = 0; i < r->list->n_commands; i++) {
		const struct push_command *c = push_list_command(r->list, i);
		struct link tip = { .from = NODE_NONE, .flags = NODE_TIP };
		uint32_t node;
		int e;

		if (!oid_compare(&c->new, &none))
			continue;
		e = graph_link(r->g, c->new.byte, tip, &node);
		if (e < 0)
			return e;
	}
	return 0;
}

/* ---- whole ---- */

/* Of the mirror, and what the pack takes it for. */
static int check_outside(struct run *r, uint32_t i)
{
	struct node *n = graph_node(r->g, i);
	struct oid oid = graph_id(r->g, i);
	enum object_type type;
	char id[RUN_SHORT];
	int err = objects_mirror_type(r->objects, &oid, &type);

	if (err == -ENOENT)
		r->missing = oid;
	else if (err == 0 && n->wanted & ~(1U << type))
		run_refuse(r, RUN_EVERY, REASON_PACK_MALFORMED, "%s (%s)", fault_text(FAULT_TYPE), run_short(r, i, id));
	return err;
}

int run_whole(struct run *r)
{
	int err = 0;

	for (uint32_t i = r->g->n_pack; i < r->g->n_pack + r->g->outside.n && err == 0; i++)
		if (graph_node(r->g, i)->wanted || graph_node(r->g, i)->flags & NODE_TIP)
			err = check_outside(r, i);
	return err;
}

/* ---- hidden ---- */

struct stack {
	uint32_t *node;
	size_t n, cap;
};

/* An object of the pack that is reached now, and was not. */
static int reach(struct graph *g, struct stack *s, uint32_t i)
{
	if (i >= g->n_pack || g->node[i].flags & NODE_REACHED)
		return 0;
	if (s->n == s->cap) {
		size_t cap = 2 * s->cap + 1024;
		uint32_t *more = realloc(s->node, cap * sizeof(*more));

		if (!more)
			return -ENOMEM;
		s->node = more;
		s->cap = cap;
	}
	g->node[i].flags |= NODE_REACHED;
	s->node[s->n++] = i;
	return 0;
}

typedef int each_fn(struct run *r, void *to, uint32_t node);

/* All of the pack that a tree points to: not every entry was kept. */
static int each_entry(struct run *r, uint32_t i, each_fn *fn, void *to)
{
	struct oid oid = graph_id(r->g, i);
	enum object_type type;
	struct tree_entry e;
	struct rd bytes;
	int err = objects_read(r->objects, &oid, &type, &bytes);

	if (err == 0 && type != OBJECT_TREE)
		err = -EBADMSG;
	while (err == 0 && rd_left(&bytes)) {
		if (!tree_next(&bytes, r->g->id_size, &e))
			return -EBADMSG;
		if (e.kind != TREE_SUBMODULE)
			err = fn(r, to, ids_find(&r->g->pack, e.oid));
	}
	return err;
}

static int each_link(struct run *r, uint32_t i, each_fn *fn, void *to)
{
	const struct node *n = &r->g->node[i];
	int err;

	switch ((enum object_type)n->type) {
	case OBJECT_COMMIT:
		err = fn(r, to, n->commit->tree);
		for (uint32_t k = 0; err == 0 && k < n->commit->n_parents; k++)
			err = fn(r, to, n->commit->parent[k]);
		return err;
	case OBJECT_TREE:
		return each_entry(r, i, fn, to);
	case OBJECT_TAG:
		return fn(r, to, n->tag->object);
	case OBJECT_NONE:
	case OBJECT_BLOB:
		break;
	}
	return 0;
}

static int on_reached(struct run *r, void *to, uint32_t node)
{
	return reach(r->g, to, node);
}

static int walk(struct run *r, struct stack *s)
{
	int err = 0;

	for (uint32_t i = 0; i < r->g->n_pack && err == 0; i++)
		if (r->g->node[i].flags & NODE_TIP)
			err = reach(r->g, s, i);
	while (err == 0 && s->n)
		err = each_link(r, s->node[--s->n], on_reached, s);
	return err;
}

/* Count and tell those that are not known, of all (when walked) that were not reached. */
static int tell_hidden(struct run *r, bool walked)
{
	char id[RUN_SHORT] = "";
	size_t n = 0;

	for (uint32_t i = 0; i < r->g->n_pack; i++) {
		const struct node *node = &r->g->node[i];
		int known;

		if (node->flags & NODE_TIP || (walked ? node->flags & NODE_REACHED : node->referrer != NODE_NONE))
			continue;
		known = run_known(r, i);
		if (known < 0)
			return known;
		if (!known && !n++)
			run_short(r, i, id);
	}
	if (n)
		run_refuse(r, RUN_EVERY, REASON_HIDDEN_OBJECTS,
			   "%s%zu object%s of the pack that no pushed ref reaches, such as %s", walked ? "" : "at least ",
			   n, n == 1 ? "" : "s", id);
	return 0;
}

static int on_new(struct run *r, void *to, uint32_t node)
{
	bool *doubtful = to;
	int known = node < r->g->n_pack ? run_known(r, node) : 1;

	*doubtful |= known == 0;
	return known < 0 ? known : 0;
}

/* May something be reached through an object of the mirror alone? */
static int doubt(struct run *r, bool *ret)
{
	enum { ASKED_MAX = 2000 };	/* beyond, walking costs less */
	unsigned asked = 0;
	int err = 0;

	*ret = false;
	for (uint32_t i = 0; i < r->g->n_pack && err == 0 && !*ret; i++) {
		const struct node *n = &r->g->node[i];

		if (n->referrer != NODE_NONE || n->flags & NODE_TIP || n->type == OBJECT_BLOB)
			continue;
		err = each_link(r, i, on_new, ret);
		*ret |= ++asked > ASKED_MAX;
	}
	return err;
}

int run_hidden(struct run *r)
{
	struct stack s = { 0 };
	unsigned told = r->told;
	bool doubtful = false;
	int err = tell_hidden(r, false);

	if (err == 0 && r->told == told)
		err = doubt(r, &doubtful);
	if (err < 0 || !doubtful)
		return err;
	err = walk(r, &s);
	free(s.node);
	return err < 0 ? err : tell_hidden(r, true);
}
