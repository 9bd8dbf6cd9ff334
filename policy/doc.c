/*
 * doc.c - read YAML with libyaml's event parser into a tree with positions
 *
 * Theory of operation: libyaml gives events, read_node() turns them into nodes, recursion is
 * bounded by DOC_DEPTH_MAX and the whole by DOC_NODES_MAX. A fault that leaves the structure
 * readable (a duplicate key, an anchor, a tag) is noted and reading goes on, so that all errors
 * come at once; a syntax error ends it, as libyaml cannot go on. Tabs are found by a scan of our
 * own, since libyaml takes some and explains the others badly; they are read as a space then, and
 * syntax errors that may only follow from them are not shown. Invariants: the encoding is UTF-8,
 * never guessed; a node's text holds no NUL. Fuzzed by tests/fuzz/fuzz_policy.c.
 */
#include "policy/doc.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

struct reader {
	yaml_parser_t parser;
	const char *file, *text;
	struct diag *d;
	size_t nodes;
	unsigned depth;
	bool scan_failed; /* syntax errors are consequences */
};

static int read_node(struct reader *r, const yaml_event_t *e, struct node **ret);

void node_free(struct node *nd)
{
	if (!nd)
		return;
	for (size_t i = 0; i < nd->n; i++)
		node_free(nd->items[i]);
	free(nd->items);
	free(nd->key);
	free(nd->text);
	free(nd);
}

struct node *node_member(const struct node *nd, const char *key, size_t n)
{
	for (size_t i = 0; nd && nd->kind == NODE_MAP && i < nd->n; i++)
		if (!strncmp(nd->items[i]->key, key, n) && !nd->items[i]->key[n])
			return nd->items[i];
	return NULL;
}

struct node *node_at(const struct node *nd, const char *path)
{
	struct node *at = (struct node *)nd;
	size_t n;

	for (; at && *path; path += n + (path[n] == '.')) {
		n = strcspn(path, ".");
		at = node_member(at, path, n);
	}
	return at;
}

bool node_is_null(const struct node *nd)
{
	return nd->kind == NODE_SCALAR && nd->plain &&
	       (!*nd->text || !strcmp(nd->text, "~") || !strcmp(nd->text, "null"));
}

static size_t mark_line(yaml_mark_t m)
{
	return m.line + 1;
}
static size_t mark_column(yaml_mark_t m)
{
	return m.column + 1;
}

static int read_fail(struct reader *r, yaml_mark_t at, const char *what)
{
	if (!r->scan_failed)
		diag_error(r->d, r->file, mark_line(at), mark_column(at), "%s", what);
	return -EINVAL;
}

/* libyaml reads ahead: for a byte that is no character it knows the offset only. */
static yaml_mark_t mark_of_offset(const struct reader *r, size_t offset)
{
	yaml_mark_t at = { .index = offset };

	for (size_t i = 0; i < offset; i++) {
		at.line += r->text[i] == '\n';
		at.column = r->text[i] == '\n' ? 0 : at.column + 1;
	}
	return at;
}

static int read_syntax_error(struct reader *r)
{
	yaml_parser_t *p = &r->parser;
	yaml_mark_t at = p->problem_mark;
	const char *what = p->problem ? p->problem : "not YAML";

	if (p->error == YAML_MEMORY_ERROR)
		return -ENOMEM;
	if (r->scan_failed)
		return -EINVAL;
	if (p->error == YAML_READER_ERROR)
		at = mark_of_offset(r, p->problem_offset);
	if (p->context)
		diag_error(r->d, r->file, mark_line(at), mark_column(at), "not valid YAML: %s, %s",
			   p->context, what);
	else
		diag_error(r->d, r->file, mark_line(at), mark_column(at), "not valid YAML: %s",
			   what);
	return -EINVAL;
}

static int read_event(struct reader *r, yaml_event_t *ret)
{
	return yaml_parser_parse(&r->parser, ret) ? 0 : read_syntax_error(r);
}

static void auto_free_event(yaml_event_t *e)
{
	yaml_event_delete(e);
}

static int node_append(struct node *to, struct node *item /* takes */)
{
	AUTO(node) struct node *nd = item;

	if (!(to->n & (to->n - 1))) { /* full at each power of two */
		size_t cap = to->n ? 2 * to->n : 1;
		struct node **more = reallocarray(to->items, cap, sizeof(struct node *));

		if (!more)
			return -ENOMEM;
		to->items = more;
	}
	to->items[to->n++] = STEAL(nd);
	return 0;
}

