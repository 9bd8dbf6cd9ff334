/*
 * behind.c - mirrors that are filled while upstream serves
 *
 * Theory of operation: a thread for each, and few of them: a sandbox may name repositories without end,
 * and each is a download, a git process and a place at the keeper. A sandbox has no more than its share, so
 * that others find a place. Whoever finds none is served by upstream, as all are until the mirror is there.
 */
#include "gitproxy/mirror/behind.h"

#include <errno.h>

#include "base/thread.h"

enum { STACK = 1 << 20 };

struct behind {
	const struct refresh *refresh;
	pthread_mutex_t lock;
	unsigned n;
	uint16_t who[BEHIND_MAX];	/* sandboxes of those that run, in no order */
};

struct work {
	struct behind *b;
	struct repo *x;			/* held and claimed */
	uint16_t sandbox;
};

int behind_new(const struct refresh *r, struct behind **ret)
{
	struct behind *b = calloc(1, sizeof(*b));

	if (!b)
		return -ENOMEM;
	b->refresh = r;
	pthread_mutex_init(&b->lock, NULL);
	*ret = b;
	return 0;
}

void behind_free(struct behind *b)
{
	free(b);
}

static bool enter(struct behind *b, uint16_t sandbox)
{
	unsigned mine = 0;
	bool ok;

	pthread_mutex_lock(&b->lock);
	for (unsigned i = 0; i < b->n; i++)
		mine += b->who[i] == sandbox;
	ok = b->n < BEHIND_MAX && mine < BEHIND_SANDBOX_MAX;
	if (ok)
		b->who[b->n++] = sandbox;
	pthread_mutex_unlock(&b->lock);
	return ok;
}

static void leave(struct behind *b, uint16_t sandbox)
{
	unsigned i = 0;

	pthread_mutex_lock(&b->lock);
	while (b->who[i] != sandbox)
		i++;
	b->who[i] = b->who[--b->n];
	pthread_mutex_unlock(&b->lock);
}

static void *work_main(void *arg)
{
	AUTO(mem) struct work *k = arg;
	enum reason reason;

	refresh_claimed(k->b->refresh, k->x, &reason);
	leave(k->b, k->sandbox);
	repo_put(k->b->refresh->repos, k->x);
	return NULL;
}

static int start(struct work *k /* takes when started */)
{
	return thread_start(STACK, work_main, k);
}

/* False: it is another's, or there is no memory for it. */
static bool begin(struct behind *b, struct repo *x, uint16_t sandbox)
{
	AUTO(mem) struct work *k = calloc(1, sizeof(*k));

	if (!k || !repo_claim_now(x))
		return false;
	*k = (struct work){ b, x, sandbox };
	repo_hold(b->refresh->repos, x);
	if (!start(k)) {
		(void)STEAL(k);
		return true;
	}
	repo_release(x);
	repo_put(b->refresh->repos, x);
	return false;
}

int behind_start(struct behind *b, struct repo *x, uint16_t sandbox)
{
	if (backoff_is_on(b->refresh->backoff, x->domain.id))
		return -EIO;
	if (!enter(b, sandbox))
		return -EAGAIN;
	if (!begin(b, x, sandbox))
		leave(b, sandbox);
	return 0;
}

int behind_wait(struct behind *b, struct repo *x, uint16_t sandbox, uint64_t until)
{
	int result = behind_start(b, x, sandbox);

	pthread_mutex_lock(&x->lock);
	while (x->refreshing && !repo_serves(x))
		if (thread_cond_wait(&x->changed, &x->lock, until) < 0)
			break;
	if (repo_serves(x))
		result = 0;
	else if (!result)
		result = x->refreshing ? -EAGAIN : -EIO;
	pthread_mutex_unlock(&x->lock);
	return result;
}
