/*
 * thread.h - threads that nobody waits for
 */
#ifndef BASE_THREAD_H
#define BASE_THREAD_H

#include <pthread.h>
#include <stddef.h>

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

#endif
