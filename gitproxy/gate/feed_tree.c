/*
 * feed_tree.c - one tree of the pack: is it well formed, and what does it point to
 *
 * Theory of operation: a history holds each directory many times over, most entries the same as in a
 * version seen before. So some trees are kept with what was found of their entries, in slots by the
 * name of the first one; where the new tree's bytes are those of the kept one, the entry is
 * known: its name was checked, and what it points to is marked. A tree of 700 entries of which one is new
 * costs 700 comparisons of 40 bytes. Order, and that no name comes twice, is a matter of neighbours and
 * checked for each that has a new one.
 * A file and a directory may share a name with others sorted between them, as "a", "a.b", "a/" do: then
 * all between begin with it, and the file is looked for.
 */
#include "gitproxy/gate/feed.h"

#include <errno.h>
#include <stdlib.h>

enum { SLOTS = 128, KEPT_BYTES_MAX = 1 << 20, KEPT_ALL_MAX = 24 << 20 };

struct known {
	uint32_t at;			/* of its first byte in the tree */
	uint8_t name_at, kind;		/* from there; enum tree_kind */
	bool kept;			/* `edge` is one */
	struct edge edge;
};

struct seen {
	uint8_t *bytes;
	struct known *entry;		/* and one behind the last, which tells where that ends */
	size_t n, n_bytes, cap_bytes, cap_entries;
};

struct feed_trees {
	struct seen slot[SLOTS], spare;
	struct edge *edges;
	size_t cap_edges;
	size_t held;			/* bytes of the slots */
};

int feed_trees_new(struct feed_trees **ret)
{
	*ret = calloc(1, sizeof(**ret));
	return *ret ? 0 : -ENOMEM;
}

static void seen_done(struct seen *s)
{
	free(s->bytes);
	free(s->entry);
	*s = (struct seen){ 0 };
}

void feed_trees_free(struct feed_trees *t)
{
	if (!t)
		return;
	for (size_t i = 0; i < SLOTS; i++)
		seen_done(&t->slot[i]);
	seen_done(&t->spare);
	free(t->edges);
	free(t);
}

static size_t bytes_of(const struct seen *s)
{
	return s->cap_bytes + s->cap_entries * sizeof(*s->entry);
}

/* ---- what was seen ---- */

static size_t slot_of(struct rd bytes)
{
	size_t h = 5381;

	for (size_t i = 0; i < bytes.n && i < 64 && (i < 7 || bytes.p[i]); i++)
		h = h * 33 + bytes.p[i];
	return h % SLOTS;
}

static size_t length(const struct seen *s, size_t k)
{
	return s->entry[k + 1].at - s->entry[k].at;
}

static struct rd name_of(const struct seen *s, size_t k, size_t id_size)
{
	const struct known *e = &s->entry[k];

	return rd_of(s->bytes + e->at + e->name_at, length(s, k) - e->name_at - 1 - id_size);
}

static int seen_start(struct seen *s, struct rd bytes)
{
	if (bytes.n >= UINT32_MAX)
		return -E2BIG;
	if (bytes.n > s->cap_bytes) {
		free(s->bytes);
		s->cap_bytes = 0;
		s->bytes = malloc(bytes.n);
		if (!s->bytes)
			return -ENOMEM;
		s->cap_bytes = bytes.n;
	}
	if (bytes.n)
		memcpy(s->bytes, bytes.p, bytes.n);
	s->n_bytes = bytes.n;
	s->n = 0;
	return 0;
}

/* Room for one more entry, and the one behind it; likewise for its edge. */
static int more(struct feed_trees *t)
{
	struct seen *s = &t->spare;

	if (s->n + 2 > s->cap_entries) {
		size_t cap = 2 * s->cap_entries + 32;
		struct known *e = realloc(s->entry, cap * sizeof(*e));
		struct edge *g = e ? realloc(t->edges, cap > t->cap_edges ? cap * sizeof(*g) : t->cap_edges * sizeof(*g)) : NULL;

		s->entry = e ? e : s->entry;
		t->edges = g ? g : t->edges;
		if (!g)
			return -ENOMEM;
		s->cap_entries = cap;
		t->cap_edges = cap > t->cap_edges ? cap : t->cap_edges;
	}
	return 0;
}

/* ---- the tree at hand ---- */

struct walk {
	struct feed_trees *t;
	struct graph *g;
	struct link link;
	struct seen *old;
	size_t k;			/* of the old one's entries: the next to compare */
	bool run;			/* the entry before was the old one's k - 1 */
	size_t n_edges, longest;	/* bytes of a name */
	struct rd left;
};

/* A file of this directory's name, anywhere before it. */
static bool file_before(const struct seen *s, struct rd name, size_t id_size)
{
	size_t low = 0, high = s->n;

	while (low < high) {
		size_t mid = (low + high) / 2;
		bool directory = s->entry[mid].kind == TREE_DIRECTORY;
		int order = tree_order(name_of(s, mid, id_size), directory, name, false);

		if (order == 0)
			return true;
		if (order < 0)
			low = mid + 1;
		else
			high = mid;
	}
	return false;
}

