/*
 * control_task.c - one administrator's wish for one repository, in a thread of its own
 *
 * Theory of operation: the thread and who waits for it share the task, and the last one frees it; so a
 * caller may go at any time, and what it began is still done.
 */
#include "gitproxy/mirror/control_task.h"

#include <errno.h>
#include <stdio.h>

#include "base/thread.h"
#include "gitproxy/deadline.h"

enum { STACK = 1 << 20 };

static void say(struct task *t, int result, const char *text)
{
	t->result = result;
	msg_plain_set(t->text, sizeof(t->text), text);
}

static void prewarm(struct task *t)
{
	enum reason reason;

	switch (refresh_now(&t->d->refresh, t->x, &reason)) {
	case REFRESH_DONE:
		say(t, 0, "");
		return;
	case REFRESH_REFUSED:
		snprintf(t->text, sizeof(t->text), "%s: see cordon log", reason_text(reason));
		t->result = -EREMOTEIO;
		return;
	case REFRESH_TOO_LARGE:
		say(t, -EFBIG, "larger than a quarter of git.mirrors.max_bytes: it stays upstream's");
		return;
	case REFRESH_FAILED:
		break;
	}
	say(t, -EIO, "failed: see gitproxy.log");
}

static void maintain(struct task *t)
{
	int r = upkeep_maintain(t->d->upkeep, t->x);

	say(t, r, !r ? "" : r == -EAGAIN ? "nothing is there yet" : "failed: see gitproxy.log");
}

static void verify(struct task *t)
{
	int r = upkeep_verify(t->d->upkeep, t->x, t->q.full);

	say(t, r, !r ? "" : r == -EBADMSG ? "damaged: removed, and fetched again when it is asked for" :
		  r == -EAGAIN ? "nothing is there yet" : "could not be read: see gitproxy.log");
}

static void remove_it(struct task *t)
{
	upkeep_remove(t->d->upkeep, t->x);
	say(t, 0, "");
}

static void *task_main(void *arg)
{
	static void (*const work[MIRROR_DO_COMMANDS])(struct task *t) = {
		[MIRROR_DO_PREWARM] = prewarm, [MIRROR_DO_MAINTAIN] = maintain, [MIRROR_DO_VERIFY] = verify,
		[MIRROR_DO_REMOVE] = remove_it,
	};
	struct task *t = arg;

	work[t->q.command](t);
	pthread_mutex_lock(&t->lock);
	t->ended = true;
	pthread_cond_broadcast(&t->changed);
	pthread_mutex_unlock(&t->lock);
	task_put(t);
	return NULL;
}

bool task_wait(struct task *t, unsigned ms)
{
	uint64_t until = deadline_in(ms);
	bool ended;
	int r = 0;

	pthread_mutex_lock(&t->lock);
	while (!t->ended && !r)
		r = thread_cond_wait(&t->changed, &t->lock, until);
	ended = t->ended;
	pthread_mutex_unlock(&t->lock);
	return ended;
}

void task_put(struct task *t)
{
	bool last;

	pthread_mutex_lock(&t->lock);
	last = !--t->refs;
	pthread_mutex_unlock(&t->lock);
	if (!last)
		return;
	repo_put(t->d->repos, t->x);
	pthread_cond_destroy(&t->changed);
	pthread_mutex_destroy(&t->lock);
	free(t);
}

static int start(struct task *t)
{
	return thread_start(STACK, task_main, t);
}

struct task *task_start(struct depot *d, struct repo *x, const struct msg_mirror_do *q)
{
	struct task *t = calloc(1, sizeof(*t));

	if (!t)
		return NULL;
	*t = (struct task){ .d = d, .x = x, .q = *q, .received = x->received, .refs = 2 };
	pthread_mutex_init(&t->lock, NULL);
	thread_cond_init(&t->changed);
	repo_hold(d->repos, x);
	if (start(t) < 0) {
		t->refs = 1;
		task_put(t);
		return NULL;
	}
	return t;
}
