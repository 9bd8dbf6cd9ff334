/*
 * graph.c - what the objects of a push point to
 *
 * Theory of operation: the ids of the pack are known before its objects are read, and their table does not
 * change; of each node a thread sets bits, and who points to it, without a lock: that one of several
 * referrers wins is as good as another. Objects that are not of the pack are few, seldom new, and
 * behind the lock. What an object points to is written by the thread that has its bytes, once.
 * Objects of the mirror are loaded as they are asked for; they bring nothing along, so they are nobody's
 * referrer. A submodule's commit is of another repository: a number to compare, nothing else.
 */
#include "gitproxy/gate/graph.h"

#include <errno.h>
#include <stdlib.h>

#include "gitproxy/gate/keep.h"

int graph_init(struct graph *g, const struct objects *objects, enum object_format format, const struct keep *keep)
{
	size_t n = objects_count(objects);
	uint32_t at;
	int r;

	*g = (struct graph){ .format = format, .id_size = oid_size(format), .keep = keep };
	pthread_mutex_init(&g->lock, NULL);
	r = ids_init(&g->pack, format, n);
	if (r == 0)
		r = ids_init(&g->outside, format, 0);
	if (r == 0)
		r = names_init(&g->names);
	for (size_t i = 0; i < n && r == 0; i++)
		r = ids_add(&g->pack, objects_at(objects, i)->byte, &at);
	if (r < 0)
		return r;
	g->n_pack = g->pack.n;
	g->node = calloc(g->n_pack + 1, sizeof(*g->node));
	for (uint32_t i = 0; g->node && i < g->n_pack; i++)
		g->node[i].referrer = NODE_NONE;
	return g->node ? 0 : -ENOMEM;
}

void graph_done(struct graph *g)
{
	ids_done(&g->pack);
	ids_done(&g->outside);
	names_done(&g->names);
	arena_done(&g->arena);
	free(g->node);
	free(g->out);
	pthread_mutex_destroy(&g->lock);
	*g = (struct graph){ 0 };
}

struct oid graph_id(const struct graph *g, uint32_t i)
{
	return i < g->n_pack ? ids_at(&g->pack, i) : ids_at(&g->outside, i - g->n_pack);
}

uint32_t graph_find(const struct graph *g, const uint8_t *id)
{
	uint32_t i = ids_find(&g->pack, id);

	if (i != NODE_NONE)
		return i;
	i = ids_find(&g->outside, id);
	return i == NODE_NONE ? NODE_NONE : g->n_pack + i;
}

/* Writing only what changes leaves the line in the other threads' caches. */
static void mark(struct node *n, struct link link)
{
	uint8_t wanted = (uint8_t)(link.type ? 1U << link.type : 0);

	if (__atomic_load_n(&n->referrer, __ATOMIC_RELAXED) == NODE_NONE)
		__atomic_store_n(&n->referrer, link.from, __ATOMIC_RELAXED);
	if ((__atomic_load_n(&n->wanted, __ATOMIC_RELAXED) & wanted) != wanted)
		__atomic_fetch_or(&n->wanted, wanted, __ATOMIC_RELAXED);
	if ((__atomic_load_n(&n->flags, __ATOMIC_RELAXED) & link.flags) != link.flags)
		__atomic_fetch_or(&n->flags, link.flags, __ATOMIC_RELAXED);
}

static int room_outside(struct graph *g)
{
	uint32_t cap = g->out_cap ? 2 * g->out_cap : 64;
	struct node *out;

	if (g->outside.n < g->out_cap)
		return 0;
	out = realloc(g->out, cap * sizeof(*out));
	if (!out)
		return -ENOMEM;
	memset(out + g->out_cap, 0, (cap - g->out_cap) * sizeof(*out));
	for (uint32_t i = g->out_cap; i < cap; i++)
		out[i].referrer = NODE_NONE;
	g->out = out;
	g->out_cap = cap;
	return 0;
}