/* The entry behind the last of `spare`, whose end is known, against those before it. */
static enum fault order(const struct walk *w, bool neighbours_known)
{
	const struct seen *s = &w->t->spare;
	struct rd name, before;
	bool directory;
	int sorted;

	if (!s->n || (neighbours_known && s->entry[s->n].kind != TREE_DIRECTORY))
		return FAULT_NONE;
	name = name_of(s, s->n, w->g->id_size);
	before = name_of(s, s->n - 1, w->g->id_size);
	directory = s->entry[s->n].kind == TREE_DIRECTORY;
	if (!neighbours_known) {
		sorted = tree_order(before, s->entry[s->n - 1].kind == TREE_DIRECTORY, name, directory);
		if (!sorted || rd_eq(before, name.p, name.n))
			return FAULT_DUPLICATE;
		if (sorted > 0)
			return FAULT_ORDER;
	}
	if (directory && before.n > name.n && !memcmp(before.p, name.p, name.n) &&
	    file_before(s, name, w->g->id_size))
		return FAULT_DUPLICATE;
	return FAULT_NONE;
}

static int new_entry(struct walk *w, struct known *ret, enum fault *ret_fault)
{
	struct tree_entry e;
	struct rd at = w->left;
	enum dotgit dotgit;
	struct link link = w->link;

	if (!tree_next(&w->left, w->g->id_size, &e)) {
		*ret_fault = tree_bad_entry(at);
		return 0;
	}
	*ret_fault = tree_entry_fault(&e, w->g->id_size, &dotgit);
	if (*ret_fault != FAULT_NONE)
		return 0;
	ret->name_at = (uint8_t)(at.n - w->left.n - w->g->id_size - 1 - e.name.n);
	ret->kind = e.kind;
	if (dotgit == DOTGIT_MODULES)
		link.flags = NODE_MODULES;
	if (dotgit == DOTGIT_ATTRIBUTES && e.kind != TREE_LINK)
		link.flags = NODE_ATTRIBUTES;
	return graph_edge(w->g, &e, link, &ret->edge, &ret->kept);
}

/* The old entry that stands here too, byte for byte; or NULL. */
static const struct known *old_entry(struct walk *w)
{
	size_t n;

	if (w->k >= w->old->n)
		return NULL;
	n = length(w->old, w->k);
	if (n > w->left.n || memcmp(w->old->bytes + w->old->entry[w->k].at, w->left.p, n) || !rd_skip(&w->left, n))
		return NULL;
	return &w->old->entry[w->k++];
}

/* Behind what the old one has up to this name. */
static void pass(struct walk *w, struct rd name)
{
	while (w->k < w->old->n) {
		struct rd old = name_of(w->old, w->k, w->g->id_size);
		size_t n = old.n < name.n ? old.n : name.n;
		int c = memcmp(old.p, name.p, n);

		if (c > 0 || (!c && old.n > name.n))
			return;
		w->k++;
	}
}

static int next_entry(struct walk *w, enum fault *ret_fault)
{
	struct seen *s = &w->t->spare;
	uint32_t at = (uint32_t)(s->n_bytes - w->left.n);
	const struct known *old;
	struct rd name;
	int r = more(w->t);

	if (r < 0)
		return r;
	old = old_entry(w);
	if (old)
		s->entry[s->n] = *old;
	else
		r = new_entry(w, &s->entry[s->n], ret_fault);
	if (r < 0 || *ret_fault != FAULT_NONE)
		return r;
	s->entry[s->n].at = at;
	s->entry[s->n + 1].at = (uint32_t)(s->n_bytes - w->left.n);
	*ret_fault = order(w, old && w->run);
	if (s->entry[s->n].kept)
		w->t->edges[w->n_edges++] = s->entry[s->n].edge;
	name = name_of(s, s->n, w->g->id_size);
	w->longest = name.n > w->longest ? name.n : w->longest;
	if (!old)
		pass(w, name);
	w->run = old != NULL;
	s->n++;
	return 0;
}

int feed_tree(struct feed_trees *t, struct arena *a, struct graph *g, uint32_t max_entries, uint32_t i,
	      struct rd bytes, enum fault *ret_fault)
{
	struct seen *slot = &t->slot[slot_of(bytes)], spare;
	struct walk w = { .t = t, .g = g, .link = { .from = i }, .old = slot, .left = bytes };
	int r = seen_start(&t->spare, bytes);

	*ret_fault = FAULT_NONE;
	while (r == 0 && *ret_fault == FAULT_NONE && rd_left(&w.left))
		if (t->spare.n == max_entries)
			*ret_fault = FAULT_ENTRIES;
		else
			r = next_entry(&w, ret_fault);
	if (r < 0 || *ret_fault != FAULT_NONE)
		return r;
	r = graph_keep_tree(g, a, i, t->edges, w.n_edges, t->spare.n);
	if (r == 0)
		graph_node(g, i)->tree->path = (uint32_t)w.longest;
	if (bytes.n > KEPT_BYTES_MAX || t->held + bytes_of(&t->spare) > KEPT_ALL_MAX + bytes_of(slot)) {
		seen_done(&t->spare);
		return r;
	}
	t->held += bytes_of(&t->spare) - bytes_of(slot);
	spare = t->spare;
	t->spare = *slot;
	*slot = spare;
	return r;
}
