/*
 * lfs_store.c - objects of Git LFS that were brought, until a push takes them upstream
 *
 * Theory of operation: MIRRORS/lfs/N is an object's file, held or on its way; an entry of a hash table says whose
 * it is. Room is taken when an object begins to come, by its announced size, so what comes at once never
 * takes more than there is. An eighth of git.mirrors.max_bytes is for all together, a quarter of that for one
 * sandbox; what is over after LFS_HOLD_MS goes when somebody needs its room or its bucket.
 */
#include "gitproxy/mirror/lfs_store.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "gitproxy/deadline.h"
#include "gitproxy/mirror/files.h"
#include "gitproxy/mirror/repo.h"

enum { BUCKETS = 4096, SHARE_OF_DISK = 8, SHARE_OF_ONE = 4 };

struct lfs_coming {
	struct lfs_coming *next;
	uint16_t sandbox;
	uint8_t domain[MIRROR_DOMAIN];
	struct lfs_object object;
	uint64_t number;		/* its file's name */
	uint64_t until;			/* held: monotonic, ms */
	int fd;				/* on its way; else -1 */
};

struct lfs_store {
	char dir[REPO_PATH];
	pthread_mutex_t lock;		/* for what follows */
	struct lfs_coming *bucket[BUCKETS];
	uint64_t number, max, bytes;
	size_t n;
	struct { uint32_t n; uint64_t bytes; } of[UINT16_MAX + 1];	/* by sandbox */
};

int lfs_store_new(const char *mirrors, uint64_t max_bytes, struct lfs_store **ret)
{
	AUTO(mem) struct lfs_store *s = calloc(1, sizeof(*s));
	int r;

	if (!s)
		return -ENOMEM;
	if (snprintf(s->dir, sizeof(s->dir), "%s/lfs", mirrors) >= (int)sizeof(s->dir))
		return -ENAMETOOLONG;
	r = files_remove(s->dir);
	if (r < 0 || mkdir(s->dir, 0700) < 0)
		return r < 0 ? r : -errno;
	s->max = max_bytes / SHARE_OF_DISK;
	pthread_mutex_init(&s->lock, NULL);
	*ret = s;
	s = NULL;
	return 0;
}

static bool path_of(const struct lfs_store *s, const struct lfs_coming *c, char path[REPO_PATH])
{
	return snprintf(path, REPO_PATH, "%s/%ju", s->dir, (uintmax_t)c->number) < REPO_PATH;
}

/* Its file and its memory. */
static void discard(const struct lfs_store *s, struct lfs_coming *c)
{
	char path[REPO_PATH];

	if (c->fd >= 0)
		close(c->fd);
	if (path_of(s, c, path))
		unlink(path);
	free(c);
}

/* ---- under the lock ---- */

static struct lfs_coming **bucket_of(struct lfs_store *s, const uint8_t oid[LFS_OID])
{
	return &s->bucket[(oid[0] | oid[1] << 8) % BUCKETS];
}

static void take_room(struct lfs_store *s, const struct lfs_coming *c)
{
	s->n++;
	s->bytes += c->object.size;
	s->of[c->sandbox].n++;
	s->of[c->sandbox].bytes += c->object.size;
}

static void give_room(struct lfs_store *s, const struct lfs_coming *c)
{
	s->n--;
	s->bytes -= c->object.size;
	s->of[c->sandbox].n--;
	s->of[c->sandbox].bytes -= c->object.size;
}

static void forget(struct lfs_store *s, struct lfs_coming **at)
{
	struct lfs_coming *c = *at;

	*at = c->next;
	give_room(s, c);
	discard(s, c);
}

static void forget_over(struct lfs_store *s, struct lfs_coming **at)
{
	while (*at)
		if ((*at)->until <= deadline_now())
			forget(s, at);
		else
			at = &(*at)->next;
}

static bool fits(const struct lfs_store *s, uint16_t sandbox, uint64_t size)
{
	uint64_t each = s->max / SHARE_OF_ONE;

	return size <= each && s->n < LFS_HELD_MAX && s->of[sandbox].n < LFS_HELD_EACH &&
	       s->bytes <= s->max - size && s->of[sandbox].bytes <= each - size;
}

