/*
 * where.c - by which commit and path an object came in, and what was there before
 *
 * Theory of operation: of each object one that points to it is known; so from tree to tree one gets to a commit,
 * and each tree on the way tells a part of the path. From there back, as long as a parent that the push brings
 * has the same object at that path: the commit then found is the one to change. What upstream has at
 * that path is looked for in the commits of the mirror that are met first on the way back.
 * Few objects are asked for; trees are read for it.
 */
#include "gitproxy/gate/run.h"

#include <errno.h>
#include <stdlib.h>

enum { PATH_BYTES = 4096, COMMITS_MAX = 2000,
       LOOKED_MAX = 200000 };		/* trees, for all that is asked; then a commit that has it will do */

static int read_tree(struct run *r, const uint8_t *id, struct rd *ret)
{
	enum object_type type;
	struct oid oid = { 0 };
	int err;

	r->looked++;
	memcpy(oid.byte, id, r->g->id_size);
	err = objects_read(r->objects, &oid, &type, ret);
	r->read += err < 0 ? 0 : ret->n;
	return err < 0 ? err : type == OBJECT_TREE ? 0 : -EBADMSG;
}

/* ---- up: from an object to a commit ---- */

/* The name a tree has for it, in front of the path so far, which ends where the buffer does. */
static int put_name(struct run *r, uint32_t tree, uint32_t node, char *path, size_t *at)
{
	struct oid tree_id = graph_id(r->g, tree), id = graph_id(r->g, node);
	bool last = path[*at] == '\0';
	struct tree_entry e;
	struct rd bytes;
	int err = read_tree(r, tree_id.byte, &bytes);

	while (err == 0 && rd_left(&bytes)) {
		if (!tree_next_lenient(&bytes, r->g->id_size, &e))
			return -EBADMSG;
		if (memcmp(e.oid, id.byte, r->g->id_size) || e.kind == TREE_SUBMODULE)
			continue;
		if (e.name.n + 1 > *at)
			return -ENAMETOOLONG;
		if (!last)
			path[--*at] = '/';
		*at -= e.name.n;
		memcpy(path + *at, e.name.p, e.name.n);
		return 0;
	}
	return err < 0 ? err : -EBADMSG;
}

/* *ret_commit: NODE_NONE when no commit has it on a path. */
static int climb(struct run *r, uint32_t node, char *path, size_t *at, uint32_t *ret_commit)
{
	int err = 0;

	*ret_commit = NODE_NONE;
	for (unsigned i = 0; i < PATH_BYTES && err == 0; i++) {
		uint32_t up = r->g->node[node].referrer;

		if (up >= r->g->n_pack)
			return 0;
		if (r->g->node[up].type == OBJECT_COMMIT)
			*ret_commit = up;
		if (r->g->node[up].type != OBJECT_TREE)
			return 0;
		err = put_name(r, up, node, path, at);
		node = up;
	}
	return err < 0 ? err : -ENAMETOOLONG;
}

/* ---- down: from a commit to what it has at a path ---- */

static int step(struct run *r, struct oid *at, struct rd part, enum tree_kind *kind)
{
	struct tree_entry e;
	struct rd bytes;
	int err = read_tree(r, at->byte, &bytes);

	*kind = TREE_NONE;
	while (err == 0 && rd_left(&bytes) && *kind == TREE_NONE) {
		if (!tree_next_lenient(&bytes, r->g->id_size, &e))
			return -EBADMSG;
		if (!rd_eq(e.name, part.p, part.n))
			continue;
		memcpy(at->byte, e.oid, r->g->id_size);
		*kind = e.kind;
	}
	return err;
}

int run_resolve(struct run *r, uint32_t commit, struct rd path, enum tree_kind *ret_kind, struct oid *ret)
{
	struct rd part, whole;
	struct oid at;
	int err = graph_load(r->g, r->objects, commit, OBJECT_COMMIT);

	*ret = (struct oid){ 0 };
	*ret_kind = TREE_DIRECTORY;
	if (err < 0)
		return err;
	at = graph_id(r->g, graph_node(r->g, commit)->commit->tree);
	while (rd_left(&path) && *ret_kind == TREE_DIRECTORY && err == 0) {
		whole = path;
		part = rd_until(&path, '/', &part) ? part : whole;
		err = step(r, &at, part, ret_kind);
	}
	if (rd_left(&path))			/* a file, a link or a submodule: nothing is below it */
		*ret_kind = TREE_NONE;
	if (err == 0 && *ret_kind != TREE_NONE)
		*ret = at;
	return err;
}

