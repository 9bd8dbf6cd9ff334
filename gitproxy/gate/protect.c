/*
 * protect.c - which protected paths a push changes
 *
 * Theory of operation: every commit that the push brings is compared with its parents: a file at a protected
 * path must be what it is in one of them, there or not there; so a first commit may have none, and a change that
 * a later commit takes back is found. A merge takes what either side has and nothing else, and where one side
 * alone changed the file since the two parted, that side's: to bring back what the other still has would be
 * to undo upstream's change.
 * What the mirror has is upstream's own, and not judged, when a branch or tag of upstream's leads
 * to it. Others it has too: servers give out by its id what a fork has, or what no reference leads
 * to any more, and a push may build on that, or just name it. Such commits are compared as those
 * that the push brings. Directories are gone into together, by the patterns, as long as they differ
 * from those of a parent. Most is done on the links that were kept; directories of which all files
 * are protected are read once more. How many entries are compared is bounded for the whole push.
 */
#include "gitproxy/gate/run.h"

#include <errno.h>
#include <stdlib.h>

enum { PATH_BYTES = 4096, TOLD = 8,
       BYTES_A_STEP = 256 };		/* of trees that are read for one path */

struct entries {
	const struct edge *edge;
	size_t n;
	struct edge *own;		/* heap; NULL: they are the graph's */
};

struct protect {
	struct run *r;
	uint64_t steps;
	struct ancestry *ancestry;
	struct ancestry_bases bases;	/* of the last two that were asked for; n 0 and equal ones: of none */
	const uint32_t *parent;		/* of the commit at hand */
	struct wr path;			/* of the directory at hand */
	uint8_t bytes[PATH_BYTES];
	bool found;			/* path is protected, and changed */
	uint32_t *outside;		/* commits of the mirror that are to be looked at; heap */
	size_t n_outside, cap_outside;
};

static int by_name(const void *a, const void *b)
{
	const struct edge *x = a, *y = b;

	return x->name_kind < y->name_kind ? -1 : x->name_kind > y->name_kind;
}

/* ---- the entries of a directory ---- */

static int read_all(struct run *r, uint32_t tree, struct entries *ret)
{
	struct oid oid = graph_id(r->g, tree);
	enum object_type type;
	struct tree_entry e;
	struct rd bytes;
	size_t cap = 0;
	int err = objects_read(r->objects, &oid, &type, &bytes);

	if (err == 0 && type != OBJECT_TREE)
		err = -EBADMSG;
	while (err == 0 && rd_left(&bytes)) {
		uint32_t name, to;

		if (ret->n == cap) {
			struct edge *more = realloc(ret->own, (cap = 2 * cap + 64) * sizeof(*more));

			if (!more)
				return -ENOMEM;
			ret->own = more;
		}
		if (!tree_next_lenient(&bytes, r->g->id_size, &e))
			return -EBADMSG;
		err = graph_link(r->g, e.oid, (struct link){ .from = NODE_NONE }, &to);
		if (err == 0)
			err = graph_name(r->g, e.name, &name);
		if (err == 0)
			ret->own[ret->n++] = edge_of(name, e.kind, to);
	}
	if (ret->n)
		qsort(ret->own, ret->n, sizeof(*ret->own), by_name);
	ret->edge = ret->own;
	return err;
}

static int entries_of(struct run *r, uint32_t tree, bool whole, struct entries *ret)
{
	const struct links_tree *t;
	int err;

	*ret = (struct entries){ 0 };
	if (tree == NODE_NONE)
		return 0;
	if (whole)
		return read_all(r, tree, ret);
	err = graph_load(r->g, r->objects, tree, OBJECT_TREE);
	if (err < 0)
		return err;
	t = graph_node(r->g, tree)->tree;
	*ret = (struct entries){ .edge = t->edge, .n = t->n_edges };
	return 0;
}

static void entries_done(struct entries *e, size_t n)
{
	for (size_t i = 0; i < n; i++)
		free(e[i].own);
}

/* ---- a directory of a commit, and of each of its parents; entries[0] is the commit's ---- */

static int directories(struct protect *p, const uint32_t *tree, size_t n);

static uint32_t as_directory(struct edge e)
{
	return edge_kind(&e) == TREE_DIRECTORY ? e.to : NODE_NONE;
}

