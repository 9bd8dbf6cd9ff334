/*
 * spool_writer.c - answers to fetches as files: producing
 *
 * Theory of operation: bytes go through the checker, into the file, and then the number rises that
 * readers wait for, up to what is settled: an error at the beginning is seen by nobody. A complete
 * answer is told to its readers at once; then it is forced to the disk and renamed, so that what
 * has its final name after a loss of power is whole. A round of negotiation holds no pack and is
 * not kept. Failure of any kind drops the entry: whoever asks next starts anew. When the disk is full
 * before the quota is, files that nobody reads make room.
 */
#include "gitproxy/mirror/spool.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>

#include "gitproxy/deadline.h"
#include "gitproxy/mirror/spool_table.h"

void writer_free(struct spool_writer *w)
{
	answer_check_done(&w->answer);
	if (w->fd >= 0)
		close(w->fd);
	free(w);
}

int writer_new(struct spool *s, struct spool_entry *e, enum object_format format,
	       struct spool_writer **ret)
{
	AUTO(spool_writer) struct spool_writer *w = calloc(1, sizeof(*w));
	int r;

	if (!w)
		return -ENOMEM;
	*w = (struct spool_writer){ .spool = s, .entry = e, .fd = -1 };
	r = answer_check_init(&w->answer, format, NULL);
	if (r < 0)
		return r;
	spool_name_unfinished(s->next_number++, e->name);
	r = spool_file_create(s->dir_fd, e->name, &w->fd);
	if (r < 0) {
		e->name[0] = 0;			/* a file that is there is not this entry's */
		return r;
	}
	e->event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (e->event < 0)
		return -errno;
	*ret = STEAL(w);
	return 0;
}

static bool make_room(struct spool *s)
{
	bool made;

	pthread_mutex_lock(&s->lock);
	made = table_evict(s);
	if (!made)
		s->full_until = deadline_in(SPOOL_FULL_MS);
	pthread_mutex_unlock(&s->lock);
	return made;
}

static int write_all(struct spool_writer *w, struct rd bytes)
{
	while (rd_left(&bytes)) {
		ssize_t n = write(w->fd, bytes.p, bytes.n);

		if (n < 0 && (errno == EINTR || (errno == ENOSPC && make_room(w->spool))))
			continue;
		if (n < 0)
			return -errno;
		if (!n || !rd_skip(&bytes, (size_t)n))
			return -ENOSPC;
	}
	return 0;
}

/* Room by the quota, if it is still wanted at all. */
static int reserve(struct spool_writer *w, uint64_t n)
{
	int r = 0;

	pthread_mutex_lock(&w->spool->lock);
	if (w->entry->purged)
		r = -ECANCELED;
	else if (!table_reserve(w->spool, w->entry, n))
		r = -ENOSPC;
	if (r == -ENOSPC && w->entry->bytes + n > w->spool->limits.answer_bytes)
		table_note_large(w->spool, &w->entry->key);
	pthread_mutex_unlock(&w->spool->lock);
	return r;
}

static void publish_growth(struct spool_writer *w, uint64_t n)
{
	struct spool_entry *e = w->entry;

	pthread_mutex_lock(&w->spool->lock);
	w->spool->count.bytes_produced += n;
	if (w->answer.settled > e->visible) {
		e->visible = w->answer.settled;
		pthread_cond_broadcast(&e->changed);
	}
	pthread_mutex_unlock(&w->spool->lock);
}

int spool_write(struct spool_writer *w, struct rd bytes)
{
	if (w->error)
		return w->error;
	if (answer_check_feed(&w->answer, bytes) == ANSWER_FAILED)
		return w->error = -EBADMSG;
	w->error = reserve(w, bytes.n);
	if (!w->error)
		w->error = write_all(w, bytes);
	if (!w->error)
		publish_growth(w, bytes.n);
	return w->error;
}

/* The writer's end, with the lock held; the caller unlocks. */
static void leave(struct spool_writer *w)
{
	struct spool_entry *e = w->entry;

	e->writing = false;
	close(e->event);
	e->event = -1;
	table_release(w->spool, e);
}

void spool_fail(struct spool_writer *w)
{
	struct spool *s = w->spool;
	struct spool_entry *e = w->entry;

	pthread_mutex_lock(&s->lock);
	s->count.failed++;
	e->state = SPOOL_FAILED;
	pthread_cond_broadcast(&e->changed);
	table_drop(s, e);
	leave(w);
	pthread_mutex_unlock(&s->lock);
	writer_free(w);
}

/* Readers have all of it now. What is not to be kept is not found any more. */
static void publish_end(struct spool_writer *w, bool keep)
{
	struct spool_entry *e = w->entry;

	pthread_mutex_lock(&w->spool->lock);
	e->state = SPOOL_COMPLETE;
	pthread_cond_broadcast(&e->changed);
	if (!keep)
		table_drop(w->spool, e);
	pthread_mutex_unlock(&w->spool->lock);
}

/* Its final name, unless it was dropped meanwhile. */
static void keep_file(struct spool_writer *w, bool on_disk)
{
	struct spool *s = w->spool;
	struct spool_entry *e = w->entry;
	char name[SPOOL_NAME];

	pthread_mutex_lock(&s->lock);
	spool_name(&e->key, name);
	if (e->listed && on_disk && renameat(s->dir_fd, e->name, s->dir_fd, name) == 0) {
		memcpy(e->name, name, sizeof(name));
		table_touch(s, e);
	} else {
		table_drop(s, e);
	}
	leave(w);
	pthread_mutex_unlock(&s->lock);
}

int spool_finish(struct spool_writer *w)
{
	enum answer answer = answer_check_end(&w->answer);
	int r = w->error;

	if (!r && answer == ANSWER_FAILED)
		r = -EBADMSG;
	if (r < 0) {
		spool_fail(w);
		return r;
	}
	publish_end(w, answer == ANSWER_PACK);
	keep_file(w, answer == ANSWER_PACK && fdatasync(w->fd) == 0);
	writer_free(w);
	return 0;
}

bool spool_abandoned(struct spool_writer *w, uint64_t now, uint64_t *ret_until)
{
	struct spool *s = w->spool;
	struct spool_entry *e = w->entry;
	eventfd_t gone;
	bool over;

	pthread_mutex_lock(&s->lock);
	eventfd_read(e->event, &gone);			/* non-blocking: asked without need */
	*ret_until = e->readers ? UINT64_MAX : e->left_at + s->limits.grace_ms;
	over = e->purged || now >= *ret_until;
	if (over)
		table_drop(s, e);			/* nobody joins what is given up */
	pthread_mutex_unlock(&s->lock);
	return over;
}

bool spool_is_unread(struct spool_writer *w)
{
	bool unread;

	pthread_mutex_lock(&w->spool->lock);
	unread = !w->entry->readers || w->entry->purged;
	pthread_mutex_unlock(&w->spool->lock);
	return unread;
}

int spool_writer_event(const struct spool_writer *w)
{
	return w->entry->event;
}

const struct answer_check *spool_writer_answer(const struct spool_writer *w)
{
	return &w->answer;
}
