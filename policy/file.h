/*
 * file.h - a configuration file as one bounded text. For policy/ and the scanner's
 * files.
 */
#ifndef POLICY_FILE_H
#define POLICY_FILE_H

#include <stddef.h>

#include "policy/diag.h"

/* Heap, NUL-terminated. 0, or -errno with the error in d. Only regular files of at most max bytes.
 */
int file_read(const char *path, size_t max, struct diag *d, char **ret_text, size_t *ret_n);

#endif
