/*
 * schema.c - check a tree against the schema table, read it with defaults, print the reference
 *
 * Theory of operation: schema_check() walks the tree; for each key the row below the parent's path
 * is looked up. What is wrong is noted and its node marked bad, and the walk goes on. Afterwards
 * the getters give the value, or the row's default for what is absent or bad, so the compilers
 * above can go on to find more errors; nothing of a tree with errors is ever put in force, since
 * callers compare error counts.
 */
#include "policy/schema.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "policy/policy.h"
#include "policy/schema_type.h"

enum { SCHEMA_KEYS_MAX = 32 };

struct check {
	enum schema_doc doc;
	const char *file;
	struct diag *d;
};

static void check_value(const struct check *c, const struct schema_row *row, struct node *nd);

/* If row is the child `key` of the path `parent` (of n bytes): true. "*" takes any key. */
static bool row_is_child(const struct schema_row *row, const char *parent, size_t n,
			 const char *key)
{
	const char *rest;
	size_t len;

	if (strncmp(row->path, parent, n) || (n && row->path[n] != '.'))
		return false;
	rest = row->path + n + (n > 0);
	len = strcspn(rest, ".[");
	if (strcmp(rest + len, "") && strcmp(rest + len, "[]"))
		return false; /* a grandchild */
	return !key || (len == 1 && *rest == '*') ||
	       (strlen(key) == len && !strncmp(rest, key, len));
}

static const struct schema_row *row_child(enum schema_doc doc, const char *parent, const char *key)
{
	for (size_t i = 0; i < schema_rows_n; i++)
		if (schema_rows[i].doc == doc &&
		    row_is_child(&schema_rows[i], parent, strlen(parent), key))
			return &schema_rows[i];
	return NULL;
}

/* The row of a path without []; NULL if there is none. */
static const struct schema_row *row_at(enum schema_doc doc, const char *path)
{
	size_t n = strlen(path);

	for (size_t i = 0; i < schema_rows_n; i++) {
		const char *p = schema_rows[i].path;

		if (schema_rows[i].doc == doc && !strncmp(p, path, n) &&
		    (!p[n] || !strcmp(p + n, "[]")))
			return &schema_rows[i];
	}
	return NULL;
}

static bool row_is_list(const struct schema_row *row)
{
	size_t n = strlen(row->path);

	return n > 2 && !strcmp(row->path + n - 2, "[]");
}

/* words "a|b" */
static bool word_in(const char *words, const char *word)
{
	size_t len = strlen(word), n;

	for (const char *at = words; *at; at += n + (at[n] == '|')) {
		n = strcspn(at, "|");
		if (n == len && !strncmp(at, word, n))
			return true;
	}
	return false;
}

/* The keys that may stand below `parent`, without []; strings are heap. */
static size_t child_keys(enum schema_doc doc, const char *parent, char *keys[SCHEMA_KEYS_MAX])
{
	size_t n = 0, skip = strlen(parent) + (*parent != 0);

	for (size_t i = 0; i < schema_rows_n && n < SCHEMA_KEYS_MAX; i++) {
		const struct schema_row *row = &schema_rows[i];

		if (row->doc != doc || !row_is_child(row, parent, strlen(parent), NULL))
			continue;
		keys[n] = strndup(row->path + skip, strcspn(row->path + skip, "["));
		n += keys[n] != NULL;
	}
	return n;
}

static void complain_unknown(const struct check *c, const char *parent, struct node *nd)
{
	char *keys[SCHEMA_KEYS_MAX];
	size_t n = child_keys(c->doc, parent, keys);
	const char *near = diag_nearest(nd->key, (const char *const *)keys, n);

	if (near)
		diag_error(c->d, c->file, nd->key_line, nd->key_column,
			   "unknown key \"%.64s\"; did you mean \"%s\"?", nd->key, near);
	else
		diag_error(c->d, c->file, nd->key_line, nd->key_column, "unknown key \"%.64s\"%s%s",
			   nd->key, *parent ? " in " : "", parent);
	for (size_t i = 0; i < n; i++)
		free(keys[i]);
	nd->bad = true;
}

/* A network whose host bits are not zero: most often an address with its interface's length. */
static bool complain_host_bits(const struct check *c, const struct schema_row *row,
			       const struct node *nd)
{
	char network[ADDR_TEXT_MAX];
	struct prefix p;

	if (!schema_type_network(row->type) || nd->kind != NODE_SCALAR ||
	    !prefix_parse_any(nd->text, &p))
		return false;
	prefix_format(&p, network);
	if (!schema_type_parse(row->type, network, &(uint64_t){ 0 }))
		return false;
	diag_error(c->d, c->file, nd->line, nd->column,
		   "%s: \"%.64s\" has host bits; the network is %s", row->path, nd->text, network);
	return true;
}

