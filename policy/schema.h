/*
 * schema.h - every key of a profile and of the host configuration: one table (schema_table.c)
 *
 * The table drives reading (schema_check), defaults (the getters) and the printed reference. A key
 * or a value whose enforcement does not exist is in the table and is an error "not supported yet".
 * Private to policy/.
 */
#ifndef POLICY_SCHEMA_H
#define POLICY_SCHEMA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "policy/diag.h"
#include "policy/doc.h"

enum schema_doc { SCHEMA_PROFILE, SCHEMA_HOST };

enum schema_type {
	SCHEMA_MAP,
	SCHEMA_BOOL,
	SCHEMA_INT,
	SCHEMA_SIZE,
	SCHEMA_TIME,
	SCHEMA_WORD,
	SCHEMA_TEXT,
	SCHEMA_LABEL,
	SCHEMA_NAME,
	SCHEMA_PATTERN,
	SCHEMA_REPO,
	SCHEMA_ADDR4,
	SCHEMA_ADDR6,
	SCHEMA_ADDR,
	SCHEMA_PREFIX4,
	SCHEMA_PREFIX6,
	SCHEMA_PREFIX,
	SCHEMA_PATH,
	SCHEMA_INTERFACE,
	SCHEMA_MAC,
	SCHEMA_SERVER,
	SCHEMA_TYPES
};

struct schema_row {
	enum schema_doc doc;
	const char *path; /* "sandbox.network.allow[].host"; ends in [] for a list; * is any key */
	enum schema_type type;
	const char *fallback; /* default; a list's words are separated by spaces; NULL: none */
	uint64_t min, max;    /* numbers, bytes, milliseconds */
	const char *words;    /* SCHEMA_WORD: "a|b" */
	const char *only;     /* values that are enforced, "a|b"; NULL: all */
	bool required;
	bool unsupported; /* the key as a whole is not enforced yet */
	bool single;	  /* a list of one may be written as its item alone */
	const char *meaning;
};

extern const struct schema_row schema_rows[];
extern const size_t schema_rows_n;

/* Check a tree against the table; unknown keys, wrong types and unsupported values go to d. Fills
 * node.value. */
void schema_check(enum schema_doc doc, const char *file, struct node *root, struct diag *d);

/*
 * Values with defaults: `key` is looked up below `at`, `prefix` is the path of `at` with its dot
 * ("" for the root). A value that is bad reads as the default.
 */
uint64_t schema_number(enum schema_doc doc, const struct node *at, const char *prefix,
		       const char *key);
const char *schema_text(enum schema_doc doc, const struct node *at, const char *prefix,
			const char *key);
/* A list of scalars; heap array of heap strings. 0 or -ENOMEM. Bad items are left out. */
int schema_texts(enum schema_doc doc, const struct node *root, const char *key, char ***ret,
		 size_t *ret_n);
void schema_texts_free(char **texts, size_t n);
/* Numbers as the file would write them: 1MiB, 10s. */
void schema_format(const struct schema_row *row, uint64_t v, char out[32]);

#endif
