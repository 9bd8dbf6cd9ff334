/*
 * crew.c - threads for pieces of work that come and go
 *
 * Theory of operation: to start a thread and to end it costs more than a short request does: a thread whose
 * work is done waits for more, and ends when none has come for WAIT_MS: long enough for the next of a crowd,
 * and no more memory than before when it is gone. Those that wait are a stack, so that
 * the one with the warmest memory is taken next, and the others come to their end. Work is never queued:
 * where nobody waits, a thread is started, and what bounds their number is the caller's.
 * Invariant: a hand is in the list exactly while it waits and was given nothing.
 */
#include "gitproxy/crew.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>

#include "base/thread.h"
#include "gitproxy/deadline.h"

enum { WAIT_MS = 250 };

struct work {
	void (*fn)(void *);
	void *arg;
};

struct hand {				/* one that waits; on its own stack */
	struct hand *next;
	pthread_cond_t given;
	struct work work;		/* fn NULL: nothing yet */
};

struct crew {
	pthread_mutex_t lock;
	size_t stack;
	unsigned most, waiting;
	struct hand *first;
};

struct start {
	struct crew *crew;
	struct work work;
};

int crew_new(size_t stack, unsigned waiting, struct crew **ret)
{
	struct crew *c = calloc(1, sizeof(*c));

	if (!c)
		return -ENOMEM;
	pthread_mutex_init(&c->lock, NULL);
	c->stack = stack;
	c->most = waiting;
	*ret = c;
	return 0;
}

static void leave(struct crew *c, const struct hand *me)
{
	struct hand **at = &c->first;

	while (*at != me)
		at = &(*at)->next;
	*at = me->next;
	c->waiting--;
}

/* More work. False: there are enough who wait, or none has come. */
static bool wait_work(struct crew *c, struct work *ret)
{
	struct hand me = { 0 };
	uint64_t until = deadline_in(WAIT_MS);

	if (thread_cond_init(&me.given) < 0)
		return false;
	pthread_mutex_lock(&c->lock);
	if (c->waiting < c->most) {
		me.next = c->first;
		c->first = &me;
		c->waiting++;
		while (!me.work.fn && !thread_cond_wait(&me.given, &c->lock, until))
			;
		if (!me.work.fn)
			leave(c, &me);
	}
	pthread_mutex_unlock(&c->lock);
	pthread_cond_destroy(&me.given);
	*ret = me.work;
	return me.work.fn;
}

static void *hand_main(void *arg)
{
	struct start *s = arg;
	struct crew *c = s->crew;
	struct work work = s->work;

	free(s);
	do
		work.fn(work.arg);
	while (wait_work(c, &work));
	return NULL;
}

/* To one that waits, if there is one. */
static bool give(struct crew *c, struct work work)
{
	struct hand *h;

	pthread_mutex_lock(&c->lock);
	h = c->first;
	if (h) {
		c->first = h->next;
		c->waiting--;
		h->work = work;
		pthread_cond_signal(&h->given);	/* under the lock: its memory is its stack */
	}
	pthread_mutex_unlock(&c->lock);
	return h;
}

int crew_run(struct crew *c, void (*fn)(void *), void *arg)
{
	struct start *s;
	int r;

	if (give(c, (struct work){ fn, arg }))
		return 0;
	s = malloc(sizeof(*s));
	if (!s)
		return -ENOMEM;
	*s = (struct start){ c, { fn, arg } };
	r = thread_start(c->stack, hand_main, s);
	if (r < 0)
		free(s);
	return r;
}
