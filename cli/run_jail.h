/*
 * run_jail.h - the process side of `cordon run`: bubblewrap, and what it is given
 */
#ifndef CLI_RUN_JAIL_H
#define CLI_RUN_JAIL_H

#include <stdbool.h>
#include <sys/types.h>

#include "cli/options.h"
#include "cli/run_user.h"
#include "policy/host_config.h"

/* Files made for the run; they replace the host's inside. */
enum jail_file { JAIL_RESOLV_CONF, JAIL_NSSWITCH, JAIL_CA_BUNDLE, JAIL_FILES };

struct jail {
	const struct host_config *cfg;
	const struct run_user *user;
	const struct text_list *rw;	  /* absolute or relative to cwd */
	char *const *words;		  /* the command, NULL-terminated */
	char cwd[4096], config_dir[4096]; /* real names */
	int parent_fd;			  /* a socket whose other end it has */
	bool terminal;			  /* one of 0, 1, 2 is a terminal: keep its job control */
	char file_path[JAIL_FILES][4096]; /* "": not replaced */
	int file_fd[JAIL_FILES];
	int seccomp_fd;
};

/* Whether what the caller opened as 0, 1 and 2 may go in. EXIT_DONE, or says why not. */
int jail_check_passed(void);
/* As root: make the files and the filter. EXIT_DONE, or says why not. */
int jail_prepare(struct jail *j);
/* As the user: work out what to mount and exec bubblewrap. Returns only on failure, having said
 * why. */
int jail_exec(struct jail *j);

#endif
