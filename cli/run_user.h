/*
 * run_user.h - who called `cordon run` through sudo
 */
#ifndef CLI_RUN_USER_H
#define CLI_RUN_USER_H

#include <stdbool.h>
#include <sys/types.h>

enum { RUN_GROUPS_MAX = 64, RUN_UID_AS_ROOT = 63999 }; /* --as-root: nobody's number */

struct run_user {
	uid_t uid;
	gid_t gid;
	char name[64], home[256], shell[256];
	gid_t groups[RUN_GROUPS_MAX];
	int n_groups;
};

/* From SUDO_UID and SUDO_GID. EXIT_DONE, or says why not. */
int run_user_of_caller(bool as_root, struct run_user *ret);
/* Become that user, for ever. 0 or -errno. Parent death signals are forgotten by the kernel here.
 */
int run_user_become(const struct run_user *u);

#endif