static void complain_type(const struct check *c, const struct schema_row *row, struct node *nd)
{
	const char *want = row_is_list(row) && nd->key ? "a list" : schema_type_name(row->type);

	nd->bad = true;
	if (complain_host_bits(c, row, nd))
		return;
	if (nd->kind == NODE_SCALAR && node_is_null(nd))
		diag_error(c->d, c->file, nd->line, nd->column, "%s has no value; expected %s%s",
			   row->path, want,
			   row_is_list(row) && nd->key ? " ([] for an empty one)" : "");
	else if (nd->kind == NODE_SCALAR && !nd->plain && schema_type_plain(row->type))
		diag_error(c->d, c->file, nd->line, nd->column,
			   "%s: \"%.64s\" is in quotes; write %s without", row->path, nd->text,
			   want);
	else if (nd->kind == NODE_SCALAR)
		diag_error(c->d, c->file, nd->line, nd->column, "%s: \"%.64s\" is not %s",
			   row->path, nd->text, want);
	else
		diag_error(c->d, c->file, nd->line, nd->column, "%s: expected %s, not a %s",
			   row->path, want, nd->kind == NODE_MAP ? "mapping" : "list");
}

static void complain_word(const struct check *c, const struct schema_row *row, struct node *nd)
{
	AUTO(mem) char *words = strdup(row->words);
	const char *list[8], *near;
	size_t n = 0;
	char *save = NULL;

	nd->bad = true;
	for (char *w = words ? strtok_r(words, "|", &save) : NULL; w && n < ARRAY_SIZE(list);
	     w = strtok_r(NULL, "|", &save))
		list[n++] = w;
	near = diag_nearest(nd->text, list, n);
	if (near)
		diag_error(c->d, c->file, nd->line, nd->column,
			   "%s: unknown value \"%.64s\"; did you mean \"%s\"?", row->path, nd->text,
			   near);
	else
		diag_error(c->d, c->file, nd->line, nd->column,
			   "%s: unknown value \"%.64s\"; one of %s", row->path, nd->text,
			   row->words);
}

static void complain_range(const struct check *c, const struct schema_row *row, struct node *nd)
{
	char min[32], max[32];

	nd->bad = true;
	schema_format(row, row->min, min);
	schema_format(row, row->max, max);
	if (row->min == row->max)
		diag_error(c->d, c->file, nd->line, nd->column, "%s: must be %s", row->path, min);
	else
		diag_error(c->d, c->file, nd->line, nd->column, "%s: %s is outside %s to %s",
			   row->path, nd->text, min, max);
}

static void check_scalar(const struct check *c, const struct schema_row *row, struct node *nd)
{
	if (nd->kind != NODE_SCALAR || node_is_null(nd) ||
	    (schema_type_plain(row->type) && !nd->plain) ||
	    !schema_type_parse(row->type, nd->text, &nd->value)) {
		complain_type(c, row, nd);
	} else if (row->words && !word_in(row->words, nd->text)) {
		complain_word(c, row, nd);
	} else if (row->max && (nd->value < row->min || nd->value > row->max)) {
		complain_range(c, row, nd);
	} else if (row->only && !word_in(row->only, nd->text)) {
		nd->bad = true;
		diag_error(c->d, c->file, nd->line, nd->column,
			   "%s: \"%.64s\" is not supported yet (only %s)", row->path, nd->text,
			   row->only);
	}
}

static void check_required(const struct check *c, const char *parent, const struct node *map)
{
	size_t skip = strlen(parent) + (*parent != 0);

	for (size_t i = 0; i < schema_rows_n; i++) {
		const struct schema_row *row = &schema_rows[i];

		if (row->doc == c->doc && row->required &&
		    row_is_child(row, parent, strlen(parent), NULL) &&
		    !node_member(map, row->path + skip, strlen(row->path + skip)))
			diag_error(c->d, c->file, map->line, map->column, "%s is missing: %s",
				   row->path, row->meaning);
	}
}

static void check_map(const struct check *c, const char *parent, struct node *map)
{
	for (size_t i = 0; i < map->n; i++) {
		struct node *nd = map->items[i];
		const struct schema_row *row = row_child(c->doc, parent, nd->key);

		if (!row)
			complain_unknown(c, parent, nd);
		else
			check_value(c, row, nd);
	}
	check_required(c, parent, map);
}

static void check_one(const struct check *c, const struct schema_row *row, struct node *nd)
{
	if (nd->bad)
		return;
	if (row->type != SCHEMA_MAP)
		check_scalar(c, row, nd);
	else if (nd->kind != NODE_MAP)
		complain_type(c, row, nd);
	else
		check_map(c, row->path, nd);
}

static void check_value(const struct check *c, const struct schema_row *row, struct node *nd)
{
	if (nd->bad)
		return;
	if (row->unsupported) {
		nd->bad = true;
		diag_error(c->d, c->file, nd->key_line, nd->key_column, "%s is not supported yet",
			   row->path);
	} else if (!row_is_list(row)) {
		check_one(c, row, nd);
	} else if (nd->kind == NODE_SCALAR && row->single) {
		check_one(c, row, nd);
	} else if (nd->kind != NODE_LIST) {
		complain_type(c, row, nd);
	} else {
		for (size_t i = 0; i < nd->n; i++)
			check_one(c, row, nd->items[i]);
	}
}

