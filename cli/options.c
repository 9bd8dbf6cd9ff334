/*
 * options.c - one option parser for all commands, driven by tables
 *
 * Theory of operation: argv is walked once. --name, --name=value, --name value, -x and -x value are
 * options; "--" ends them; anything else is a word and is kept, in place, at the front of argv. An
 * unknown option is an error that names the nearest known one. An option given twice is an error
 * unless it is a list, for the second would silently win. Nothing is printed here.
 */
#include "cli/options.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "policy/diag.h"

enum { OPTION_NAMES_MAX = 64 };

struct parser {
	const struct option_table *tables;
	size_t n_tables;
	char **argv;
	int argc, at;
	char *err;
};

struct found {
	const struct option_row *row;
	void *value;
};

static int complain(struct parser *p, const char *text, const char *name, const char *todo)
{
	snprintf(p->err, OPTION_ERROR_MAX, "%s%s: %s", text, name, todo);
	return -EINVAL;
}

static bool row_is(const struct option_row *r, const char *name, size_t n, bool is_short)
{
	if (is_short)
		return n == 1 && r->letter && r->letter == *name;
	return strlen(r->name) == n && !memcmp(r->name, name, n);
}

static struct found find(const struct parser *p, const char *name, size_t n, bool is_short)
{
	for (size_t t = 0; t < p->n_tables; t++)
		for (size_t i = 0; i < p->tables[t].n; i++) {
			const struct option_row *r = &p->tables[t].rows[i];

			if (row_is(r, name, n, is_short))
				return (struct found){ r, (char *)p->tables[t].values + r->offset };
		}
	return (struct found){ NULL, NULL };
}

static int unknown(struct parser *p, const char *word, size_t n, bool is_short)
{
	const char *names[OPTION_NAMES_MAX], *near;
	char name[64], todo[96];
	size_t count = 0;

	snprintf(name, sizeof(name), "%.*s", (int)n, word);
	for (size_t t = 0; t < p->n_tables; t++)
		for (size_t i = 0; i < p->tables[t].n && count < OPTION_NAMES_MAX; i++)
			names[count++] = p->tables[t].rows[i].name;
	near = is_short ? NULL : diag_nearest(name, names, count);
	if (near)
		snprintf(todo, sizeof(todo), "did you mean --%s?", near);
	else
		snprintf(todo, sizeof(todo), "--help lists the options");
	return complain(p, is_short ? "unknown option -" : "unknown option --", name, todo);
}

static int list_add(struct parser *p, struct text_list *l, const char *name, const char *text)
{
	if (l->n == OPTION_LIST_MAX)
		return complain(p, "option ", name, "given too often");
	l->text[l->n++] = text;
	return 0;
}

static int store(struct parser *p, const struct found *f, const char *name, const char *text)
{
	const char **one = f->value;

	if (f->row->kind == OPTION_LIST)
		return list_add(p, f->value, name, text);
	if (*one)
		return complain(p, "option ", name, "given twice: give it once");
	*one = text;
	return 0;
}

static int set_flag(struct parser *p, const struct found *f, const char *shown,
		    const char *inline_value)
{
	if (inline_value)
		return complain(p, "option ", shown, "takes no value");
	*(bool *)f->value = true;
	return 0;
}

/* One option at argv[at], and its value where it takes one. */
static int option(struct parser *p)
{
	const char *shown = p->argv[p->at];
	bool is_short = shown[1] != '-';
	const char *name = shown + (is_short ? 1 : 2);
	const char *equals = is_short ? NULL : strchr(name, '=');
	size_t n = equals ? (size_t)(equals - name) : strlen(name);
	struct found f = find(p, name, n, is_short);

	if (!f.row)
		return unknown(p, name, n, is_short);
	if (f.row->kind == OPTION_FLAG)
		return set_flag(p, &f, shown, equals ? equals + 1 : NULL);
	if (equals)
		return store(p, &f, shown, equals + 1);
	if (p->at + 1 >= p->argc)
		return complain(p, "option ", shown, "needs a value");
	return store(p, &f, shown, p->argv[++p->at]);
}

static void keep_rest(struct parser *p, struct args *ret)
{
	for (; p->at < p->argc; p->at++)
		p->argv[ret->n++] = p->argv[p->at];
}

int options_parse(const struct option_table *tables, size_t n_tables, bool stop_at_word,
		  char **argv, int argc, struct args *ret_args, char err[OPTION_ERROR_MAX])
{
	struct parser p = { tables, n_tables, argv, argc, 0, err };
	struct args args = { argv, 0 };
	int r;

	for (; p.at < argc; p.at++) {
		char *word = argv[p.at];

		if (!strcmp(word, "--")) {
			p.at++;
			keep_rest(&p, &args);
			break;
		}
		if (word[0] != '-' || !word[1]) {
			if (stop_at_word) {
				keep_rest(&p, &args);
				break;
			}
			argv[args.n++] = word;
			continue;
		}
		r = option(&p);
		if (r < 0)
			return r;
	}
	argv[args.n] = NULL; /* at most argc, where main()'s array has its end */
	*ret_args = args;
	return 0;
}