static int link_outside(struct graph *g, const uint8_t *id, struct link link, uint32_t *ret)
{
	int r;

	pthread_mutex_lock(&g->lock);
	r = room_outside(g);
	if (r == 0)
		r = ids_add(&g->outside, id, ret);
	if (r == 0) {
		mark(&g->out[*ret], link);
		*ret += g->n_pack;
	}
	pthread_mutex_unlock(&g->lock);
	return r;
}

int graph_link(struct graph *g, const uint8_t *id, struct link link, uint32_t *ret)
{
	*ret = ids_find(&g->pack, id);
	if (*ret == NODE_NONE)
		return link_outside(g, id, link, ret);
	mark(&g->node[*ret], link);
	return 0;
}

int graph_name(struct graph *g, struct rd name, uint32_t *ret)
{
	int r;

	pthread_mutex_lock(&g->lock);
	r = names_add(&g->names, name, ret);
	pthread_mutex_unlock(&g->lock);
	return r;
}

/* ---- what is kept of an object ---- */

static int by_name(const void *a, const void *b)
{
	const struct edge *x = a, *y = b;

	return x->name_kind < y->name_kind ? -1 : x->name_kind > y->name_kind;
}

int graph_keep_tree(struct graph *g, struct arena *a, uint32_t i, struct edge *edges, size_t n_edges, size_t n_entries)
{
	struct links_tree *t = arena_take(a, sizeof(*t) + n_edges * sizeof(*edges));

	if (!t)
		return -ENOMEM;
	if (n_edges > 1)
		qsort(edges, n_edges, sizeof(*edges), by_name);
	if (n_edges)
		memcpy(t->edge, edges, n_edges * sizeof(*edges));
	t->n_edges = (uint32_t)n_edges;
	t->n_entries = (uint32_t)n_entries;
	graph_node(g, i)->tree = t;
	return 0;
}

int graph_keep_commit(struct graph *g, struct arena *a, uint32_t i, const struct commit *c)
{
	struct links_commit *l = arena_take(a, sizeof(*l) + c->n_parents * sizeof(l->parent[0]));
	bool brings = i < g->n_pack;
	struct link link = { .from = brings ? i : NODE_NONE, .type = brings ? OBJECT_TREE : OBJECT_NONE };
	struct rd parents = c->parents;
	struct oid parent;
	int r;

	if (!l)
		return -ENOMEM;
	l->date = c->date;
	r = graph_link(g, c->tree.byte, link, &l->tree);
	link.type = brings ? OBJECT_COMMIT : OBJECT_NONE;
	while (r == 0 && l->n_parents < c->n_parents && commit_parent(&parents, g->format, &parent))
		r = graph_link(g, parent.byte, link, &l->parent[l->n_parents++]);
	if (r == 0 && l->n_parents == c->n_parents)
		graph_node(g, i)->commit = l;	/* not before: the table may have moved */
	return r;
}

int graph_keep_tag(struct graph *g, struct arena *a, uint32_t i, const struct tag *t)
{
	struct links_tag *l = arena_take(a, sizeof(*l));
	struct link link = { .from = i, .type = t->type };
	int r;

	if (i >= g->n_pack)
		link = (struct link){ .from = NODE_NONE };
	r = l ? graph_link(g, t->object.byte, link, &l->object) : -ENOMEM;
	if (r == 0)
		graph_node(g, i)->tag = l;
	return r;
}

