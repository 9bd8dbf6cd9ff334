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
#include <stdio.h>
#include <string.h>

#include "base/msg.h"
#include "gitproxy/deadline.h"

struct rested {
	CURL *handle;			/* NULL: free slot */
	uint16_t sandbox;
	char host[MSG_NAME];
	uint64_t identity;
	uint64_t since;
};

struct pool_handles {
	pthread_mutex_t lock;
	struct rested slot[POOL_HANDLES_MAX];
};

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
		curl_easy_cleanup(p->slot[i].handle);
	pthread_mutex_destroy(&p->lock);
	free(p);
}

static bool fits(const struct rested *r, uint16_t sandbox, const char *host, uint64_t identity)
{
	return r->handle && r->sandbox == sandbox && r->identity == identity &&
	       !strcmp(r->host, host);
}

CURL *pool_take(struct pool_handles *p, uint16_t sandbox, const char *host, uint64_t identity)
{
	CURL *found = NULL;

	pthread_mutex_lock(&p->lock);
	for (size_t i = 0; i < POOL_HANDLES_MAX && !found; i++)
		if (fits(&p->slot[i], sandbox, host, identity))
			found = STEAL(p->slot[i].handle);
	pthread_mutex_unlock(&p->lock);
	return found ? found : curl_easy_init();
}

void pool_give(struct pool_handles *p, uint16_t sandbox, const char *host, uint64_t identity,
	       CURL *handle)
{
	pthread_mutex_lock(&p->lock);
	for (size_t i = 0; i < POOL_HANDLES_MAX && handle; i++) {
		struct rested *r = &p->slot[i];

		if (r->handle)
			continue;
		r->handle = STEAL(handle);
		r->sandbox = sandbox;
		r->identity = identity;
		r->since = deadline_now();
		snprintf(r->host, sizeof(r->host), "%s", host);
	}
	pthread_mutex_unlock(&p->lock);
	curl_easy_cleanup(handle);
}

void pool_tick(struct pool_handles *p)
{
	uint64_t now = deadline_now();

	for (size_t i = 0; i < POOL_HANDLES_MAX; i++) {
		CURL *old = NULL;

		pthread_mutex_lock(&p->lock);
		if (p->slot[i].handle && now - p->slot[i].since > POOL_REST_MS)
			old = STEAL(p->slot[i].handle);
		pthread_mutex_unlock(&p->lock);
		curl_easy_cleanup(old); /* may write a TLS goodbye: not under the lock */
	}
}