static int node_new(struct reader *r, const yaml_event_t *e, enum node_kind kind, struct node **ret)
{
	struct node *nd;

	if (++r->nodes > DOC_NODES_MAX)
		return read_fail(r, e->start_mark,
				 "too large: more values than a configuration can have");
	nd = calloc(1, sizeof(*nd));
	if (!nd)
		return -ENOMEM;
	nd->kind = kind;
	nd->line = mark_line(e->start_mark);
	nd->column = mark_column(e->start_mark);
	*ret = nd;
	return 0;
}

/* Anchors and tags give one text two meanings; nothing here needs them. */
static void refuse_extras(struct reader *r, const yaml_event_t *e, const yaml_char_t *anchor,
			  const yaml_char_t *tag)
{
	if (anchor)
		read_fail(r, e->start_mark, "anchors are not allowed");
	if (tag)
		read_fail(r, e->start_mark, "tags are not allowed");
}

static int read_scalar(struct reader *r, const yaml_event_t *e, struct node **ret)
{
	AUTO(node) struct node *nd = NULL;
	const char *text = (const char *)e->data.scalar.value;
	int err = node_new(r, e, NODE_SCALAR, &nd);

	if (err)
		return err;
	refuse_extras(r, e, e->data.scalar.anchor, e->data.scalar.tag);
	if (memchr(text, 0, e->data.scalar.length)) {
		read_fail(r, e->start_mark, "NUL inside a text");
		nd->bad = true;
	}
	nd->plain = e->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
	nd->text = strdup(text);
	if (!nd->text)
		return -ENOMEM;
	*ret = STEAL(nd);
	return 0;
}

static int read_list(struct reader *r, const yaml_event_t *start, struct node **ret)
{
	AUTO(node) struct node *list = NULL;
	int err = node_new(r, start, NODE_LIST, &list);

	refuse_extras(r, start, start->data.sequence_start.anchor, start->data.sequence_start.tag);
	while (!err) {
		__attribute__((cleanup(auto_free_event))) yaml_event_t e = { 0 };
		struct node *item = NULL;

		err = read_event(r, &e);
		if (!err && e.type == YAML_SEQUENCE_END_EVENT) {
			*ret = STEAL(list);
			return 0;
		}
		err = err ? err : read_node(r, &e, &item);
		err = err ? err : node_append(list, item);
	}
	return err;
}

/* The value of a member whose key is known; a second value of one key is reported and dropped. */
static int read_member(struct reader *r, struct node *map, const struct node *key)
{
	__attribute__((cleanup(auto_free_event))) yaml_event_t e = { 0 };
	const struct node *twin = node_member(map, key->text, strlen(key->text));
	AUTO(node) struct node *value = NULL;
	int err = read_event(r, &e);

	err = err ? err : read_node(r, &e, &value);
	if (err)
		return err;
	if (twin) {
		diag_error(r->d, r->file, key->line, key->column,
			   "duplicate key \"%.64s\" (first on line %zu)", key->text,
			   twin->key_line);
		return 0;
	}
	value->key = strdup(key->text);
	value->key_line = key->line;
	value->key_column = key->column;
	return value->key ? node_append(map, STEAL(value)) : -ENOMEM;
}

static int read_map(struct reader *r, const yaml_event_t *start, struct node **ret)
{
	AUTO(node) struct node *map = NULL;
	int err = node_new(r, start, NODE_MAP, &map);

	refuse_extras(r, start, start->data.mapping_start.anchor, start->data.mapping_start.tag);
	while (!err) {
		__attribute__((cleanup(auto_free_event))) yaml_event_t e = { 0 };
		AUTO(node) struct node *key = NULL;

		err = read_event(r, &e);
		if (!err && e.type == YAML_MAPPING_END_EVENT) {
			*ret = STEAL(map);
			return 0;
		}
		if (!err && e.type != YAML_SCALAR_EVENT)
			err = read_fail(r, e.start_mark, "a key must be a word");
		if (!err && map->n >= DOC_KEYS_MAX)
			err = read_fail(r, e.start_mark, "too many keys in one mapping");
		err = err ? err : read_scalar(r, &e, &key);
		err = err ? err : read_member(r, map, key);
	}
	return err;
}

/* An alias stands for nothing here: an unusable empty value. */
static int read_alias(struct reader *r, const yaml_event_t *e, struct node **ret)
{
	int err = node_new(r, e, NODE_SCALAR, ret);

	if (err)
		return err;
	read_fail(r, e->start_mark, "aliases are not allowed");
	(*ret)->bad = true;
	(*ret)->text = strdup("");
	return (*ret)->text ? 0 : -ENOMEM;
}

