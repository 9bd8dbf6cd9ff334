/*
 * commit.c - what a commit and a tag point to
 *
 * Theory of operation: the headers that git itself reads, in git's order, each once; others follow
 * and are not looked at, as in git. A commit with a NUL anywhere is refused: git shows it up to
 * there. Allocates nothing; the parents are read again from the bytes, which were checked.
 * Fuzzed by tests/fuzz/fuzz_commit.c and fuzz_tag.c; compared with git by tests/test_gate_fsck.py.
 */
#include "gitproxy/gate/commit.h"

#include "gitproxy/gate/headers.h"

static enum fault author(struct rd *bytes)
{
	struct rd value;
	uint64_t date;
	enum fault f;

	if (!headers_line(bytes, "author", &value))
		return FAULT_AUTHOR;
	f = headers_ident(value, &date);
	if (f != FAULT_NONE)
		return f;
	return headers_line(bytes, "author", &value) ? FAULT_AUTHORS : FAULT_NONE;
}

static enum fault parents(struct rd *bytes, enum object_format format, struct commit *c)
{
	struct rd value, line = *bytes;
	struct oid parent;

	c->parents = *bytes;
	while (headers_line(&line, "parent", &value)) {
		if (!headers_id(bytes, "parent", format, &parent))
			return FAULT_PARENT_LINE;
		c->n_parents++;
		line = *bytes;
	}
	c->parents.n -= rd_left(bytes);
	return FAULT_NONE;
}

enum fault commit_parse(struct rd bytes, enum object_format format, struct commit *ret)
{
	struct commit c = { 0 };
	struct rd value;
	enum fault f = headers_whole(bytes);

	if (f != FAULT_NONE)
		return f;
	if (rd_has(bytes, '\0'))
		return FAULT_NUL;
	if (!headers_id(&bytes, "tree", format, &c.tree))
		return FAULT_TREE_LINE;
	f = parents(&bytes, format, &c);
	if (f == FAULT_NONE)
		f = author(&bytes);
	if (f != FAULT_NONE)
		return f;
	if (!headers_line(&bytes, "committer", &value))
		return FAULT_COMMITTER;
	f = headers_ident(value, &c.date);
	if (f == FAULT_NONE)
		*ret = c;
	return f;
}

enum fault commit_parse_lenient(struct rd bytes, enum object_format format, struct commit *ret)
{
	struct commit c = { 0 };
	struct rd value;
	enum fault f;

	if (!headers_id(&bytes, "tree", format, &c.tree))
		return FAULT_TREE_LINE;
	f = parents(&bytes, format, &c);
	if (f != FAULT_NONE)
		return f;
	while (headers_line(&bytes, "author", &value))
		;
	if (headers_line(&bytes, "committer", &value) && headers_ident(value, &c.date) != FAULT_NONE)
		c.date = 0;
	*ret = c;
	return FAULT_NONE;
}

bool commit_parent(struct rd *lines, enum object_format format, struct oid *ret)
{
	return rd_left(lines) && headers_id(lines, "parent", format, ret);
}

static enum object_type type_of(struct rd word)
{
	static const char *const words[] = { [OBJECT_COMMIT] = "commit", [OBJECT_TREE] = "tree",
					     [OBJECT_BLOB] = "blob", [OBJECT_TAG] = "tag" };

	for (size_t i = OBJECT_COMMIT; i < ARRAY_SIZE(words); i++)
		if (rd_eq_str(word, words[i]))
			return (enum object_type)i;
	return OBJECT_NONE;
}

enum fault tag_parse(struct rd bytes, enum object_format format, struct tag *ret)
{
	struct tag t = { 0 };
	struct rd value;
	uint64_t date;
	enum fault f = headers_whole(bytes);

	if (f != FAULT_NONE)
		return f;
	if (!headers_id(&bytes, "object", format, &t.object))
		return FAULT_TAG_OBJECT;
	if (headers_line(&bytes, "type", &value))
		t.type = type_of(value);
	if (t.type == OBJECT_NONE)
		return FAULT_TAG_TYPE;
	if (!headers_line(&bytes, "tag", &value))
		return FAULT_TAG_NAME;
	if (headers_line(&bytes, "tagger", &value)) {	/* the first tags had none */
		f = headers_ident(value, &date);
		if (f != FAULT_NONE)
			return f;
	}
	*ret = t;
	return FAULT_NONE;
}