int graph_edge(struct graph *g, const struct tree_entry *e, struct link link, struct edge *ret, bool *ret_kept)
{
	uint32_t name, to;
	int r = 0;

	*ret_kept = e->kind == TREE_DIRECTORY || (!g->keep->none && keep_name(g->keep, e->name));
	if (e->kind == TREE_SUBMODULE && !*ret_kept)
		return 0;
	if (link.from != NODE_NONE)
		link.type = e->kind == TREE_DIRECTORY ? OBJECT_TREE : OBJECT_BLOB;
	if (e->kind == TREE_SUBMODULE)		/* a commit of another repository */
		link = (struct link){ .from = NODE_NONE };
	r = graph_link(g, e->oid, link, &to);
	if (r == 0 && *ret_kept)
		r = graph_name(g, e->name, &name);
	if (r == 0 && *ret_kept)
		*ret = edge_of(name, e->kind, to);
	return r;
}

/* ---- of the mirror ---- */

static int load_tree(struct graph *g, uint32_t i, struct rd bytes)
{
	AUTO(mem) struct edge *edges = NULL;
	size_t n = 0, cap = 0, n_entries = 0;
	struct tree_entry e;
	bool kept;
	int r;

	for (; rd_left(&bytes); n_entries++) {
		if (!tree_next_lenient(&bytes, g->id_size, &e))
			return -EBADMSG;
		if (n == cap) {
			struct edge *more = realloc(edges, (cap = 2 * cap + 16) * sizeof(*more));

			if (!more)
				return -ENOMEM;
			edges = more;
		}
		r = graph_edge(g, &e, (struct link){ .from = NODE_NONE }, &edges[n], &kept);
		if (r < 0)
			return r;
		n += kept;
	}
	return graph_keep_tree(g, &g->arena, i, edges, n, n_entries);
}

static int load_commit(struct graph *g, uint32_t i, struct rd bytes)
{
	struct commit c;

	if (commit_parse_lenient(bytes, g->format, &c) != FAULT_NONE)
		return -EBADMSG;
	return graph_keep_commit(g, &g->arena, i, &c);
}

static int load_tag(struct graph *g, uint32_t i, struct rd bytes)
{
	struct tag t;

	if (tag_parse(bytes, g->format, &t) != FAULT_NONE)
		return -EBADMSG;
	return graph_keep_tag(g, &g->arena, i, &t);
}

static int load(struct graph *g, uint32_t i, enum object_type type, struct rd bytes)
{
	switch (type) {
	case OBJECT_TREE:
		return load_tree(g, i, bytes);
	case OBJECT_COMMIT:
		return load_commit(g, i, bytes);
	case OBJECT_TAG:
		return load_tag(g, i, bytes);
	case OBJECT_NONE:
	case OBJECT_BLOB:
		break;
	}
	return 0;
}

/* Too large to be read: a blob, as a rule. Of a commit, tree or tag nothing is known then, and nothing concluded. */
static int type_of_large(struct objects *objects, const struct oid *oid, enum object_type *ret)
{
	int r = objects_mirror_type(objects, oid, ret);

	return r < 0 || *ret == OBJECT_BLOB ? r : -EBADMSG;
}

int graph_type(struct graph *g, struct objects *objects, uint32_t i, enum object_type *ret)
{
	struct oid oid = graph_id(g, i);
	enum object_type type = (enum object_type)graph_node(g, i)->type;
	struct rd bytes;
	int r = 0;

	if (i < g->n_pack && (type == OBJECT_NONE || graph_node(g, i)->flags & NODE_BAD))
		return -EBADMSG;		/* nothing is known of it */
	if (type == OBJECT_NONE)
		r = objects_read(objects, &oid, &type, &bytes);
	if (r == -EFBIG)
		r = type_of_large(objects, &oid, &type);
	else if (r == 0 && i >= g->n_pack)
		r = graph_node(g, i)->type == OBJECT_NONE ? load(g, i, type, bytes) : 0;
	if (r < 0)
		return r;
	graph_node(g, i)->type = (uint8_t)type;
	*ret = type;
	return 0;
}

int graph_load(struct graph *g, struct objects *objects, uint32_t i, enum object_type type)
{
	enum object_type is;
	int r = graph_type(g, objects, i, &is);

	return r < 0 ? r : is == type ? 0 : -EBADMSG;
}
