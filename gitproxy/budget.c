/*
 * budget.c - what a sandbox may take per second
 *
 * Theory of operation: one token bucket for each id under one lock, in thousandths of a token and
 * refilled by the millisecond. A bucket that was never used is full. The array is zero pages until
 * an id is used.
 */
#include "gitproxy/budget.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#include "gitproxy/deadline.h"

enum { TOKEN = 1000 };

struct bucket {
	uint64_t tokens, last_ms;
};

struct budget {
	pthread_mutex_t lock;
	struct bucket bucket[UINT16_MAX + 1];
};

int budget_new(struct budget **ret)
{
	struct budget *b = calloc(1, sizeof(*b));

	if (!b)
		return -ENOMEM;
	pthread_mutex_init(&b->lock, NULL);
	*ret = b;
	return 0;
}

static bool bucket_take(struct bucket *b, uint32_t per_second)
{
	uint64_t full = (uint64_t)per_second * TOKEN, now = deadline_now(), past = now - b->last_ms;

	if (!b->last_ms || past >= TOKEN || b->tokens + past * per_second > full)
		b->tokens = full;
	else
		b->tokens += past * per_second;
	b->last_ms = now;
	if (b->tokens < TOKEN)
		return false;
	b->tokens -= TOKEN;
	return true;
}

bool budget_take(struct budget *b, uint16_t sandbox, uint32_t per_second)
{
	bool ok;

	pthread_mutex_lock(&b->lock);
	ok = bucket_take(&b->bucket[sandbox], per_second);
	pthread_mutex_unlock(&b->lock);
	return ok;
}