/* What a directory of that name is: no file. */
static struct edge as_file(struct edge e)
{
	return edge_kind(&e) == TREE_DIRECTORY ? edge_of(edge_name(&e), TREE_NONE, NODE_NONE) : e;
}

static bool same(struct edge a, struct edge b)
{
	return a.name_kind == b.name_kind && a.to == b.to;
}

/* How many of the parents have the same. */
static size_t count_same(const struct edge *e, size_t n)
{
	size_t found = 0;

	for (size_t i = 1; i < n; i++)
		found += same(as_file(e[i]), as_file(e[0]));
	return found;
}

/* What a commit has at the path at hand. */
static int version(struct protect *p, uint32_t commit, uint32_t name, struct edge *ret)
{
	uint64_t before = p->r->read, steps;
	enum tree_kind kind;
	struct oid oid;
	uint32_t to = NODE_NONE;
	int err = run_resolve(p->r, commit, wr_rd(&p->path), &kind, &oid);

	steps = 1 + (p->r->read - before) / BYTES_A_STEP;
	if (p->steps < steps)
		return -E2BIG;
	p->steps -= steps;
	if (err == 0 && kind != TREE_NONE)
		err = graph_link(p->r->g, oid.byte, (struct link){ .from = NODE_NONE }, &to);
	*ret = as_file(edge_of(name, kind, to));
	return err;
}

/* Did it change in this parent's history since that parted from another's? 1, 0 or -errno. */
static int changed_since(struct protect *p, size_t mine, size_t other, struct edge here)
{
	struct ancestry_bases *b = &p->bases;
	uint32_t one = p->parent[mine - 1], two = p->parent[other - 1];
	int err = p->ancestry ? 0 : ancestry_new(p->r, &p->ancestry);

	if (err == 0 && (b->one != one || b->two != two)) {
		*b = (struct ancestry_bases){ .one = one, .two = two };
		err = ancestry_bases(p->ancestry, b);
	}
	if (err == 0 && !b->n)		/* nothing in common: both began without it */
		return edge_kind(&here) != TREE_NONE;
	for (size_t i = 0; i < b->n && err == 0; i++) {
		struct edge before;

		err = version(p, b->node[i], edge_name(&here), &before);
		if (err == 0 && !same(before, here))
			return 1;
	}
	return err;
}

/* A merge that has what one of its parents has: would another's change be undone? */
static int undone(struct protect *p, const struct edge *e, size_t n, bool *ret)
{
	for (size_t k = 1; k < n; k++) {
		int fine = same(as_file(e[k]), as_file(e[0]));

		for (size_t i = 1; i < n && fine == 0; i++)
			if (same(as_file(e[i]), as_file(e[0])))
				fine = changed_since(p, i, k, as_file(e[i]));
		if (fine < 0)
			return fine;
		*ret |= !fine;
	}
	return 0;
}

static int check_file(struct protect *p, const struct edge *e, size_t n)
{
	size_t found = count_same(e, n);

	if (found == n - 1 || !push_rules_path_denied(p->r->rules, wr_rd(&p->path)))
		return 0;
	p->found = !found;
	return found ? undone(p, e, n, &p->found) : 0;
}

static int below(struct protect *p, const struct edge *e, size_t n)
{
	AUTO(mem) uint32_t *tree = calloc(n, sizeof(*tree));
	bool any = false;

	if (!tree)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		tree[i] = as_directory(e[i]);
		any |= tree[i] != NODE_NONE;
	}
	if (!any || !push_rules_tree_matters(p->r->rules, wr_rd(&p->path)))
		return 0;
	return directories(p, tree, n);
}

/* One name, in the commit's directory and those of its parents. */
static int name(struct protect *p, const struct edge *e, size_t n)
{
	size_t before = p->path.n;
	int err = 0;

	if (before)
		wr_str(&p->path, "/");
	wr_rd_all(&p->path, p->r->g->names.text[edge_name(&e[0])]);
	if (!wr_ok(&p->path))
		return -ENAMETOOLONG;
	err = check_file(p, e, n);
	if (err == 0 && !p->found)
		err = below(p, e, n);
	if (!p->found)
		p->path.n = before;
	return err;
}

