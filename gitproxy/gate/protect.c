/*
 * protect.c - which protected paths a push changes
 *
 * Theory of operation: every commit that the push brings is compared with its parents: a file at a protected
 * path must be what it is in one of them, there or not there; so a merge may take what either side
 * has and nothing else, a first commit may have none, and a change that a later commit takes back is found.
 * Directories are gone into together, by the patterns, as long as they differ from those of every parent.
 * Most is done on the links that were kept; directories of which all files are protected are read
 * once more. How many entries are compared is bounded for the whole push.
 */
#include "gitproxy/gate/run.h"

#include <errno.h>
#include <stdlib.h>

enum { PATH_BYTES = 4096, TOLD = 8 };

struct entries {
	const struct edge *edge;
	size_t n;
	struct edge *own;		/* heap; NULL: they are the graph's */
};

struct protect {
	struct run *r;
	uint64_t steps;
	struct wr path;			/* of the directory at hand */
	uint8_t bytes[PATH_BYTES];
	bool found;			/* path is protected, and changed */
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

/* The entry of this name, or one that is none. */
static struct edge find(const struct entries *e, uint32_t name)
{
	size_t low = 0, high = e->n;

	while (low < high) {
		size_t mid = (low + high) / 2;

		if (edge_name(&e->edge[mid]) < name)
			low = mid + 1;
		else
			high = mid;
	}
	return low < e->n && edge_name(&e->edge[low]) == name ? e->edge[low] : edge_of(name, TREE_NONE, NODE_NONE);
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

static bool file_changed(const struct edge *e, size_t n)
{
	struct edge mine = as_file(e[0]);

	for (size_t i = 1; i < n; i++) {
		struct edge theirs = as_file(e[i]);

		if (mine.name_kind == theirs.name_kind && mine.to == theirs.to)
			return false;
	}
	return true;
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
	if (file_changed(e, n) && push_rules_path_denied(p->r->rules, wr_rd(&p->path)))
		p->found = true;
	else
		err = below(p, e, n);
	if (!p->found)
		p->path.n = before;
	return err;
}

/* What neither the commit nor its first parent has is unchanged. */
static int names(struct protect *p, const struct entries *in, size_t n)
{
	AUTO(mem) struct edge *e = calloc(n, sizeof(*e));
	size_t i = 0, k = 0;
	int err = 0;

	if (!e)
		return -ENOMEM;
	while (err == 0 && !p->found && (i < in[0].n || k < in[1].n)) {
		uint32_t mine = i < in[0].n ? edge_name(&in[0].edge[i]) : UINT32_MAX;
		uint32_t theirs = k < in[1].n ? edge_name(&in[1].edge[k]) : UINT32_MAX;
		uint32_t at = mine < theirs ? mine : theirs;

		if (p->steps-- == 0)
			return -E2BIG;
		for (size_t j = 0; j < n; j++)
			e[j] = find(&in[j], at);
		i += mine == at;
		k += theirs == at;
		if (e[0].name_kind != e[1].name_kind || e[0].to != e[1].to)
			err = name(p, e, n);
	}
	return err;
}

static int directories(struct protect *p, const uint32_t *tree, size_t n)
{
	AUTO(mem) struct entries *in = NULL;
	bool whole;
	int err = 0;

	for (size_t i = 1; i < n; i++)
		if (tree[i] == tree[0])
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

/* ---- commits ---- */

static int tell(struct protect *p, uint32_t node, unsigned *told)
{
	int known = run_known(p->r, node);
	char id[RUN_SHORT];

	if (known != 0)			/* upstream has that commit */
		return known < 0 ? known : 0;
	if ((*told)++ < TOLD)
		run_refuse(p->r, RUN_EVERY, REASON_PATH_PROTECTED, "%.*s in %s", (int)p->path.n,
			   (const char *)p->bytes, run_short(p->r, node, id));
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
	const struct links_commit *c = r->g->node[node].commit;
	AUTO(mem) uint32_t *trees = calloc(c->n_parents + 2, sizeof(*trees));
	int err = 0;

	if (!trees)
		return -ENOMEM;
	trees[0] = c->tree;
	trees[1] = NODE_NONE;		/* of a first commit */
	for (uint32_t i = 0; i < c->n_parents && err == 0; i++) {
		err = graph_load(r->g, r->objects, c->parent[i], OBJECT_COMMIT);
		if (err == 0)
			trees[i + 1] = graph_node(r->g, c->parent[i])->commit->tree;
	}
	return err < 0 ? err : compare(p, node, trees, c->n_parents + (c->n_parents ? 1 : 2), told);
}

/* A tree that a ref, or a tag, points to itself: nobody's parent has it. */
static bool is_root(const struct run *r, const struct node *n)
{
	return n->type == OBJECT_TREE &&
	       (n->flags & NODE_TIP || (n->referrer < r->g->n_pack && r->g->node[n->referrer].type == OBJECT_TAG));
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
		const struct node *n = &r->g->node[i];

		if (n->type == OBJECT_COMMIT)
			err = check_commit(p, i, &told);
		else if (is_root(r, n))
			err = compare(p, i, (uint32_t[]){ i, NODE_NONE }, 2, &told);
	}
	if (err == -E2BIG)
		run_refuse(r, RUN_EVERY, REASON_PACK_LIMIT_EXCEEDED, "too many files to compare for protected paths");
	return err == -E2BIG ? 0 : err;
}
