/*
 * landlock.h - the files, ports and processes that a daemon may still reach after its start
 *
 * Theory of operation: seccomp judges numbers, not paths; Landlock judges what the numbers name. A
 * daemon that opens nothing any more names nothing; one that reads its configuration again names
 * that. What may not be written is not named with LANDLOCK_WRITE. Rules hold what is behind a path
 * now: of a file that others replace by renaming, name the directory. Sockets in the file system
 * are not covered (their directories' modes are), nor is UDP.
 */
#ifndef BASE_LANDLOCK_H
#define BASE_LANDLOCK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum landlock_access { LANDLOCK_READ = 1, LANDLOCK_WRITE = 2, LANDLOCK_LIST = 4, LANDLOCK_RUN = 8,
		       LANDLOCK_MAKE = 16 /* files, folders and links; remove and rename them */ };

/* One row; `why` is documentation that the reviewer reads. What is not there is skipped. */
struct landlock_path {
	const char *path; /* a file, or a directory with all below it */
	unsigned access;
	const char *why;
};

struct landlock_spec {
	const struct landlock_path *paths; /* ends with a NULL path; NULL: no file at all */
	const uint16_t *tcp_ports;	   /* to which may be connected; ends with 0; NULL: none */
	int fd_run;			   /* an open file that may be executed as well; 0: none */
	bool signals;			   /* processes outside may be signalled */
};

/*
 * For this thread, those it starts, and all programs they become; for ever. Binding TCP sockets,
 * abstract UNIX sockets of others and signals to others are refused too, as far as the kernel can
 * (6.1: files only; 6.7: TCP; 6.12: the rest). A kernel without Landlock is told of in the log and
 * is no error. 0 or -errno. Forbids privileges by exec.
 */
int landlock_confine(const struct landlock_spec *spec);
/* What the kernel can: 0 none, else the version of its interface. */
int landlock_version(void);

#endif