/* The lowest name of all at which they are, and on; false: none is left. */
static bool next_name(const struct entries *in, size_t *at, struct edge *e, size_t n, bool *ret_differ)
{
	uint32_t lowest = UINT32_MAX;

	for (size_t i = 0; i < n; i++)
		if (at[i] < in[i].n && edge_name(&in[i].edge[at[i]]) < lowest)
			lowest = edge_name(&in[i].edge[at[i]]);
	*ret_differ = false;
	for (size_t i = 0; i < n && lowest != UINT32_MAX; i++) {
		e[i] = edge_of(lowest, TREE_NONE, NODE_NONE);
		/* twice: in an odd old tree */
		while (at[i] < in[i].n && edge_name(&in[i].edge[at[i]]) == lowest)
			e[i] = in[i].edge[at[i]++];
		*ret_differ |= !same(e[i], e[0]);
	}
	return lowest != UINT32_MAX;
}

static int names(struct protect *p, const struct entries *in, size_t n)
{
	AUTO(mem) struct edge *e = calloc(n, sizeof(*e));
	AUTO(mem) size_t *at = calloc(n, sizeof(*at));
	bool differ;
	int err = 0;

	if (!e || !at)
		return -ENOMEM;
	while (err == 0 && !p->found && next_name(in, at, e, n, &differ)) {
		if (p->steps < n)
			return -E2BIG;
		p->steps -= n;
		if (differ)
			err = name(p, e, n);
	}
	return err;
}

static int directories(struct protect *p, const uint32_t *tree, size_t n)
{
	AUTO(mem) struct entries *in = NULL;
	size_t equal = 0;
	bool whole;
	int err = 0;

	for (size_t i = 1; i < n; i++)
		equal += tree[i] == tree[0];
	if (equal == n - 1)
		return 0;
	in = calloc(n, sizeof(*in));
	if (!in)
		return -ENOMEM;
	whole = keep_whole(p->r->rules, wr_rd(&p->path));
	for (size_t i = 0; i < n && err == 0; i++)
		err = entries_of(p->r, tree[i], whole, &in[i]);
	if (err == 0)
		err = names(p, in, n);
	entries_done(in, n);
	return err;
}

/* ---- whose a commit is ---- */

static int is_listed(struct protect *p, uint32_t node)
{
	struct oid id = graph_id(p->r->g, node);
	size_t n = p->r->n_tips;
	int err;

	if (n && bsearch(&id, p->r->tips, n, sizeof(id), oid_compare))
		return 1;
	if (p->steps <= n)
		return -E2BIG;
	p->steps -= n + 1;
	err = p->ancestry ? 0 : ancestry_new(p->r, &p->ancestry);
	return err < 0 ? err : ancestry_listed(p->ancestry, node);
}

static int is_upstreams(struct protect *p, uint32_t node)
{
	int known = run_known(p->r, node);

	return known > 0 && p->r->has_tips ? is_listed(p, node) : known;
}

/* ---- commits ---- */

/* The whole of it is looked at: what is told is cut, and half a secret is none to the scanner. */
static struct rd shown(const struct protect *p)
{
	struct checks_sink *s = p->r->sink;
	struct rd path = wr_rd(&p->path);

	return s->secret && s->secret(s, path) ? rd_str("(path not shown: a secret is in it)") : path;
}

static int tell(struct protect *p, uint32_t node, unsigned *told)
{
	int known = is_upstreams(p, node);
	struct rd path;
	char id[RUN_SHORT];

	if (known != 0)			/* upstream has that commit */
		return known < 0 ? known : 0;
	if ((*told)++ >= TOLD)
		return 0;
	path = shown(p);
	run_refuse(p->r, RUN_EVERY, REASON_PATH_PROTECTED, "%.*s in %s", (int)path.n, (const char *)path.p,
		   run_short(p->r, node, id));
	return 0;
}

/* trees[0]: of the object; then its parents'. */
static int compare(struct protect *p, uint32_t node, const uint32_t *trees, size_t n, unsigned *told)
{
	int err;

	p->path = wr_of(p->bytes, sizeof(p->bytes));
	p->found = false;
	err = directories(p, trees, n);
	return err == 0 && p->found ? tell(p, node, told) : err;
}

