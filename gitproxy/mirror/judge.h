/*
 * judge.h - cordon-scan, which judges what a push brings
 */
#ifndef GITPROXY_MIRROR_JUDGE_H
#define GITPROXY_MIRROR_JUDGE_H

#include "gitproxy/gate/gate_ipc.h"

struct judge;
/*
 * This program is started when it is first needed, and again when it has died, with the rules of this file, which
 * is open already (NULL, -1: the builtin ones). All borrowed. 0 or -ENOMEM.
 */
int judge_new(const char *program, const char *rules, int rules_fd, struct judge **ret);
void judge_free(struct judge *j);
/* Start it now, so that its rules are compiled before the first push. 0 or -errno: a push will try again. */
int judge_start(struct judge *j);

struct judge_ask {			/* all borrowed */
	const struct gate_judge *question;	/* of a push; or */
	const struct gate_scanfile *file;	/* of the file `pack`: then list and quarantine are of no use */
	int list, quarantine, rules;
	int pack, exceptions;		/* as the question says; -1 */
	int client;			/* when it hangs up, the work is stopped */
	uint64_t deadline;
	/* What comes before the verdict; checked. NULL: not of interest. */
	void (*on_progress)(void *owner, const struct gate_progress *p);
	void (*on_finding)(void *owner, const struct gate_finding *f);
	void (*on_command)(void *owner, const struct gate_command *c);
	void (*on_pointer)(void *owner, const struct gate_pointer *p);
	void *owner;
};
/*
 * Blocks. 0: ret is its word. -ECONNRESET: the client has gone. Otherwise -errno, and ret says JUDGE_FAILED,
 * scan_failed.
 */
int judge_run(struct judge *j, const struct judge_ask *a, struct gate_judged *ret);

#endif
