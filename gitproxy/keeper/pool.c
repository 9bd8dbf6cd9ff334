/*
 * pool.c - libcurl handles at rest, each with the connections it keeps open
 *
 * Theory of operation: a fixed table under a lock. A handle is in the table only while nobody uses
 * it. When the table is full the handle is closed instead. Sandbox ids rest far longer than handles
 * do before they are given to another sandbox.
 */
#include "gitproxy/keeper/pool.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <string.h>

#include "gitproxy/deadline.h"

struct pool_handles {
	pthread_mutex_t lock;
	struct pool_handle *slot[POOL_HANDLES_MAX];	/* NULL: free */
};

void pool_handle_free(struct pool_handle *h)
{
	if (!h)
		return;
	curl_easy_cleanup(h->easy);
	curl_multi_cleanup(h->multi);		/* may write a TLS goodbye */
	free(h);
}
DEFINE_AUTO(handle, struct pool_handle *, pool_handle_free)

struct pool_handle *pool_handle_new(const struct pool_key *key)
{
	AUTO(handle) struct pool_handle *h = calloc(1, sizeof(*h));

	if (!h)
		return NULL;
	h->key = *key;
	h->easy = curl_easy_init();
	h->multi = curl_multi_init();
	if (!h->easy || !h->multi)
		return NULL;
	sockets_init(&h->sockets, h->multi);
	return STEAL(h);
}

int pool_new(struct pool_handles **ret)
{
	struct pool_handles *p = calloc(1, sizeof(*p));

	if (!p)
		return -ENOMEM;
	pthread_mutex_init(&p->lock, NULL);
	*ret = p;
	return 0;
}

void pool_free(struct pool_handles *p)
{
	if (!p)
		return;
	for (size_t i = 0; i < POOL_HANDLES_MAX; i++)
		pool_handle_free(p->slot[i]);
	pthread_mutex_destroy(&p->lock);
	free(p);
}

static bool fits(const struct pool_handle *h, const struct pool_key *key)
{
	return h && h->key.sandbox == key->sandbox && h->key.port == key->port &&
	       h->key.identity == key->identity && !strcmp(h->key.host, key->host);
}

struct pool_handle *pool_take(struct pool_handles *p, const struct pool_key *key)
{
	struct pool_handle *found = NULL;

	pthread_mutex_lock(&p->lock);
	for (size_t i = 0; i < POOL_HANDLES_MAX && !found; i++)
		if (fits(p->slot[i], key))
			found = STEAL(p->slot[i]);
	pthread_mutex_unlock(&p->lock);
	return found ? found : pool_handle_new(key);
}

void pool_give(struct pool_handles *p, struct pool_handle *h)
{
	if (h)
		h->since = deadline_now();
	pthread_mutex_lock(&p->lock);
	for (size_t i = 0; i < POOL_HANDLES_MAX && h; i++)
		if (!p->slot[i])
			p->slot[i] = STEAL(h);
	pthread_mutex_unlock(&p->lock);
	pool_handle_free(h);
}

void pool_tick(struct pool_handles *p)
{
	uint64_t now = deadline_now();

	for (size_t i = 0; i < POOL_HANDLES_MAX; i++) {
		struct pool_handle *old = NULL;

		pthread_mutex_lock(&p->lock);
		if (p->slot[i] && now - p->slot[i]->since > POOL_REST_MS)
			old = STEAL(p->slot[i]);
		pthread_mutex_unlock(&p->lock);
		pool_handle_free(old);		/* not under the lock */
	}
}
