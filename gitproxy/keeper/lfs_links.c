/*
 * lfs_links.c - links to objects of Git LFS that sandboxes were given
 *
 * Theory of operation: a hash table under one lock; a link's own random bytes are its hash. Links that
 * are over go when somebody adds one to their bucket or when the table is full, and nobody finds them
 * meanwhile. Who has a link in use holds it. Numbers and bytes are counted, in all and by sandbox, so a
 * sandbox that collects links only uses up its own share.
 * Invariants: a link is found by all of its key or not at all; it is compared in constant time; what is
 * freed is wiped.
 */
#include "gitproxy/keeper/lfs_links.h"

#include <errno.h>
#include <stdio.h>
#include <openssl/crypto.h>
#include <openssl/rand.h>

#include "base/thread.h"
#include "gitproxy/deadline.h"

enum { BUCKETS = 16384 };

struct lfs_links {
	pthread_mutex_t lock;
	pthread_cond_t brought;
	struct lfs_link *bucket[BUCKETS];
	size_t n, bytes;
	struct { uint32_t n, bytes; } of[UINT16_MAX + 1];	/* by sandbox */
};

int lfs_links_new(struct lfs_links **ret)
{
	struct lfs_links *t = calloc(1, sizeof(*t));

	if (!t)
		return -ENOMEM;
	pthread_mutex_init(&t->lock, NULL);
	thread_cond_init(&t->brought);
	*ret = t;
	return 0;
}

static void link_free(struct lfs_link *l)
{
	lfs_action_free(l->action);
	OPENSSL_cleanse(l, sizeof(*l));
	free(l);
}
DEFINE_AUTO(lfs_link, struct lfs_link *, link_free)

static struct lfs_link **bucket_of(struct lfs_links *t, const uint8_t link[LFS_LINK])
{
	return &t->bucket[(link[0] | link[1] << 8) % BUCKETS];
}

/* ---- under the lock ---- */

/* Out of the table. Whoever uses it frees it, else it goes now. */
static void drop(struct lfs_links *t, struct lfs_link **at)
{
	struct lfs_link *l = *at;

	*at = l->next;
	t->n--;
	t->bytes -= l->bytes;
	t->of[l->sandbox].n--;
	t->of[l->sandbox].bytes -= (uint32_t)l->bytes;
	l->until = 0;
	if (!l->refs)
		link_free(l);
}

static void drop_over(struct lfs_links *t, struct lfs_link **at, uint64_t now)
{
	while (*at)
		if ((*at)->until <= now)
			drop(t, at);
		else
			at = &(*at)->next;
}

void lfs_links_free(struct lfs_links *t)
{
	if (!t)
		return;
	for (size_t i = 0; i < BUCKETS; i++)
		while (t->bucket[i])
			drop(t, &t->bucket[i]);
	pthread_cond_destroy(&t->brought);
	pthread_mutex_destroy(&t->lock);
	free(t);
}

static bool full(const struct lfs_links *t, const struct lfs_link *l)
{
	return t->n == LFS_LINKS_MAX || t->bytes + l->bytes > LFS_LINKS_BYTES ||
	       t->of[l->sandbox].n == LFS_LINKS_EACH || t->of[l->sandbox].bytes + l->bytes > LFS_LINKS_BYTES_EACH;
}

static bool has_room(struct lfs_links *t, const struct lfs_link *l)
{
	if (!full(t, l))
		return true;
	for (size_t i = 0; i < BUCKETS; i++)
		drop_over(t, &t->bucket[i], deadline_now());
	return !full(t, l);
}

static int put_in(struct lfs_links *t, struct lfs_link *l)
{
	struct lfs_link **at = bucket_of(t, l->link);

	drop_over(t, at, deadline_now());
	if (!has_room(t, l))
		return -ENOSPC;
	l->next = *at;
	*at = l;
	t->n++;
	t->bytes += l->bytes;
	t->of[l->sandbox].n++;
	t->of[l->sandbox].bytes += (uint32_t)l->bytes;
	return 0;
}

