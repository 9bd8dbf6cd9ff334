/*
 * backoff.c - repositories whose refresh failed, and when to try again
 *
 * Theory of operation: a repository that git does not take would be fetched anew for each request, for ever.
 * So what fails again and again is tried again less and less often, each pause four times the last; what
 * succeeds is forgotten. A table, not a field of struct repo: of what never came to be nothing else is kept.
 */
#include "gitproxy/mirror/backoff.h"

#include <errno.h>
#include <pthread.h>

#include "gitproxy/deadline.h"

struct failing {
	uint8_t domain[MIRROR_DOMAIN];
	unsigned failures;		/* in a row; 0: a free row */
	uint64_t at, pause;		/* ms */
};

struct backoff {
	pthread_mutex_t lock;
	struct failing row[BACKOFF_MAX];
};

int backoff_new(struct backoff **ret)
{
	struct backoff *b = calloc(1, sizeof(*b));

	if (!b)
		return -ENOMEM;
	pthread_mutex_init(&b->lock, NULL);
	*ret = b;
	return 0;
}

void backoff_free(struct backoff *b)
{
	free(b);
}

static struct failing *find(struct backoff *b, const uint8_t domain[MIRROR_DOMAIN])
{
	for (size_t i = 0; i < BACKOFF_MAX; i++)
		if (b->row[i].failures && !memcmp(b->row[i].domain, domain, MIRROR_DOMAIN))
			return &b->row[i];
	return NULL;
}

/* A free row, or that of the failure longest ago. */
static struct failing *take(struct backoff *b, const uint8_t domain[MIRROR_DOMAIN])
{
	struct failing *oldest = &b->row[0];

	for (size_t i = 0; i < BACKOFF_MAX && oldest->failures; i++)
		if (!b->row[i].failures || b->row[i].at < oldest->at)
			oldest = &b->row[i];
	*oldest = (struct failing){ 0 };
	memcpy(oldest->domain, domain, MIRROR_DOMAIN);
	return oldest;
}

static uint64_t next_pause(const struct failing *x)
{
	if (x->failures <= BACKOFF_FREE)
		return 0;
	if (!x->pause)
		return BACKOFF_MS;
	return x->pause < BACKOFF_TOP_MS / 4 ? 4 * x->pause : BACKOFF_TOP_MS;
}

void backoff_note(struct backoff *b, const uint8_t domain[MIRROR_DOMAIN], bool failed)
{
	struct failing *x;

	pthread_mutex_lock(&b->lock);
	x = find(b, domain);
	if (failed) {
		x = x ? x : take(b, domain);
		x->failures += x->failures <= BACKOFF_FREE;
		x->at = deadline_now();
		x->pause = next_pause(x);
	} else if (x) {
		x->failures = 0;
	}
	pthread_mutex_unlock(&b->lock);
}

bool backoff_is_on(struct backoff *b, const uint8_t domain[MIRROR_DOMAIN])
{
	const struct failing *x;
	bool on;

	pthread_mutex_lock(&b->lock);
	x = find(b, domain);
	on = x && deadline_now() - x->at < x->pause;
	pthread_mutex_unlock(&b->lock);
	return on;
}
