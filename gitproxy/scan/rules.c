/*
 * rules.c - read the scanner's rules
 *
 * Theory of operation: the YAML tree of policy/doc.c, which knows lines and columns, is checked by
 * a table of fields into plain structs; all errors come at once. Whether a regex compiles is for
 * the engine to say. The file belongs to the host, but is treated as bytes that may be wrong in
 * any way: sizes are bounded, nothing unknown is ignored. Fuzzed by tests/fuzz/fuzz_scan_rules.c.
 */
#include "gitproxy/scan/rules.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <openssl/sha.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "policy/doc.h"
#include "policy/file.h"

enum { RULES_BYTES_MAX = 4 << 20 };

struct load {
	const char *file;
	struct diag *d;
};

struct field;
typedef int read_fn(const struct load *l, const struct node *nd, const struct field *f, void *to);
struct field {
	const char *key;
	read_fn *read;
	size_t offset;
	bool required;
};

#define fault(l, at, ...) diag_error((l)->d, (l)->file, (at)->line, (at)->column, __VA_ARGS__)

static int read_text(const struct load *l, const struct node *nd, const struct field *f, void *to)
{
	if (nd->kind != NODE_SCALAR || nd->bad || !*nd->text)
		fault(l, nd, "%s: a text is wanted", f->key);
	else if (strlen(nd->text) > SCAN_TEXT_MAX)
		fault(l, nd, "%s: longer than %d bytes; make two rules of it", f->key, SCAN_TEXT_MAX);
	else
		return (*(char **)to = strdup(nd->text)) ? 0 : -ENOMEM;
	return 0;
}

static int read_regex(const struct load *l, const struct node *nd, const struct field *f, void *to)
{
	struct scan_rule *r = container_of((char **)to, struct scan_rule, regex);

	r->line = nd->line;
	r->column = nd->column;
	return read_text(l, nd, f, to);
}

/* Ids are in logs and audit events. */
static int read_id(const struct load *l, const struct node *nd, const struct field *f, void *to)
{
	size_t n = nd->kind == NODE_SCALAR ? strlen(nd->text) : 0;

	if (!n || n > 64 || strspn(nd->text, "abcdefghijklmnopqrstuvwxyz0123456789-") != n) {
		fault(l, nd, "id: 1 to 64 of a-z, 0-9 and - are wanted");
		return 0;
	}
	return read_text(l, nd, f, to);
}

/* Digits with at most one point: strtod() would take much else. */
static bool number(const struct node *nd, double max, double *ret)
{
	size_t n = nd->kind == NODE_SCALAR ? strlen(nd->text) : 0;
	const char *point = n ? strchr(nd->text, '.') : NULL;

	if (!n || n > 8 || nd->bad || strspn(nd->text, "0123456789.") != n || *nd->text == '.' ||
	    (point && strchr(point + 1, '.')))
		return false;
	*ret = strtod(nd->text, NULL);
	return *ret <= max;
}

static int read_group(const struct load *l, const struct node *nd, const struct field *f, void *to)
{
	double v;

	if (number(nd, SCAN_GROUP_MAX, &v) && v == floor(v))
		*(unsigned *)to = (unsigned)v;
	else
		fault(l, nd, "%s: a number of 0 to %d is wanted", f->key, SCAN_GROUP_MAX);
	return 0;
}

static int read_entropy(const struct load *l, const struct node *nd, const struct field *f, void *to)
{
	if (!number(nd, SCAN_ENTROPY_MAX, to))
		fault(l, nd, "%s: bits a byte, a number of 0 to %d, are wanted", f->key, SCAN_ENTROPY_MAX);
	return 0;
}

static int read_texts(const struct load *l, const struct node *nd, const struct field *f, void *to)
{
	struct scan_texts *t = to;
	int err = 0;

	if (nd->kind != NODE_LIST || nd->n > SCAN_TEXTS_MAX) {
		fault(l, nd, "%s: a list of at most %d texts is wanted", f->key, SCAN_TEXTS_MAX);
		return 0;
	}
	t->text = calloc(nd->n + 1, sizeof(char *));
	if (!t->text)
		return -ENOMEM;
	for (size_t i = 0; i < nd->n && !err; i++) {
		err = read_text(l, nd->items[i], f, &t->text[t->n]);
		t->n += t->text[t->n] != NULL;
	}
	return err;
}

/* Caseless searches want lower case. */
static int read_words(const struct load *l, const struct node *nd, const struct field *f, void *to)
{
	struct scan_texts *t = to;
	int err = read_texts(l, nd, f, to);

	for (size_t i = 0; i < t->n; i++) {
		if (strlen(t->text[i]) > SCAN_KEYWORD_MAX)
			fault(l, nd, "%s: \"%.64s...\" is longer than %d bytes", f->key, t->text[i],
			      SCAN_KEYWORD_MAX);
		for (char *c = t->text[i]; *c; c++)
			*c = (char)tolower((unsigned char)*c);
	}
	return err;
}

