/*
 * forms.c - is each object what the others take it for
 *
 * Theory of operation: an object is pointed to as a commit, a tree, a blob or a tag, and must be one; and
 * as .gitmodules or .gitattributes, and then must hold what those may. The latter are read here, again
 * for those of the pack, and of the mirror too: a blob may have come before under a harmless name.
 */
#include "gitproxy/gate/run.h"

#include <errno.h>

#include "gitproxy/gate/special.h"

/* Of the pack; walk.c does it for those of the mirror. */
static bool type_ok(const struct node *n)
{
	return !(n->wanted & ~(1U << n->type));
}

static enum fault special(const struct node *n, struct rd bytes)
{
	enum fault f = FAULT_NONE;

	if (n->flags & NODE_MODULES)
		f = special_modules(bytes);
	if (f == FAULT_NONE && n->flags & NODE_ATTRIBUTES)
		f = special_attributes(bytes);
	return f;
}

static int check_special(struct run *r, uint32_t i)
{
	const struct node *n = graph_node(r->g, i);
	struct oid oid = graph_id(r->g, i);
	enum object_type type = OBJECT_NONE;
	enum fault f = FAULT_TYPE;
	char id[RUN_SHORT];
	struct rd bytes;
	int err = objects_read(r->objects, &oid, &type, &bytes);

	if (err == -EFBIG)
		f = n->flags & NODE_MODULES ? FAULT_MODULES_LARGE : FAULT_ATTRIBUTES_LARGE;
	else if (err < 0)
		return err;
	else if (type == OBJECT_BLOB)
		f = special(n, bytes);
	if (f != FAULT_NONE)
		run_refuse(r, RUN_EVERY, REASON_PACK_MALFORMED, "%s (%s)", fault_text(f), run_short(r, i, id));
	return 0;
}

int run_forms(struct run *r)
{
	uint32_t n = r->g->n_pack + r->g->outside.n;
	char id[RUN_SHORT];
	int err = 0;

	for (uint32_t i = 0; i < n && err == 0; i++) {
		const struct node *node = graph_node(r->g, i);

		if (i < r->g->n_pack && !type_ok(node))
			run_refuse(r, RUN_EVERY, REASON_PACK_MALFORMED, "%s (%s)", fault_text(FAULT_TYPE),
				   run_short(r, i, id));
		else if (node->flags & (NODE_MODULES | NODE_ATTRIBUTES))
			err = check_special(r, i);
	}
	return err;
}
