/*
 * rotate.h - the audit log goes on in new files
 */
#ifndef CLI_ROTATE_H
#define CLI_ROTATE_H

#include <stdbool.h>

#include "policy/host_config.h"

enum { ROTATE_DEFAULT_MIB = 64 };

/*
 * Rename each source's file of at least `larger` bytes to SRC-TIME.jsonl and have its daemon go on
 * in a new one. Exit status; what was done is printed when `say`.
 */
int rotate_files(const struct host_config *c, long long larger, bool say);
/* Only the second half: something else (logrotate) has renamed the files. */
int rotate_reopen(const struct host_config *c);
/* "64MiB", "1GiB", "4096": bytes. False: not a size. */
bool rotate_size(const char *text, long long *ret);

#endif
