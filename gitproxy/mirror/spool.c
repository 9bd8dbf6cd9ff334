/*
 * spool.c - answers to fetches as files: looking up, reading, purging
 *
 * Theory of operation: who asks first for a key becomes its producer as well; who asks for the same
 * while it is produced, or after, only reads. Every reader has a descriptor of its own on the file
 * and waits on the entry's condition for the number that says how much of it may be read; bytes
 * never pass through here. A reader that is told of a failure before it saw a byte may try again
 * once: of those that do, the first becomes the producer. When the last reader goes, the time is
 * noted and the producer woken; it asks whether the grace is over (spool_writer.c). One lock for
 * all, never held while data is written.
 */
#include "gitproxy/mirror/spool.h"

#include <errno.h>
#include <stdlib.h>

#include "base/thread.h"
#include "gitproxy/deadline.h"
#include "gitproxy/mirror/spool_table.h"

static int adopt(struct spool *s, const struct spool_found *found)
{
	struct spool_entry *e;
	int r = table_add(s, &found->key, &e);

	if (r < 0)
		return r;
	spool_name(&e->key, e->name);
	e->state = SPOOL_COMPLETE;
	e->visible = found->size;
	if (table_reserve(s, e, found->size))
		table_touch(s, e);
	else
		table_drop(s, e);
	return 0;
}

static int adopt_all(struct spool *s)
{
	AUTO(mem) struct spool_found *found = NULL;
	size_t n;
	int r = spool_files_scan(s->dir_fd, &found, &n);

	for (size_t i = 0; r == 0 && i < n; i++)
		r = adopt(s, &found[i]);
	s->count = (struct spool_counters){ .bytes = s->count.bytes, .entries = s->count.entries };
	return r;
}

int spool_open(int dir_fd, const struct spool_limits *limits, struct spool **ret)
{
	AUTO(fd) int fd = dir_fd;
	struct spool *s = calloc(1, sizeof(*s));
	int r;

	if (!s)
		return -ENOMEM;
	s->limits = *limits;
	s->dir_fd = STEAL_FD(fd);
	pthread_mutex_init(&s->lock, NULL);
	r = adopt_all(s);
	if (r < 0) {
		spool_free(s);
		return r;
	}
	*ret = s;
	return 0;
}

/* The files stay for the next start. */
void spool_free(struct spool *s)
{
	if (!s)
		return;
	for (size_t i = 0; i < SPOOL_BUCKETS; i++)
		while (s->bucket[i]) {
			struct spool_entry *e = s->bucket[i];

			s->bucket[i] = e->next;
			pthread_cond_destroy(&e->changed);
			free(e);
		}
	pthread_mutex_destroy(&s->lock);
	close(s->dir_fd);
	free(s);
}

/* ---- looking up ---- */

static int reader_new(struct spool *s, struct spool_entry *e, enum object_format format,
		      enum spool_source source, struct spool_reader **ret)
{
	struct spool_reader *r = calloc(1, sizeof(*r));
	int error;

	if (!r)
		return -ENOMEM;
	*r = (struct spool_reader){ .spool = s, .entry = e, .format = format, .source = source };
	error = spool_file_read(s->dir_fd, e->name, e->visible, &r->fd);
	if (error < 0) {
		free(r);
		return error;
	}
	e->readers++;
	*ret = r;
	return 0;
}

static int produce(struct spool *s, const struct spool_key *key, enum object_format format,
		   struct spool_reader **ret_reader, struct spool_writer **ret_writer)
{
	AUTO(spool_writer) struct spool_writer *w = NULL;
	struct spool_entry *e;
	int r = table_add(s, key, &e);

	if (r < 0)
		return r;
	e->state = SPOOL_PRODUCING;
	r = writer_new(s, e, format, &w);
	if (r == 0)
		r = reader_new(s, e, format, SPOOL_MISS, ret_reader);
	if (r < 0) {
		if (e->event >= 0)
			close(e->event);
		table_drop(s, e);
		return r;
	}
	e->writing = true;
	s->count.misses++;
	*ret_writer = STEAL(w);
	return 0;
}

/* One that is there. -ESTALE: it is not, after all. */
static int share(struct spool *s, struct spool_entry *e, enum object_format format,
		 struct spool_reader **ret)
{
	bool complete = e->state == SPOOL_COMPLETE;
	int r = reader_new(s, e, format, complete ? SPOOL_HIT : SPOOL_COALESCED, ret);

	if ((r == -ENOENT || r == -ESTALE) && e->kept) {
		table_drop(s, e);
		return -ESTALE;
	}
	if (r < 0)
		return r;
	*(complete ? &s->count.hits : &s->count.coalesced) += 1;
	if (e->kept)
		table_touch(s, e);
	return 0;
}

