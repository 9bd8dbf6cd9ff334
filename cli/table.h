/*
 * table.h - JSON rows printed as a table for people
 */
#ifndef CLI_TABLE_H
#define CLI_TABLE_H

#include <jansson.h>
#include <stddef.h>
#include <stdio.h>

enum { TABLE_COLUMNS_MAX = 12, TABLE_CELL_MAX = 128 };

struct table_column {
	const char *key, *title;
}; /* key of the row object */

/* rows: array of objects. Cells are made fit for a terminal; a missing value is "-". */
void table_print(FILE *to, const json_t *rows, const struct table_column *columns, size_t n);
/* One value as text, without control characters, into out. Arrays are joined by commas. */
void table_text(const json_t *v, char *out, size_t cap);
/* Replace what a terminal could interpret (C0, DEL, C1) by '?', in place. */
void table_clean(char *text);

#endif