static bool has_room(struct lfs_store *s, uint16_t sandbox, uint64_t size)
{
	for (size_t i = 0; i < BUCKETS && !fits(s, sandbox, size); i++)
		forget_over(s, &s->bucket[i]);
	return fits(s, sandbox, size);
}

static struct lfs_coming **find(struct lfs_store *s, uint16_t sandbox, const uint8_t *domain,
				const struct lfs_object *x)
{
	struct lfs_coming **at = bucket_of(s, x->oid);

	forget_over(s, at);
	while (*at && ((*at)->sandbox != sandbox || memcmp((*at)->domain, domain, MIRROR_DOMAIN) ||
		       memcmp((*at)->object.oid, x->oid, LFS_OID) || (*at)->object.size != x->size))
		at = &(*at)->next;
	return at;
}

void lfs_store_free(struct lfs_store *s)
{
	if (!s)
		return;
	for (size_t i = 0; i < BUCKETS; i++)
		while (s->bucket[i])
			forget(s, &s->bucket[i]);
	pthread_mutex_destroy(&s->lock);
	free(s);
}

/* ---- on its way ---- */

static int reserve(struct lfs_store *s, struct lfs_coming *c)
{
	bool ok;

	pthread_mutex_lock(&s->lock);
	ok = has_room(s, c->sandbox, c->object.size);
	if (ok) {
		take_room(s, c);
		c->number = s->number++;
	}
	pthread_mutex_unlock(&s->lock);
	return ok ? 0 : -ENOSPC;
}

int lfs_store_begin(struct lfs_store *s, const struct lfs_owner *o, const struct lfs_object *x,
		    struct lfs_coming **ret, int *ret_fd)
{
	struct lfs_coming *c = calloc(1, sizeof(*c));
	char path[REPO_PATH];
	int r;

	if (!c)
		return -ENOMEM;
	*c = (struct lfs_coming){ .sandbox = o->sandbox, .object = *x, .fd = -1 };
	memcpy(c->domain, o->domain->id, sizeof(c->domain));
	r = reserve(s, c);
	if (r < 0) {
		free(c);
		return r;
	}
	c->fd = path_of(s, c, path) ? open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600) : -1;
	if (c->fd < 0) {
		r = -errno;
		lfs_store_drop(s, c);
		return r;
	}
	*ret = c;
	*ret_fd = c->fd;
	return 0;
}

void lfs_store_drop(struct lfs_store *s, struct lfs_coming *c)
{
	if (!c)
		return;
	pthread_mutex_lock(&s->lock);
	give_room(s, c);
	pthread_mutex_unlock(&s->lock);
	discard(s, c);
}

void lfs_store_keep(struct lfs_store *s, struct lfs_coming *c)
{
	struct lfs_coming **at;

	close(STEAL_FD(c->fd));
	c->until = deadline_in(LFS_HOLD_MS);
	pthread_mutex_lock(&s->lock);
	at = find(s, c->sandbox, c->domain, &c->object);
	if (*at)
		forget(s, at);			/* brought again */
	at = bucket_of(s, c->object.oid);
	c->next = *at;
	*at = c;
	pthread_mutex_unlock(&s->lock);
}

/* ---- held ---- */

int lfs_store_open(struct lfs_store *s, const struct lfs_owner *o, const struct lfs_object *x)
{
	struct lfs_coming **at;
	char path[REPO_PATH];
	int fd = -1;

	pthread_mutex_lock(&s->lock);
	at = find(s, o->sandbox, o->domain->id, x);
	if (*at && path_of(s, *at, path))
		fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	pthread_mutex_unlock(&s->lock);
	return fd < 0 ? -ENOENT : fd;
}

uint64_t lfs_store_bytes(struct lfs_store *s)
{
	uint64_t n;

	pthread_mutex_lock(&s->lock);
	n = s->bytes;
	pthread_mutex_unlock(&s->lock);
	return n;
}

void lfs_store_done(struct lfs_store *s, const struct lfs_owner *o, const struct lfs_object *x)
{
	struct lfs_coming **at;

	pthread_mutex_lock(&s->lock);
	at = find(s, o->sandbox, o->domain->id, x);
	if (*at)
		forget(s, at);
	pthread_mutex_unlock(&s->lock);
}
