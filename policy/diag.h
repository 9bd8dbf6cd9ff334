/*
 * diag.h - errors and warnings of a configuration, collected and shown at once as
 * `file:line:column: error: text`
 */
#ifndef POLICY_DIAG_H
#define POLICY_DIAG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "base/mem.h"

struct diag;
int diag_new(struct diag **ret);
void diag_free(struct diag *d);
DEFINE_AUTO(diag, struct diag *, diag_free)
void diag_error(struct diag *d, const char *file, size_t line, size_t column, const char *fmt, ...) PRINTF_LIKE(5, 6);
void diag_warn(struct diag *d, const char *file, size_t line, size_t column, const char *fmt, ...) PRINTF_LIKE(5, 6);
size_t diag_errors(const struct diag *d);
size_t diag_warnings(const struct diag *d);
void diag_print(const struct diag *d, FILE *to);	/* sorted by file and line */
/* The first error as one line (for a reply to the CLI): "file:1:2: error: text (and 3 more)". */
void diag_summary(const struct diag *d, char *out, size_t cap);

/* "did you mean" of an unknown word: the nearest of the list, or NULL. */
const char *diag_nearest(const char *word, const char *const *words, size_t n);

#endif
