/*
 * run_wait.h - the time while the command of `cordon run` runs
 */
#ifndef CLI_RUN_WAIT_H
#define CLI_RUN_WAIT_H

#include <stdbool.h>
#include <sys/types.h>

/* What is watched. control may become -1: the caller's lost() is asked to make a new one. */
struct run_wait {
	pid_t child; /* bubblewrap */
	int pidfd, signals;
	bool terminal;
	int control;		  /* netd's connection; owned by the caller, replaced by lost() */
	int (*lost)(void *owner); /* a new connection, or -errno: asked again later */
	void *owner;
	int ended_by; /* a signal that ended it before there was a command */
};

/* Until the child has ended; its exit status as a shell would give it. */
int run_wait(struct run_wait *w);

/* Signals that `cordon run` handles, blocked; a signalfd or -errno. */
int run_signals(void);

#endif
