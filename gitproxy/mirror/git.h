/*
 * git.h - running the git program on a repository that is not trusted
 */
#ifndef GITPROXY_MIRROR_GIT_H
#define GITPROXY_MIRROR_GIT_H

#include <stdint.h>
#include <sys/types.h>

#include "base/bytes.h"

enum { GIT_ARGS_MAX = 48, GIT_PATH = 4096, GIT_SAID = 256 };

struct git_spec {
	const char *dir;		/* the repository, absolute */
	const char *objects;		/* NULL, or where new objects go instead (a quarantine) */
	const char *const *args;	/* after `git --git-dir=DIR`; NULL-terminated */
	int in;				/* its standard input, borrowed; -1: none */
	bool v2;			/* speaks protocol version 2 */
	bool idle;			/* gives way to everything else */
};

struct git_child {			/* git_child_init() */
	pid_t pid;			/* also its process group; 0: none */
	int pidfd;
	int out;			/* to read from; -1 */
	int err;
	bool roomy;			/* its output has room enough to be let alone for a while */
	uint8_t said[GIT_SAID];		/* what it wrote on standard error, the end of it */
	size_t said_n;
};

/* Start it, with standard output to be read from child->out. 0 or -errno. */
int git_start(const struct git_spec *s, struct git_child *ret);
/* Up to n bytes of its output: > 0, 0 at the end, -ETIMEDOUT, -errno. */
ssize_t git_read(struct git_child *c, void *to, size_t n, uint64_t deadline);
/*
 * Let it write for `ms`, or until it has ended: then there is more to be read at once, of a program that writes
 * little at a time. Returns at once where that would hold it up.
 */
void git_let_write(struct git_child *c, int ms);
/* Wait until it has ended: its exit status, 128 + signal, or -ETIMEDOUT (it is killed then). */
int git_wait(struct git_child *c, uint64_t deadline);
/* Kill it with all that it started, if it still runs. For every child, at the end. */
void git_end(struct git_child *c);

/*
 * Run it to its end, bounded by git_patience() and git_silence(), or what maintenance may take.
 * Output goes to `out` (NULL: away); more than fits is an error. 0;
 * -EIO: it failed, and said so in the log; -ETIMEDOUT, -errno.
 */
int git_run(const struct git_spec *s, struct wr *out);
/* The same with these bytes as its standard input. */
int git_run_with(const struct git_spec *s, struct rd in, struct wr *out);
/* From the start on, ms: how long one run may take, and how long one may say nothing. */
void git_patience_set(uint64_t total_ms, uint64_t idle_ms);
uint64_t git_patience(void);
uint64_t git_silence(void);

#endif
