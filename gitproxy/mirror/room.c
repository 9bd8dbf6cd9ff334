/*
 * room.c - a number of bytes that sandboxes share
 *
 * Theory of operation: a sandbox may have as much as it leaves for others. So one alone gets half, two get a third
 * each, and there is always something for whoever comes next; no share has to be set, and none lies idle because
 * of those who are not there. Nothing is taken back.
 */
#include "gitproxy/mirror/room.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

enum { STEPS = 16 };

struct room {
	uint64_t max;
	pthread_mutex_t lock;		/* for what follows */
	uint64_t taken, told;
	uint64_t of[UINT16_MAX + 1];
};

int room_new(uint64_t max, struct room **ret)
{
	struct room *r = calloc(1, sizeof(*r));

	if (!r)
		return -ENOMEM;
	r->max = max;
	pthread_mutex_init(&r->lock, NULL);
	*ret = r;
	return 0;
}

void room_free(struct room *r)
{
	if (r)
		pthread_mutex_destroy(&r->lock);
	free(r);
}

uint64_t room_of_one(const struct room *r)
{
	return r->max / 2;
}

static bool fits(const struct room *r, uint16_t sandbox, uint64_t n)
{
	uint64_t left = r->max - r->taken;

	return n <= left && r->of[sandbox] <= left - n && n <= left - n - r->of[sandbox];
}

bool room_take(struct room *r, uint16_t sandbox, uint64_t n)
{
	bool ok;

	pthread_mutex_lock(&r->lock);
	ok = fits(r, sandbox, n);
	if (ok) {
		r->taken += n;
		r->of[sandbox] += n;
	}
	pthread_mutex_unlock(&r->lock);
	return ok;
}

void room_give(struct room *r, uint16_t sandbox, uint64_t n)
{
	pthread_mutex_lock(&r->lock);
	r->taken -= n;
	r->of[sandbox] -= n;
	pthread_mutex_unlock(&r->lock);
}

uint64_t room_taken(struct room *r)
{
	uint64_t n;

	pthread_mutex_lock(&r->lock);
	n = r->taken;
	pthread_mutex_unlock(&r->lock);
	return n;
}

bool room_has_moved(struct room *r)
{
	uint64_t by;
	bool moved;

	pthread_mutex_lock(&r->lock);
	by = r->taken > r->told ? r->taken - r->told : r->told - r->taken;
	moved = by && by >= r->max / STEPS;
	if (moved)
		r->told = r->taken;
	pthread_mutex_unlock(&r->lock);
	return moved;
}
