/*
 * diag.c - collect errors and warnings, then print them sorted
 *
 * Theory of operation: a list that grows up to DIAG_MAX; what comes after is only counted, since
 * nobody reads a thousand errors and a broken file must not fill memory. Control bytes of a text
 * become '?', so that a file cannot drive the administrator's terminal. An entry that cannot be
 * allocated is counted as an error all the same: running out of memory never turns a refusal into a
 * success.
 */
#include "policy/diag.h"

#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { DIAG_MAX = 1000, DIAG_WORD_MAX = 64 };

struct diag_entry {
	char *file, *text;
	size_t line, column, order;
	bool error;
};

struct diag {
	struct diag_entry *entries;
	size_t n, cap;
	size_t errors, warnings;
};

int diag_new(struct diag **ret)
{
	*ret = calloc(1, sizeof(**ret));
	return *ret ? 0 : -ENOMEM;
}

void diag_free(struct diag *d)
{
	if (!d)
		return;
	for (size_t i = 0; i < d->n; i++) {
		free(d->entries[i].file);
		free(d->entries[i].text);
	}
	free(d->entries);
	free(d);
}

/* C0, DEL and (as UTF-8) C1 controls. */
static void diag_clean(char *text)
{
	uint8_t *t = (uint8_t *)text;

	for (; *t; t++) {
		if (*t < 0x20 || *t == 0x7f)
			*t = '?';
		else if (*t == 0xc2 && t[1] >= 0x80 && t[1] < 0xa0)
			t[0] = t[1] = '?';
	}
}

static bool diag_room(struct diag *d)
{
	size_t cap = d->cap ? 2 * d->cap : 16;
	struct diag_entry *more;

	if (d->n < d->cap)
		return true;
	if (d->n >= DIAG_MAX)
		return false;
	more = reallocarray(d->entries, cap, sizeof(*more));
	if (!more)
		return false;
	d->entries = more;
	d->cap = cap;
	return true;
}

PRINTF_LIKE(6, 0)
static void diag_add(struct diag *d, bool error, const char *file, size_t line, size_t column,
		     const char *fmt, va_list ap)
{
	AUTO(mem) char *text = NULL, *name = NULL;

	*(error ? &d->errors : &d->warnings) += 1;
	if (!diag_room(d) || vasprintf(&text, fmt, ap) < 0)
		return;
	name = strdup(file ? file : "");
	if (!name)
		return;
	diag_clean(text);
	diag_clean(name);
	d->entries[d->n] =
		(struct diag_entry){ STEAL(name), STEAL(text), line, column, d->n, error };
	d->n++;
}

void diag_error(struct diag *d, const char *file, size_t line, size_t column, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	diag_add(d, true, file, line, column, fmt, ap);
	va_end(ap);
}

void diag_warn(struct diag *d, const char *file, size_t line, size_t column, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	diag_add(d, false, file, line, column, fmt, ap);
	va_end(ap);
}

size_t diag_errors(const struct diag *d)
{
	return d->errors;
}

size_t diag_warnings(const struct diag *d)
{
	return d->warnings;
}

static int diag_order(const void *va, const void *vb)
{
	const struct diag_entry *const *a = va, *const *b = vb;
	const size_t keys[][2] = { { (*a)->line, (*b)->line },
				   { (*a)->column, (*b)->column },
				   { (*a)->order, (*b)->order } };
	int c = strcmp((*a)->file, (*b)->file);

	for (size_t i = 0; !c && i < ARRAY_SIZE(keys); i++)
		c = (keys[i][0] > keys[i][1]) - (keys[i][0] < keys[i][1]);
	return c;
}

/* Pointers to the entries, sorted; heap, NULL when empty or out of memory. */
static const struct diag_entry **diag_sorted(const struct diag *d)
{
	const struct diag_entry **s = d->n ? calloc(d->n, sizeof(*s)) : NULL;

	for (size_t i = 0; s && i < d->n; i++)
		s[i] = &d->entries[i];
	if (s)
		qsort(s, d->n, sizeof(*s), diag_order);
	return s;
}

/* Line 0 means the file as a whole. */
static int diag_format(const struct diag_entry *e, char **ret)
{
	const char *kind = e->error ? "error" : "warning";

	if (!e->line)
		return asprintf(ret, "%s: %s: %s", e->file, kind, e->text);
	return asprintf(ret, "%s:%zu:%zu: %s: %s", e->file, e->line, e->column, kind, e->text);
}

void diag_print(const struct diag *d, FILE *to)
{
	AUTO(mem) const struct diag_entry **s = diag_sorted(d);

	for (size_t i = 0; s && i < d->n; i++) {
		AUTO(mem) char *line = NULL;

		if (diag_format(s[i], &line) >= 0)
			fprintf(to, "%s\n", line);
	}
	if (d->n < d->errors + d->warnings)
		fprintf(to, "... and %zu more\n", d->errors + d->warnings - d->n);
}

void diag_summary(const struct diag *d, char *out, size_t cap)
{
	AUTO(mem) const struct diag_entry **s = diag_sorted(d);
	AUTO(mem) char *line = NULL;
	size_t i = 0;

	while (s && i < d->n && !s[i]->error)
		i++;
	if (!s || i == d->n || diag_format(s[i], &line) < 0)
		snprintf(out, cap, "%s", d->errors ? "errors (out of memory)" : "no errors");
	else if (d->errors > 1)
		snprintf(out, cap, "%s (and %zu more)", line, d->errors - 1);
	else
		snprintf(out, cap, "%s", line);
}

static size_t diag_min(size_t a, size_t b)
{
	return a < b ? a : b;
}

/* Edit distance with swaps of neighbours (optimal string alignment); three rows suffice. */
static size_t diag_distance(const char *a, const char *b)
{
	size_t rows[3][DIAG_WORD_MAX + 1], na = strlen(a), nb = strlen(b);
	size_t *before = rows[0], *above = rows[1], *row = rows[2], *spare;

	if (na > DIAG_WORD_MAX || nb > DIAG_WORD_MAX)
		return SIZE_MAX;
	for (size_t j = 0; j <= nb; j++)
		above[j] = j;
	for (size_t i = 1; i <= na; i++) {
		row[0] = i;
		for (size_t j = 1; j <= nb; j++) {
			row[j] = diag_min(diag_min(above[j], row[j - 1]) + 1,
					  above[j - 1] + (a[i - 1] != b[j - 1]));
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
				row[j] = diag_min(row[j], before[j - 2] + 1);
		}
		spare = before;
		before = above;
		above = row;
		row = spare;
	}
	return above[nb];
}

/* Near enough: a third of the word wrong, at least one letter. */
const char *diag_nearest(const char *word, const char *const *words, size_t n)
{
	size_t best = strlen(word) / 3 + 2;
	const char *found = NULL;

	for (size_t i = 0; i < n; i++) {
		size_t dist = diag_distance(word, words[i]);

		if (dist < best) {
			best = dist;
			found = words[i];
		}
	}
	return found;
}
