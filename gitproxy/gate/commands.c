/*
 * commands.c - what each command does, and whether it may
 *
 * Theory of operation: every command is looked at, whatever the first one was. To create and to delete
 * stand in the command. An update is a fast-forward when the old commit is an ancestor of the new one;
 * to move a tag, or anything that is no commit, is to force. A branch is a commit: git refuses
 * another one only after all objects went to it.
 */
#include "gitproxy/gate/run.h"

#include <errno.h>

static bool below(const char *ref, const char *folder)
{
	return !strncmp(ref, folder, strlen(folder));
}

/* The object's number and type; the old one is nobody's link yet. */
static int look_up(struct run *r, const struct oid *oid, uint32_t *ret, enum object_type *ret_type)
{
	int err = graph_link(r->g, oid->byte, (struct link){ .from = NODE_NONE }, ret);

	if (err == 0)
		err = graph_type(r->g, r->objects, *ret, ret_type);
	if (err == -ENOENT)
		r->missing = *oid;
	return err;
}

static int update(struct run *r, struct ancestry *a, const struct push_command *c, enum push_op *ret)
{
	enum object_type old_type, new_type;
	uint32_t old, new;
	int err = look_up(r, &c->old, &old, &old_type);

	*ret = PUSH_FORCE;
	if (err == 0)
		err = look_up(r, &c->new, &new, &new_type);
	if (err < 0 || below(c->ref, "refs/tags/") || old_type != OBJECT_COMMIT || new_type != OBJECT_COMMIT)
		return err;
	err = ancestry_is(a, old, new);
	if (err > 0)
		*ret = PUSH_UPDATE;
	return err < 0 ? err : 0;
}

static int op_of(struct run *r, struct ancestry *a, const struct push_command *c, enum push_op *ret)
{
	*ret = push_command_deletes(c) ? PUSH_DELETE : PUSH_CREATE;
	return push_command_deletes(c) || push_command_creates(c) ? 0 : update(r, a, c, ret);
}

static int check_branch(struct run *r, uint32_t i, const struct push_command *c)
{
	enum object_type type;
	uint32_t node;
	int err;

	if (push_command_deletes(c) || !below(c->ref, "refs/heads/"))
		return 0;
	err = look_up(r, &c->new, &node, &type);
	if (err == 0 && type != OBJECT_COMMIT)
		run_refuse(r, i, REASON_PACK_MALFORMED, "a branch must be a commit");
	return err;
}

static int check(struct run *r, struct ancestry *a, uint32_t i)
{
	const struct push_command *c = push_list_command(r->list, i);
	char text[PUSH_TEXT];
	struct wr w = wr_of(text, sizeof(text));
	enum push_op op = PUSH_NONE;
	enum reason reason;
	int err = op_of(r, a, c, &op);

	if (err == 0)
		err = check_branch(r, i, c);
	if (err < 0)
		return err;
	if (r->sink->op)
		r->sink->op(r->sink, i, op);
	reason = push_rules_ref(r->rules, c->ref, op, &w);
	if (reason != REASON_NONE)
		run_refuse(r, i, reason, "%.*s", (int)wr_rd(&w).n, (const char *)text);
	return 0;
}

int run_commands(struct run *r)
{
	AUTO(ancestry) struct ancestry *a = NULL;
	int err = ancestry_new(r, &a);

	for (uint32_t i = 0; i < r->list->n_commands && err == 0; i++) {
		err = check(r, a, i);
		if (err == -EBADMSG && r->told)	/* of an object that was refused: the others' turn */
			err = 0;
	}
	return err;
}