int spool_get(struct spool *s, const struct spool_key *key, enum object_format format,
	      struct spool_reader **ret_reader, struct spool_writer **ret_writer)
{
	struct spool_entry *e;
	int r = -ESTALE;

	*ret_reader = NULL;
	*ret_writer = NULL;
	pthread_mutex_lock(&s->lock);
	e = table_find(s, key);
	if (e)
		r = share(s, e, format, ret_reader);
	if (r == -ESTALE)
		r = table_is_hopeless(s, key) ? -ENOSPC : produce(s, key, format, ret_reader, ret_writer);
	pthread_mutex_unlock(&s->lock);
	return r;
}

/* ---- reading ---- */

int spool_reader_fd(const struct spool_reader *r)
{
	return r->fd;
}

enum spool_source spool_reader_source(const struct spool_reader *r)
{
	return r->source;
}

static bool changed(struct spool_reader *r, uint64_t have, int *ret)
{
	const struct spool_entry *e = r->entry;

	*ret = r->interrupted ? -ECANCELED : e->purged ? -ESTALE : 0;
	if (*ret)
		return true;
	if (e->state == SPOOL_FAILED)
		*ret = -EIO;
	return *ret || e->state == SPOOL_COMPLETE || e->visible > have;
}

int spool_wait(struct spool_reader *r, uint64_t have, uint64_t deadline,
	       struct spool_progress *ret)
{
	struct spool_entry *e = r->entry;
	int result = 0, waited = 0;

	pthread_mutex_lock(&r->spool->lock);
	while (!changed(r, have, &result) && !waited)
		waited = thread_cond_wait(&e->changed, &r->spool->lock, deadline);
	if (!changed(r, have, &result))
		result = -ETIMEDOUT;
	if (result == 0) {
		*ret = (struct spool_progress){ e->visible, e->state == SPOOL_COMPLETE };
		r->seen = e->visible;
	}
	pthread_mutex_unlock(&r->spool->lock);
	return result;
}

void spool_interrupt(struct spool_reader *r)
{
	pthread_mutex_lock(&r->spool->lock);
	r->interrupted = true;
	pthread_cond_broadcast(&r->entry->changed);
	pthread_mutex_unlock(&r->spool->lock);
}

int spool_retry(struct spool_reader **io, struct spool_writer **ret_writer)
{
	struct spool_reader *old = *io, *again;
	struct spool_entry *e = old->entry;
	bool may;
	int r;

	*ret_writer = NULL;
	pthread_mutex_lock(&old->spool->lock);
	may = !old->retried && !old->seen && !e->purged && !old->interrupted &&
	      e->state == SPOOL_FAILED;
	pthread_mutex_unlock(&old->spool->lock);
	if (!may)
		return -EIO;
	r = spool_get(old->spool, &e->key, old->format, &again, ret_writer);
	if (r < 0)
		return r;
	again->retried = true;
	spool_close(old);
	*io = again;
	return 0;
}

void spool_close(struct spool_reader *r)
{
	struct spool *s = r->spool;
	struct spool_entry *e = r->entry;

	pthread_mutex_lock(&s->lock);
	if (!--e->readers && e->writing) {
		e->left_at = deadline_now();
		table_notify(e);
	}
	table_release(s, e);
	pthread_mutex_unlock(&s->lock);
	close(r->fd);
	free(r);
}

/* ---- the whole ---- */

static void purge_entry(struct spool *s, struct spool_entry *e)
{
	s->count.purged++;
	e->purged = true;
	table_notify(e);
	table_drop(s, e);
}

size_t spool_purge(struct spool *s, const uint8_t domain[SPOOL_ID])
{
	size_t n = 0;

	pthread_mutex_lock(&s->lock);
	for (size_t i = 0; i < SPOOL_BUCKETS; i++)
		for (struct spool_entry *e = s->bucket[i], *next; e; e = next) {
			next = e->next;
			if (memcmp(e->key.domain, domain, SPOOL_ID) != 0)
				continue;
			purge_entry(s, e);
			n++;
		}
	pthread_mutex_unlock(&s->lock);
	return n;
}

void spool_limit(struct spool *s, uint64_t bytes)
{
	pthread_mutex_lock(&s->lock);
	s->limits.bytes = bytes;
	s->limits.answer_bytes = bytes;
	table_shrink(s);
	pthread_mutex_unlock(&s->lock);
}

struct spool_counters spool_count(struct spool *s)
{
	struct spool_counters count;

	pthread_mutex_lock(&s->lock);
	count = s->count;
	pthread_mutex_unlock(&s->lock);
	return count;
}
