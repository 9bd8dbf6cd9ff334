/*
 * thread.h - threads that nobody waits for, and waiting until a moment
 */
#ifndef BASE_THREAD_H
#define BASE_THREAD_H

#include <pthread.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

/* Run fn(arg) in a detached thread with this much stack. 0 or -errno: fn will not run, arg stays the caller's. */
static inline int thread_start(size_t stack, void *(*fn)(void *), void *arg)
{
	pthread_attr_t attr;
	pthread_t id;
	int r = pthread_attr_init(&attr);

	if (r)
		return -r;
	r = pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	if (!r)
		r = pthread_attr_setstacksize(&attr, stack);
	if (!r)
		r = pthread_create(&id, &attr, fn, arg);
	pthread_attr_destroy(&attr);
	return -r;
}

/* A condition for thread_cond_wait(). 0 or -errno. */
static inline int thread_cond_init(pthread_cond_t *c)
{
	pthread_condattr_t attr;
	int r = pthread_condattr_init(&attr);

	if (r)
		return -r;
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);	/* nobody can set it */
	r = pthread_cond_init(c, &attr);
	pthread_condattr_destroy(&attr);
	return -r;
}

/* Until it is signalled: 0, also for no reason; or that many ms of CLOCK_MONOTONIC: -ETIMEDOUT. */
static inline int thread_cond_wait(pthread_cond_t *c, pthread_mutex_t *lock, uint64_t until)
{
	struct timespec at = { .tv_sec = (time_t)(until / 1000), .tv_nsec = (long)(until % 1000) * 1000000 };

	return -pthread_cond_timedwait(c, lock, &at);
}

#endif
