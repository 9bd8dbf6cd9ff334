/*
 * run_mounts.h - what a command in `cordon run` sees of the file system
 */
#ifndef CLI_RUN_MOUNTS_H
#define CLI_RUN_MOUNTS_H

#include <stddef.h>

#include "cli/run_jail.h"

enum { MOUNTS_MAX = OPTION_LIST_MAX + 16 }; /* --rw, and what is ours */

/* READ_WRITE: the host's directory. EMPTY: a private tmpfs. */
enum mount_kind { MOUNT_READ_WRITE, MOUNT_EMPTY };
struct mount {
	enum mount_kind kind;
	char *path;
};
struct mounts {
	struct mount m[MOUNTS_MAX];
	size_t n;
}; /* parents before children */

/* Call as the user: what the user cannot reach needs no mask. EXIT_DONE, or says why not. */
int run_mounts_plan(const struct jail *j, struct mounts *ret);

#endif
