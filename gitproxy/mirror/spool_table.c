/*
 * spool_table.c - what the spool knows of its files
 *
 * Theory of operation: a hash table by key (a digest already) and a list of the kept entries by
 * use. An entry that is dropped is in neither, its file has no name, and it goes with its last
 * reader and its writer; until then its bytes count, since they are on the disk. Entries with
 * readers are not evicted: that would free nothing.
 */
#include "gitproxy/mirror/spool_table.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/eventfd.h>

#include "base/thread.h"
#include "gitproxy/deadline.h"

static struct spool_entry **bucket_of(struct spool *s, const struct spool_key *key)
{
	return &s->bucket[(key->request[0] | (unsigned)key->request[1] << 8) % SPOOL_BUCKETS];
}

struct spool_entry *table_find(struct spool *s, const struct spool_key *key)
{
	struct spool_entry *e = *bucket_of(s, key);

	while (e && memcmp(&e->key, key, sizeof(*key)) != 0)
		e = e->next;
	return e;
}

static void list_remove(struct spool *s, struct spool_entry *e)
{
	*(e->older ? &e->older->newer : &s->oldest) = e->newer;
	*(e->newer ? &e->newer->older : &s->newest) = e->older;
	e->older = e->newer = NULL;
}

void table_touch(struct spool *s, struct spool_entry *e)
{
	if (e->kept)
		list_remove(s, e);
	e->kept = true;
	e->older = s->newest;
	*(s->newest ? &s->newest->newer : &s->oldest) = e;
	s->newest = e;
}

void table_release(struct spool *s, struct spool_entry *e)
{
	if (e->listed || e->readers || e->writing)
		return;
	s->count.bytes -= e->bytes;
	s->count.entries--;
	pthread_cond_destroy(&e->changed);
	free(e);
}

void table_drop(struct spool *s, struct spool_entry *e)
{
	struct spool_entry **at = bucket_of(s, &e->key);

	if (!e->listed)
		return;
	while (*at != e)
		at = &(*at)->next;
	*at = e->next;
	if (e->kept)
		list_remove(s, e);
	e->kept = e->listed = false;
	if (e->name[0])
		unlinkat(s->dir_fd, e->name, 0);
	e->name[0] = 0;
	table_release(s, e);
}

bool table_evict(struct spool *s)
{
	for (struct spool_entry *e = s->oldest; e; e = e->newer)
		if (!e->readers && !e->writing) {
			s->count.evicted++;
			table_drop(s, e);
			return true;
		}
	return false;
}

bool table_reserve(struct spool *s, struct spool_entry *e, uint64_t n)
{
	if (n > s->limits.bytes || e->bytes + n > s->limits.answer_bytes)
		return false;
	while (s->count.bytes > s->limits.bytes - n)
		if (!table_evict(s))
			return false;
	s->count.bytes += n;
	e->bytes += n;
	return true;
}

void table_shrink(struct spool *s)
{
	while (s->count.bytes > s->limits.bytes && table_evict(s))
		;
}

int table_add(struct spool *s, const struct spool_key *key, struct spool_entry **ret)
{
	struct spool_entry **at = bucket_of(s, key), *e;

	while (s->count.entries >= s->limits.entries)
		if (!table_evict(s))
			return -ENOSPC;
	e = calloc(1, sizeof(*e));
	if (!e || thread_cond_init(&e->changed) < 0) {
		free(e);
		return -ENOMEM;
	}
	e->key = *key;
	e->event = -1;
	e->listed = true;
	e->next = *at;
	*at = e;
	s->count.entries++;
	*ret = e;
	return 0;
}

void table_note_large(struct spool *s, const struct spool_key *key)
{
	s->large[s->n_large++ % SPOOL_LARGE] = *key;
}

bool table_is_hopeless(const struct spool *s, const struct spool_key *key)
{
	size_t n = s->n_large < SPOOL_LARGE ? s->n_large : SPOOL_LARGE;

	for (size_t i = 0; i < n; i++)
		if (!memcmp(&s->large[i], key, sizeof(*key)))
			return true;
	return deadline_now() < s->full_until;
}

void table_notify(struct spool_entry *e)
{
	pthread_cond_broadcast(&e->changed);
	if (e->event >= 0)
		eventfd_write(e->event, 1);
}
