/*
 * produce_queue.h - whose answer is produced next. Private to produce.c
 */
#ifndef GITPROXY_MIRROR_PRODUCE_QUEUE_H
#define GITPROXY_MIRROR_PRODUCE_QUEUE_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

enum { PRODUCE_PLACES_MAX = 16 };

struct produce_waiter;
struct produce_queue {			/* embedded in what lives as long as the process */
	pthread_mutex_t lock;
	pthread_cond_t changed;
	struct produce_waiter *first;	/* who came first */
	unsigned places, running;
	uint16_t who[PRODUCE_PLACES_MAX];	/* sandboxes of those that run, in no order */
	uint64_t turns, turn[UINT16_MAX + 1];	/* when a sandbox had its last place; by sandbox */
};

/* 2 to PRODUCE_PLACES_MAX places. */
void produce_queue_init(struct produce_queue *q, unsigned places);
/*
 * A place for this sandbox, for produce_queue_leave(). False: none within PRODUCE_WAIT_MS, or nobody wants the
 * answer any more, which is asked now and then.
 */
bool produce_queue_enter(struct produce_queue *q, uint16_t sandbox, bool (*unwanted)(void *owner), void *owner);
void produce_queue_leave(struct produce_queue *q, uint16_t sandbox);

#endif