static int read_fields(const struct load *l, const struct node *map, const char *what,
		       const struct field *fields, size_t n, void *to)
{
	const char *keys[16], *near;
	int err = 0;

	if (map->kind != NODE_MAP) {
		fault(l, map, "%s: a mapping is wanted", what);
		return 0;
	}
	for (size_t k = 0; k < n; k++)
		keys[k] = fields[k].key;
	for (size_t i = 0; i < map->n && !err; i++) {
		const struct node *nd = map->items[i];
		size_t k = 0;

		while (k < n && strcmp(fields[k].key, nd->key))
			k++;
		near = diag_nearest(nd->key, keys, n);
		if (k < n)
			err = fields[k].read(l, nd, &fields[k], (char *)to + fields[k].offset);
		else if (near)
			diag_error(l->d, l->file, nd->key_line, nd->key_column,
				   "%s: unknown key \"%.64s\"; did you mean \"%s\"?", what, nd->key, near);
		else
			diag_error(l->d, l->file, nd->key_line, nd->key_column,
				   "%s: unknown key \"%.64s\"; docs/scan.md lists them", what, nd->key);
	}
	for (size_t k = 0; k < n; k++)
		if (fields[k].required && !node_member(map, fields[k].key, strlen(fields[k].key)))
			fault(l, map, "%s: %s is missing; add it", what, fields[k].key);
	return err;
}

static int read_allow(const struct load *l, const struct node *nd, const struct field *f, void *to)
{
	static const struct field fields[] = {
		{ "regexes", read_texts, offsetof(struct scan_allow, regexes), false },
		{ "stopwords", read_words, offsetof(struct scan_allow, stopwords), false },
		{ "paths", read_texts, offsetof(struct scan_allow, paths), false },
	};

	return read_fields(l, nd, f->key, fields, ARRAY_SIZE(fields), to);
}

static int read_examples(const struct load *l, const struct node *nd, const struct field *f, void *to)
{
	static const struct field fields[] = {
		{ "secret", read_texts, offsetof(struct scan_rule, secret), true },
		{ "harmless", read_texts, offsetof(struct scan_rule, harmless), true },
	};

	return read_fields(l, nd, f->key, fields, ARRAY_SIZE(fields), to);
}

static int read_rule(const struct load *l, const struct node *nd, struct scan_rule *to)
{
	static const struct field fields[] = {
		{ "id", read_id, offsetof(struct scan_rule, id), true },
		{ "description", read_text, offsetof(struct scan_rule, description), true },
		{ "regex", read_regex, offsetof(struct scan_rule, regex), true },
		{ "secretGroup", read_group, offsetof(struct scan_rule, group), false },
		{ "entropy", read_entropy, offsetof(struct scan_rule, entropy), false },
		{ "keywords", read_words, offsetof(struct scan_rule, keywords), false },
		{ "allowlist", read_allow, offsetof(struct scan_rule, allow), false },
		{ "examples", read_examples, 0, false },
	};

	return read_fields(l, nd, "rules[]", fields, ARRAY_SIZE(fields), to);
}

static int read_rules(const struct load *l, const struct node *nd, const struct field *f, void *to)
{
	struct scan_rules *r = to;
	int err = 0;

	if (nd->kind != NODE_LIST || !nd->n || nd->n > SCAN_RULES_MAX) {
		fault(l, nd, "%s: a list of 1 to %d rules is wanted", f->key, SCAN_RULES_MAX);
		return 0;
	}
	r->rule = calloc(nd->n, sizeof(*r->rule));
	if (!r->rule)
		return -ENOMEM;
	for (; r->n < nd->n && !err; r->n++) {
		struct scan_rule *now = &r->rule[r->n];

		err = read_rule(l, nd->items[r->n], now);
		for (size_t i = 0; now->id && i < r->n; i++)
			if (r->rule[i].id && !strcmp(r->rule[i].id, now->id))
				fault(l, nd->items[r->n], "a second rule with the id %s; rename one", now->id);
	}
	return err;
}

static int read_version(const struct load *l, const struct node *nd, const struct field *f, void *to)
{
	(void)to;
	if (nd->kind != NODE_SCALAR || strcmp(nd->text, "1"))
		fault(l, nd, "%s: must be 1", f->key);
	return 0;
}

int scan_rules_parse(const char *file, const char *text, size_t n, struct diag *d,
		     struct scan_rules **ret)
{
	static const struct field fields[] = {
		{ "version", read_version, 0, true },
		{ "rules", read_rules, 0, true },
	};
	const struct load l = { file, d };
	AUTO(scan_rules) struct scan_rules *r = calloc(1, sizeof(*r));
	AUTO(node) struct node *root = NULL;
	int err = r ? doc_parse(file, text, n, d, &root) : -ENOMEM;

	if (err)
		return err;
	SHA256((const unsigned char *)text, n, r->sha256);
	r->file = strdup(file);
	err = r->file ? read_fields(&l, root, "the file", fields, ARRAY_SIZE(fields), r) : -ENOMEM;
	if (err || diag_errors(d))
		return err ? err : -EINVAL;
	*ret = STEAL(r);
	return 0;
}

int scan_rules_load(const char *file, struct diag *d, struct scan_rules **ret)
{
	AUTO(mem) char *text = NULL;
	size_t n = 0;
	int err = file_read(file, RULES_BYTES_MAX, d, &text, &n);

	return err ? err : scan_rules_parse(file, text, n, d, ret);
}

static void texts_done(struct scan_texts *t)
{
	for (size_t i = 0; i < t->n; i++)
		free(t->text[i]);
	free(t->text);
}

void scan_rules_free(struct scan_rules *r)
{
	if (!r)
		return;
	for (size_t i = 0; i < r->n; i++) {
		struct scan_rule *e = &r->rule[i];
		struct scan_texts *lists[] = { &e->keywords, &e->allow.regexes, &e->allow.stopwords,
					       &e->allow.paths, &e->secret, &e->harmless };

		for (size_t k = 0; k < ARRAY_SIZE(lists); k++)
			texts_done(lists[k]);
		free(e->id);
		free(e->description);
		free(e->regex);
	}
	free(r->rule);
	free(r->file);
	free(r);
}