static bool fits(const struct lfs_link *l, const struct lfs_link_key *k)
{
	return !CRYPTO_memcmp(l->link, k->link, LFS_LINK) && l->sandbox == k->sandbox && l->service == k->service &&
	       !memcmp(l->object.oid, k->oid, LFS_OID) && !strcmp(l->host, k->host) && !strcmp(l->repo, k->repo);
}

/* ---- for others ---- */

static struct lfs_link *make(const struct lfs_link_key *k, uint64_t size, struct lfs_action *action)
{
	struct lfs_link *l = calloc(1, sizeof(*l));

	if (!l) {
		lfs_action_free(action);
		return NULL;
	}
	l->action = action;
	l->sandbox = k->sandbox;
	l->service = k->service;
	l->object.size = size;
	memcpy(l->object.oid, k->oid, LFS_OID);
	snprintf(l->host, sizeof(l->host), "%s", k->host);
	snprintf(l->repo, sizeof(l->repo), "%s", k->repo);
	l->bytes = sizeof(*l) + (action ? lfs_action_bytes(action) : 0);
	return l;
}

int lfs_links_add(struct lfs_links *t, const struct lfs_link_key *k, uint64_t size, struct lfs_action *action,
		  uint32_t life_s, uint8_t ret_link[LFS_LINK])
{
	AUTO(lfs_link) struct lfs_link *l = make(k, size, action);
	int r;

	if (!l)
		return -ENOMEM;
	if (RAND_bytes(l->link, LFS_LINK) != 1)
		return -EIO;
	l->until = deadline_in((uint64_t)life_s * 1000);
	pthread_mutex_lock(&t->lock);
	r = put_in(t, l);
	pthread_mutex_unlock(&t->lock);
	if (r < 0)
		return r;
	memcpy(ret_link, l->link, LFS_LINK);
	(void)STEAL(l);
	return 0;
}

struct lfs_link *lfs_links_get(struct lfs_links *t, const struct lfs_link_key *k)
{
	struct lfs_link *l;

	pthread_mutex_lock(&t->lock);
	for (l = *bucket_of(t, k->link); l && (!fits(l, k) || l->until <= deadline_now());)
		l = l->next;
	if (l)
		l->refs++;
	pthread_mutex_unlock(&t->lock);
	return l;
}

void lfs_links_put(struct lfs_links *t, struct lfs_link *l)
{
	bool last;

	pthread_mutex_lock(&t->lock);
	last = !--l->refs && !l->until;
	pthread_mutex_unlock(&t->lock);
	if (last)
		link_free(l);
}

void lfs_links_bring(struct lfs_links *t, struct lfs_link *l)
{
	pthread_mutex_lock(&t->lock);
	l->bringing++;
	pthread_mutex_unlock(&t->lock);
}

void lfs_links_brought(struct lfs_links *t, struct lfs_link *l, bool passed)
{
	pthread_mutex_lock(&t->lock);
	l->bringing--;
	l->passed = passed;
	pthread_cond_broadcast(&t->brought);
	pthread_mutex_unlock(&t->lock);
}

bool lfs_links_passed(struct lfs_links *t, const struct lfs_link *l, uint64_t until)
{
	bool passed;
	int r = 0;

	pthread_mutex_lock(&t->lock);
	while (l->bringing && !r)
		r = thread_cond_wait(&t->brought, &t->lock, until);
	passed = !l->bringing && l->passed;
	pthread_mutex_unlock(&t->lock);
	return passed;
}

void lfs_links_end(struct lfs_links *t, struct lfs_link *l)
{
	struct lfs_link **at;

	pthread_mutex_lock(&t->lock);
	for (at = bucket_of(t, l->link); *at && *at != l;)
		at = &(*at)->next;
	if (*at)
		drop(t, at);
	pthread_mutex_unlock(&t->lock);
}