void schema_check(enum schema_doc doc, const char *file, struct node *root, struct diag *d)
{
	struct check c = { doc, file, d };

	if (root->kind == NODE_MAP) {
		check_map(&c, "", root);
		return;
	}
	root->bad = true;
	diag_error(d, file, root->line, root->column,
		   "the file must be a mapping that begins with \"version: 1\"");
}

/* The row of prefix + key. A missing one is a bug in our own code: it reads as nothing, which
 * grants nothing. */
static const struct schema_row *row_of(enum schema_doc doc, const char *prefix, const char *key)
{
	AUTO(mem) char *path = NULL;

	return asprintf(&path, "%s%s", prefix, key) < 0 ? NULL : row_at(doc, path);
}

uint64_t schema_number(enum schema_doc doc, const struct node *at, const char *prefix,
		       const char *key)
{
	const struct node *nd = node_at(at, key);
	const struct schema_row *row;
	uint64_t v = 0;

	if (nd && !nd->bad)
		return nd->value;
	row = row_of(doc, prefix, key);
	if (row && row->fallback)
		schema_type_parse(row->type, row->fallback, &v);
	return v;
}

const char *schema_text(enum schema_doc doc, const struct node *at, const char *prefix,
			const char *key)
{
	const struct node *nd = node_at(at, key);
	const struct schema_row *row;

	if (nd && !nd->bad && nd->kind == NODE_SCALAR)
		return nd->text;
	row = row_of(doc, prefix, key);
	return row ? row->fallback : NULL;
}

void schema_texts_free(char **texts, size_t n)
{
	for (size_t i = 0; texts && i < n; i++)
		free(texts[i]);
	free(texts);
}

/* The words of a default; at most as many as it has spaces, and one. */
static int fallback_texts(const char *words, char **list, size_t *n)
{
	size_t len;

	for (; *words; words += len + (words[len] == ' ')) {
		len = strcspn(words, " ");
		list[*n] = strndup(words, len);
		if (!list[(*n)++])
			return -ENOMEM;
	}
	return 0;
}

static int node_texts(const struct node *nd, char **list, size_t *n)
{
	for (size_t i = 0; nd->kind == NODE_LIST && i < nd->n; i++) {
		if (nd->items[i]->bad || nd->items[i]->kind != NODE_SCALAR)
			continue;
		list[*n] = strdup(nd->items[i]->text);
		if (!list[(*n)++])
			return -ENOMEM;
	}
	return 0;
}

int schema_texts(enum schema_doc doc, const struct node *root, const char *key, char ***ret,
		 size_t *ret_n)
{
	const struct node *nd = node_at(root, key);
	const struct schema_row *row = row_at(doc, key);
	const char *words = row && row->fallback ? row->fallback : "";
	bool given = nd && !nd->bad;
	char **list = calloc((given ? nd->n : strlen(words)) + 1, sizeof(char *));
	size_t n = 0;
	int err;

	if (!list)
		return -ENOMEM;
	err = given ? node_texts(nd, list, &n) : fallback_texts(words, list, &n);
	if (err) {
		schema_texts_free(list, n);
		return err;
	}
	*ret = list;
	*ret_n = n;
	return 0;
}

/* "a|b" as "a, b": a bar would end the table's cell. */
static void print_words(FILE *to, const char *words)
{
	for (; *words; words++)
		fputs(*words == '|' ? ", " : (char[2]){ *words, 0 }, to);
}

static void print_row(FILE *to, const struct schema_row *row)
{
	char min[32], max[32];

	fprintf(to, "| `%s` | %s", row->path,
		row->single	 ? "one or a list, each "
		: row_is_list(row) ? "list, each "
		: row->words	 ? "one of "
				 : "");
	print_words(to, row->words ? row->words : schema_type_name(row->type));
	if (row->max && row->max != row->min) {
		schema_format(row, row->min, min);
		schema_format(row, row->max, max);
		fprintf(to, ", %s to %s", min, max);
	}
	fprintf(to, " | %s | %s",
		row->required	? "required"
		: row->fallback ? row->fallback
				: "",
		row->meaning);
	if (row->unsupported)
		fputs(" (not supported yet)", to);
	if (row->only && strcmp(row->only, row->words ? row->words : "")) {
		fputs(" (so far: ", to);
		print_words(to, row->only);
		fputc(')', to);
	}
	fputs(" |\n", to);
}

void policy_print_schema(FILE *to)
{
	static const char *const titles[] = {
		[SCHEMA_PROFILE] = "Profile", [SCHEMA_HOST] = "Host configuration"
	};

	for (size_t doc = 0; doc < ARRAY_SIZE(titles); doc++) {
		fprintf(to, "%s## %s\n\n| key | type | default | meaning |\n|---|---|---|---|\n",
			doc ? "\n" : "", titles[doc]);
		for (size_t i = 0; i < schema_rows_n; i++)
			if (schema_rows[i].doc == doc)
				print_row(to, &schema_rows[i]);
	}
}
