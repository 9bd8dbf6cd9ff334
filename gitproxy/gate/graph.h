/*
 * graph.h - what the objects of a push point to
 *
 * A node is an object: of the pack (numbers below n_pack), or one that something of the pack points to.
 */
#ifndef GITPROXY_GATE_GRAPH_H
#define GITPROXY_GATE_GRAPH_H

#include <pthread.h>

#include "gitproxy/gate/commit.h"
#include "gitproxy/gate/ids.h"
#include "gitproxy/gate/keep.h"
#include "gitproxy/gate/names.h"
#include "gitproxy/gate/objects.h"
#include "gitproxy/gate/tree.h"

enum { NODE_NONE = IDS_NONE };
enum node_flag { NODE_SEEN = 1, NODE_BAD = 2, NODE_MODULES = 4, NODE_ATTRIBUTES = 8, NODE_TIP = 16, NODE_REACHED = 32,
		 NODE_MIRROR = 64, NODE_NEW = 128 /* asked: the mirror has it, or not */ };

struct edge { uint32_t name_kind, to; };	/* of a tree: which entries are kept, feed_tree.c says */
enum { EDGE_KIND_BITS = 3 };
static inline uint32_t edge_name(const struct edge *e) { return e->name_kind >> EDGE_KIND_BITS; }
static inline enum tree_kind edge_kind(const struct edge *e) { return (enum tree_kind)(e->name_kind & 7); }
static inline struct edge edge_of(uint32_t name, enum tree_kind kind, uint32_t to)
{
	return (struct edge){ name << EDGE_KIND_BITS | kind, to };
}

struct links_tree {
	uint64_t unfolds;		/* entries of it and of all below, on every path; set by bounds.c */
	uint32_t path;			/* bytes of the longest name; after bounds.c of the longest path */
	uint32_t depth;			/* of the deepest path; set by bounds.c */
	uint32_t n_entries, n_edges;
	struct edge edge[];		/* sorted by name_kind */
};
struct links_commit { uint64_t date; uint32_t tree, n_parents, parent[]; };
struct links_tag { uint32_t object; };

struct node {
	/* NULL: not known */
	union { struct links_tree *tree; struct links_commit *commit; struct links_tag *tag; };
	uint32_t referrer;		/* one that points to it; NODE_NONE: none does */
	uint8_t type;			/* enum object_type */
	uint8_t wanted;			/* types as which others point to it: bits 1 << type */
	uint8_t flags;			/* of enum node_flag */
	uint8_t fault;			/* NODE_BAD: enum fault */
};

struct graph {
	enum object_format format;
	size_t id_size;
	uint32_t n_pack;
	struct ids pack, outside;
	struct node *node, *out;	/* by number; of the others by number - n_pack */
	uint32_t out_cap;
	struct names names;
	const struct keep *keep;
	struct arena arena;		/* of what is loaded after the pack was seen */
	pthread_mutex_t lock;		/* of everything about the others, and names */
};

/* Borrows `keep`. 0 or -errno; graph_done() either way. */
int graph_init(struct graph *g, const struct objects *objects, enum object_format format, const struct keep *keep);
void graph_done(struct graph *g);

static inline struct node *graph_node(const struct graph *g, uint32_t i)
{
	return i < g->n_pack ? &g->node[i] : &g->out[i - g->n_pack];
}
struct oid graph_id(const struct graph *g, uint32_t i);
uint32_t graph_find(const struct graph *g, const uint8_t *id);	/* NODE_NONE: neither in the pack nor pointed to */

/* How `from` points to an object. NODE_NONE and OBJECT_NONE: it does not bring it along. */
struct link { uint32_t from; enum object_type type; uint8_t flags; };

/* ---- any thread: note that something points to an object, and keep it. 0 or -errno ---- */

int graph_link(struct graph *g, const uint8_t *id, struct link link, uint32_t *ret);
int graph_name(struct graph *g, struct rd name, uint32_t *ret);
/* An entry of a tree. Not kept: *ret is as it was. */
int graph_edge(struct graph *g, const struct tree_entry *e, struct link link, struct edge *ret, bool *ret_kept);
/* All of an object, into a node whose bytes the caller alone has. Sorts `edges`. */
int graph_keep_tree(struct graph *g, struct arena *a, uint32_t i, struct edge *edges, size_t n_edges, size_t n_entries);
int graph_keep_commit(struct graph *g, struct arena *a, uint32_t i, const struct commit *c);
int graph_keep_tag(struct graph *g, struct arena *a, uint32_t i, const struct tag *t);

/* ---- one thread, when all of the pack was seen. 0 or -errno; -ENOENT: neither pack nor mirror has it ---- */

/* What it is; an object of the mirror is read for it, once. */
int graph_type(struct graph *g, struct objects *objects, uint32_t i, enum object_type *ret);
/* Have what it points to at hand. -EBADMSG: it is of another type, or cannot be read. */
int graph_load(struct graph *g, struct objects *objects, uint32_t i, enum object_type type);

#endif