static int read_node_kind(struct reader *r, const yaml_event_t *e, struct node **ret)
{
	if (e->type == YAML_SCALAR_EVENT)
		return read_scalar(r, e, ret);
	if (e->type == YAML_SEQUENCE_START_EVENT)
		return read_list(r, e, ret);
	if (e->type == YAML_MAPPING_START_EVENT)
		return read_map(r, e, ret);
	if (e->type == YAML_ALIAS_EVENT)
		return read_alias(r, e, ret);
	return read_fail(r, e->start_mark, "not valid YAML: value expected");
}

static int read_node(struct reader *r, const yaml_event_t *e, struct node **ret)
{
	AUTO(node) struct node *nd = NULL;
	int err;

	if (r->depth >= DOC_DEPTH_MAX)
		return read_fail(r, e->start_mark, "nested too deep");
	r->depth++;
	err = read_node_kind(r, e, &nd);
	r->depth--;
	if (!err)
		*ret = STEAL(nd);
	return err;
}

/* The next event of the stream; its type is what the caller expects, or it says so. */
static int read_type(struct reader *r, yaml_event_type_t *ret_type, yaml_mark_t *ret_at)
{
	__attribute__((cleanup(auto_free_event))) yaml_event_t e = { 0 };
	int err = read_event(r, &e);

	*ret_type = e.type;
	*ret_at = e.start_mark;
	return err;
}

static int read_root(struct reader *r, struct node **ret)
{
	__attribute__((cleanup(auto_free_event))) yaml_event_t e = { 0 };
	AUTO(node) struct node *root = NULL;
	yaml_event_type_t type = YAML_NO_EVENT;
	yaml_mark_t at = { 0 };
	int err = read_type(r, &type, &at); /* stream start */

	err = err ? err : read_type(r, &type, &at); /* document start */
	if (!err && type == YAML_STREAM_END_EVENT)
		return read_fail(r, (yaml_mark_t){ 0 }, "the file is empty");
	err = err ? err : read_event(r, &e);
	err = err ? err : read_node(r, &e, &root);
	if (!err && node_is_null(root))
		return read_fail(r, (yaml_mark_t){ 0 }, "the file is empty");
	err = err ? err : read_type(r, &type, &at); /* document end */
	err = err ? err : read_type(r, &type, &at);
	if (!err && type != YAML_STREAM_END_EVENT)
		err = read_fail(r, at, "a second document; one file is one document");
	if (!err)
		*ret = STEAL(root);
	return err;
}

/* Tabs become spaces in `text`, and an error for the first of each line. */
static void scan_tabs(struct reader *r, char *text, size_t n)
{
	size_t line = 1, start = 0;
	bool told = false;

	for (size_t i = 0; i < n; i++) {
		if (text[i] == '\n') {
			line++;
			start = i + 1;
			told = false;
		} else if (text[i] == '\t') {
			text[i] = ' ';
			if (!told)
				diag_error(r->d, r->file, line, i - start + 1,
					   "tab character; indent and separate with spaces");
			told = r->scan_failed = true;
		}
	}
}

static bool scan_bom(struct reader *r, const char *text, size_t n)
{
	static const struct {
		const char *bytes;
		size_t n;
	} boms[] = {
		{ "\xef\xbb\xbf", 3 },
		{ "\xff\xfe", 2 },
		{ "\xfe\xff", 2 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(boms); i++) {
		if (n < boms[i].n || memcmp(text, boms[i].bytes, boms[i].n))
			continue;
		diag_error(r->d, r->file, 1, 1, "byte order mark; save the file as plain UTF-8");
		return true;
	}
	return false;
}

int doc_parse(const char *file, const char *text, size_t n, struct diag *d, struct node **ret)
{
	struct reader r = { .file = file, .d = d };
	AUTO(mem) char *copy = malloc(n + 1);
	int err;

	if (!copy)
		return -ENOMEM;
	if (scan_bom(&r, text, n))
		return -EINVAL;
	if (n)
		memcpy(copy, text, n);
	scan_tabs(&r, copy, n);
	r.text = copy;
	if (!yaml_parser_initialize(&r.parser))
		return -ENOMEM;
	yaml_parser_set_encoding(&r.parser, YAML_UTF8_ENCODING);
	yaml_parser_set_input_string(&r.parser, (const unsigned char *)copy, n);
	err = read_root(&r, ret);
	yaml_parser_delete(&r.parser);
	return err;
}
