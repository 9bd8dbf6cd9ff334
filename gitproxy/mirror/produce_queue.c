/*
 * produce_queue.c - whose answer is produced next
 *
 * Theory of operation: of all who wait, those of the sandbox with the fewest places go first, of these the
 * one whose last turn is longest ago, then who came first. No sandbox has the last place, so that one alone
 * cannot make all others wait for its longest answers. Each waits in its own thread; who leaves is seen by
 * looking now and then.
 */
#include "gitproxy/mirror/produce_queue.h"

#include <stddef.h>

#include "base/thread.h"
#include "gitproxy/deadline.h"
#include "gitproxy/mirror/produce.h"

enum { LOOK_MS = 250 };

struct produce_waiter {
	struct produce_waiter *next;
	uint16_t sandbox;
};

void produce_queue_init(struct produce_queue *q, unsigned places)
{
	q->places = places < PRODUCE_PLACES_MAX ? places : PRODUCE_PLACES_MAX;
	pthread_mutex_init(&q->lock, NULL);
	thread_cond_init(&q->changed);
}

static unsigned running(const struct produce_queue *q, uint16_t sandbox)
{
	unsigned n = 0;

	for (unsigned i = 0; i < q->running; i++)
		n += q->who[i] == sandbox;
	return n;
}

static bool before(const struct produce_queue *q, const struct produce_waiter *a, const struct produce_waiter *b)
{
	unsigned of_a = running(q, a->sandbox), of_b = running(q, b->sandbox);

	return of_a != of_b ? of_a < of_b : q->turn[a->sandbox] < q->turn[b->sandbox];
}

static bool is_next(const struct produce_queue *q, const struct produce_waiter *me)
{
	const struct produce_waiter *best = q->first;

	if (q->running == q->places || running(q, me->sandbox) == q->places - 1)
		return false;
	for (const struct produce_waiter *x = best; x; x = x->next)
		if (before(q, x, best))
			best = x;
	return best == me;
}

static void join(struct produce_queue *q, struct produce_waiter *me)
{
	struct produce_waiter **at = &q->first;

	while (*at)
		at = &(*at)->next;
	*at = me;
}

static void part(struct produce_queue *q, const struct produce_waiter *me)
{
	struct produce_waiter **at = &q->first;

	while (*at != me)
		at = &(*at)->next;
	*at = me->next;
	pthread_cond_broadcast(&q->changed);
}

static void look_later(struct produce_queue *q, uint64_t end)
{
	uint64_t at = deadline_in(LOOK_MS);

	thread_cond_wait(&q->changed, &q->lock, at < end ? at : end);
}

bool produce_queue_enter(struct produce_queue *q, uint16_t sandbox, bool (*unwanted)(void *owner), void *owner)
{
	struct produce_waiter me = { .sandbox = sandbox };
	uint64_t end = deadline_in(PRODUCE_WAIT_MS);
	bool mine = false, leave = unwanted(owner);

	pthread_mutex_lock(&q->lock);
	join(q, &me);
	while (!leave && !(mine = is_next(q, &me))) {
		look_later(q, end);
		pthread_mutex_unlock(&q->lock);
		leave = deadline_now() >= end || unwanted(owner);
		pthread_mutex_lock(&q->lock);
	}
	part(q, &me);
	if (mine) {
		q->who[q->running++] = sandbox;
		q->turn[sandbox] = ++q->turns;
	}
	pthread_mutex_unlock(&q->lock);
	return mine;
}

void produce_queue_leave(struct produce_queue *q, uint16_t sandbox)
{
	unsigned i = 0;

	pthread_mutex_lock(&q->lock);
	while (q->who[i] != sandbox)
		i++;
	q->who[i] = q->who[--q->running];
	pthread_cond_broadcast(&q->changed);
	pthread_mutex_unlock(&q->lock);
}