static int check_commit(struct protect *p, uint32_t node, unsigned *told)
{
	struct run *r = p->r;
	const struct links_commit *c = graph_node(r->g, node)->commit;
	AUTO(mem) uint32_t *trees = calloc(c->n_parents + 2, sizeof(*trees));
	int err = 0;

	if (!trees)
		return -ENOMEM;
	p->parent = c->parent;
	trees[0] = c->tree;
	trees[1] = NODE_NONE;		/* of a first commit */
	for (uint32_t i = 0; i < c->n_parents && err == 0; i++) {
		err = graph_load(r->g, r->objects, c->parent[i], OBJECT_COMMIT);
		if (err == 0)
			trees[i + 1] = graph_node(r->g, c->parent[i])->commit->tree;
	}
	return err < 0 ? err : compare(p, node, trees, c->n_parents + (c->n_parents ? 1 : 2), told);
}

/* One of the mirror's, once. */
static int add_outside(struct protect *p, uint32_t node)
{
	if (node < p->r->g->n_pack || graph_node(p->r->g, node)->flags & NODE_REACHED)
		return 0;
	if (p->n_outside == p->cap_outside) {
		size_t cap = 2 * p->cap_outside + 64;
		uint32_t *more = realloc(p->outside, cap * sizeof(*more));

		if (!more)
			return -ENOMEM;
		p->outside = more;
		p->cap_outside = cap;
	}
	graph_node(p->r->g, node)->flags |= NODE_REACHED;
	p->outside[p->n_outside++] = node;
	return 0;
}

/* What the push points to outside, if that is a commit or a tag of one. */
static int begin_outside(struct protect *p, uint32_t node)
{
	enum object_type type;
	int err = graph_type(p->r->g, p->r->objects, node, &type);

	while (err == 0 && type == OBJECT_TAG) {
		node = graph_node(p->r->g, node)->tag->object;
		err = graph_type(p->r->g, p->r->objects, node, &type);
	}
	return err == 0 && type == OBJECT_COMMIT ? add_outside(p, node) : err;
}

/* Commits that the mirror has, from those the push points to back to upstream's own. */
static int check_outside(struct protect *p, unsigned *told)
{
	struct graph *g = p->r->g;
	uint32_t end = g->n_pack + g->outside.n;
	int err = 0;

	for (uint32_t i = g->n_pack; i < end && err == 0; i++)
		if (graph_node(g, i)->wanted & (1U << OBJECT_COMMIT | 1U << OBJECT_TAG) ||
		    graph_node(g, i)->flags & NODE_TIP)
			err = begin_outside(p, i);
	while (err == 0 && p->n_outside && *told < TOLD) {
		uint32_t node = p->outside[--p->n_outside];
		int listed = is_listed(p, node);
		const struct links_commit *c;

		if (listed)
			err = listed < 0 ? listed : 0;
		else
			err = check_commit(p, node, told);
		c = graph_node(g, node)->commit;
		for (uint32_t i = 0; !listed && err == 0 && i < c->n_parents; i++)
			err = add_outside(p, c->parent[i]);
	}
	return err;
}

/* A tree of the push that a ref, or a tag, points to itself, whatever else does: nobody's parent has it. */
static uint32_t root_of(const struct run *r, uint32_t i)
{
	const struct node *n = &r->g->node[i];
	uint32_t at = n->type == OBJECT_TAG ? n->tag->object : n->flags & NODE_TIP ? i : NODE_NONE;

	return at < r->g->n_pack && r->g->node[at].type == OBJECT_TREE ? at : NODE_NONE;
}

int run_protect(struct run *r)
{
	AUTO(mem) struct protect *p = calloc(1, sizeof(*p));
	unsigned told = 0;
	int err = 0;

	if (!p)
		return -ENOMEM;
	p->r = r;
	p->steps = r->limits.steps;
	for (uint32_t i = 0; r->rules->n_denied && i < r->g->n_pack && err == 0 && told < TOLD; i++) {
		uint32_t root = root_of(r, i);

		if (r->g->node[i].type == OBJECT_COMMIT)
			err = check_commit(p, i, &told);
		else if (root != NODE_NONE)
			err = compare(p, root, (uint32_t[]){ root, NODE_NONE }, 2, &told);
	}
	if (r->rules->n_denied && r->has_tips && err == 0)
		err = check_outside(p, &told);
	ancestry_free(p->ancestry);
	free(p->outside);
	if (err == -E2BIG)
		run_refuse(r, RUN_EVERY, REASON_PACK_LIMIT_EXCEEDED, "too many files to compare for protected paths");
	return err == -E2BIG ? 0 : err;
}
