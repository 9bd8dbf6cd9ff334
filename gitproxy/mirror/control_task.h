/*
 * control_task.h - one administrator's wish for one repository, in a thread of its own. Private to control*.c
 */
#ifndef GITPROXY_MIRROR_CONTROL_TASK_H
#define GITPROXY_MIRROR_CONTROL_TASK_H

#include "base/msg_mirror.h"
#include "gitproxy/mirror/job.h"

struct task {
	struct depot *d;
	struct repo *x;			/* held */
	struct msg_mirror_do q;
	uint64_t received;		/* x->received at its beginning */
	int result;			/* once it has ended: 0 or -errno */
	char text[MSG_WHAT];		/* what was wrong, and what to do */
	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool ended;
	unsigned refs;
};

/* NULL: not now. */
struct task *task_start(struct depot *d, struct repo *x, const struct msg_mirror_do *q);
/* Has it ended? Waits so long for it. */
bool task_wait(struct task *t, unsigned ms);
/* Who waits no longer; the task goes on to its end. */
void task_put(struct task *t);

#endif