static int resolve(struct run *r, uint32_t commit, const char *path, struct oid *ret)
{
	enum tree_kind kind;
	int err = run_resolve(r, commit, rd_str(path), &kind, ret);

	if (kind == TREE_SUBMODULE)
		*ret = (struct oid){ 0 };
	return err;
}

/* ---- back: to the commit that brought it, and to what was before ---- */

static int same_in_parent(struct run *r, uint32_t commit, const char *path, const struct oid *id, uint32_t *ret)
{
	const struct links_commit *c = r->g->node[commit].commit;
	struct oid there;
	int err = 0;

	*ret = NODE_NONE;
	for (uint32_t i = 0; i < c->n_parents && err == 0 && *ret == NODE_NONE; i++) {
		if (c->parent[i] >= r->g->n_pack)
			continue;
		err = resolve(r, c->parent[i], path, &there);
		if (err == 0 && !oid_compare(&there, id))
			*ret = c->parent[i];
	}
	return err;
}

static int first_commit(struct run *r, const char *path, const struct oid *id, uint32_t *commit)
{
	int err = 0;

	for (unsigned i = 0; i < COMMITS_MAX && r->looked < LOOKED_MAX && err == 0; i++) {
		uint32_t before;

		err = same_in_parent(r, *commit, path, id, &before);
		if (err < 0 || before == NODE_NONE)
			return err;
		*commit = before;
	}
	return err;
}

/* Is it among these? Few are looked through. */
static bool among(const uint32_t *list, size_t n, uint32_t node)
{
	for (size_t i = 0; i < n; i++)
		if (list[i] == node)
			return true;
	return false;
}

static int upstreams(struct run *r, const char *path, uint32_t commit, struct oid *ret)
{
	static const struct oid none;
	uint32_t list[COMMITS_MAX] = { commit };
	size_t n = 1;
	int err = 0;

	*ret = none;
	for (size_t i = 0; i < n && r->looked < LOOKED_MAX && err == 0 && !oid_compare(ret, &none); i++) {
		const struct links_commit *c;

		if (list[i] >= r->g->n_pack) {
			err = resolve(r, list[i], path, ret);
			continue;
		}
		err = graph_load(r->g, r->objects, list[i], OBJECT_COMMIT);	/* some take it for one */
		c = r->g->node[list[i]].commit;
		for (uint32_t k = 0; err == 0 && k < c->n_parents && n < COMMITS_MAX; k++)
			if (!among(list, n, c->parent[k]))
				list[n++] = c->parent[k];
	}
	return err;
}

static int find(struct run *r, uint32_t node, struct checks_place *place)
{
	char path[PATH_BYTES + 1];
	size_t at = PATH_BYTES;
	uint32_t commit;
	int err;

	path[at] = '\0';
	err = climb(r, node, path, &at, &commit);
	if (err < 0 || commit == NODE_NONE)
		return err;
	err = first_commit(r, path + at, &place->object, &commit);
	if (err == 0)
		err = upstreams(r, path + at, commit, &place->before);
	if (err < 0)
		return err;
	place->commit = graph_id(r->g, commit);
	place->path = strdup(path + at);
	return place->path ? 0 : -ENOMEM;
}

int run_find(struct run *r, struct checks_place *place)
{
	uint32_t node = graph_find(r->g, place->object.byte);
	int err;

	place->commit = place->before = (struct oid){ 0 };
	place->path = NULL;
	if (node >= r->g->n_pack)
		return -ENOENT;
	if (r->g->node[node].type == OBJECT_COMMIT) {
		place->commit = place->object;
		return 0;
	}
	err = find(r, node, place);
	/* Of a push that is refused: something is missing, or is not what it is taken for, or is too deep. */
	return err == -ENOENT || err == -EBADMSG || err == -ENAMETOOLONG ? 0 : err;
}
