/*
 * table.c - JSON rows printed as a table for people
 *
 * Theory of operation: two passes, widths then lines. Values come from our own daemons, which
 * escape peer bytes; they are cleaned once more here, because this is the place that writes to a
 * terminal.
 */
#include "cli/table.h"

#include <stdbool.h>
#include <string.h>

#include "base/mem.h"

void table_clean(char *text)
{
	for (unsigned char *p = (unsigned char *)text; *p; p++) {
		if (*p < 0x20 || *p == 0x7f)
			*p = '?';
		if (*p == 0xc2 && p[1] >= 0x80 && p[1] <= 0x9f) /* U+0080 to U+009F */
			p[0] = p[1] = '?';
	}
}

static void list_text(const json_t *v, char *out, size_t cap)
{
	size_t at = 0, i;
	const json_t *e;

	out[0] = 0;
	json_array_foreach(v, i, e)
	{
		char one[TABLE_CELL_MAX];
		int n;

		table_text(e, one, sizeof(one));
		n = snprintf(out + at, cap - at, "%s%s", at ? "," : "", one);
		if (n < 0 || (size_t)n >= cap - at)
			return;
		at += (size_t)n;
	}
}

void table_text(const json_t *v, char *out, size_t cap)
{
	if (json_is_string(v))
		snprintf(out, cap, "%s", json_string_value(v));
	else if (json_is_integer(v))
		snprintf(out, cap, "%lld", (long long)json_integer_value(v));
	else if (json_is_real(v))
		snprintf(out, cap, "%.3f", json_real_value(v));
	else if (json_is_boolean(v))
		snprintf(out, cap, "%s", json_is_true(v) ? "yes" : "no");
	else if (json_is_array(v))
		list_text(v, out, cap);
	else
		snprintf(out, cap, "-");
	if (!out[0])
		snprintf(out, cap, "-");
	table_clean(out);
}

static void widths(const json_t *rows, const struct table_column *columns, size_t n, int *ret)
{
	char cell[TABLE_CELL_MAX];
	const json_t *row;
	size_t i;

	for (size_t c = 0; c < n; c++) {
		ret[c] = (int)strlen(columns[c].title);
		json_array_foreach(rows, i, row)
		{
			table_text(json_object_get(row, columns[c].key), cell, sizeof(cell));
			if ((int)strlen(cell) > ret[c])
				ret[c] = (int)strlen(cell);
		}
	}
}

static void print_cell(FILE *to, const char *text, int width, bool last)
{
	if (last)
		fprintf(to, "%s\n", text);
	else
		fprintf(to, "%-*s  ", width, text);
}

void table_print(FILE *to, const json_t *rows, const struct table_column *columns, size_t n)
{
	int width[TABLE_COLUMNS_MAX];
	char cell[TABLE_CELL_MAX];
	const json_t *row;
	size_t i;

	if (n > TABLE_COLUMNS_MAX)
		n = TABLE_COLUMNS_MAX;
	widths(rows, columns, n, width);
	for (size_t c = 0; c < n; c++)
		print_cell(to, columns[c].title, width[c], c + 1 == n);
	json_array_foreach(rows, i, row) for (size_t c = 0; c < n; c++)
	{
		table_text(json_object_get(row, columns[c].key), cell, sizeof(cell));
		print_cell(to, cell, width[c], c + 1 == n);
	}
}
