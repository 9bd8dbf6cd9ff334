/*
 * spool_table.h - what the spool knows of its files. Only for spool*.c.
 *
 * All of it under the spool's lock.
 */
#ifndef GITPROXY_MIRROR_SPOOL_TABLE_H
#define GITPROXY_MIRROR_SPOOL_TABLE_H

#include <pthread.h>

#include "gitproxy/mirror/spool.h"
#include "gitproxy/mirror/spool_files.h"

enum { SPOOL_BUCKETS = 4096,
       SPOOL_LARGE = 64,		/* so many keys whose answers are too large are remembered */
       SPOOL_FULL_MS = 60000 };		/* how long nothing is tried when the disk was full */

enum spool_state { SPOOL_FAILED = 0, SPOOL_PRODUCING, SPOOL_COMPLETE };

struct spool_entry {
	struct spool_entry *next;		/* in its bucket */
	struct spool_entry *older, *newer;	/* among those kept */
	struct spool_key key;
	enum spool_state state;
	uint64_t visible;			/* what readers may see */
	uint64_t bytes;				/* what the quota counts */
	unsigned readers;
	bool writing;				/* it has a writer */
	bool listed;				/* spool_get() finds it */
	bool kept;				/* has its final name; may be evicted */
	bool purged;
	uint64_t left_at;			/* when the last reader went; if there is none */
	int event;
	pthread_cond_t changed;
	char name[SPOOL_NAME];
};

struct spool {
	pthread_mutex_t lock;
	int dir_fd;
	struct spool_limits limits;
	struct spool_entry *bucket[SPOOL_BUCKETS];
	struct spool_entry *oldest, *newest;
	uint64_t next_number;
	struct spool_key large[SPOOL_LARGE];	/* a ring */
	size_t n_large;
	uint64_t full_until;			/* no file can be written, as far as we know */
	struct spool_counters count;
};

struct spool_reader {
	struct spool *spool;
	struct spool_entry *entry;
	enum object_format format;
	enum spool_source source;
	int fd;
	uint64_t seen;			/* the most that it was told */
	bool retried, interrupted;
};

struct spool_writer {
	struct spool *spool;
	struct spool_entry *entry;
	struct answer_check answer;
	int fd;
	int error;			/* sticky */
};

struct spool_entry *table_find(struct spool *s, const struct spool_key *key);
/* A listed entry without a file. 0, -ENOMEM, -ENOSPC: all entries are in use. */
int table_add(struct spool *s, const struct spool_key *key, struct spool_entry **ret);
/* Nobody finds it any more and its file's name is gone; it is freed when nobody uses it. */
void table_drop(struct spool *s, struct spool_entry *e);
/* Free it, if it is dropped and nobody uses it. */
void table_release(struct spool *s, struct spool_entry *e);
/* From now on it may be evicted; or it was used just now. */
void table_touch(struct spool *s, struct spool_entry *e);
/* Room for n more bytes of e: evicts what was not used for longest. False: there is none. */
bool table_reserve(struct spool *s, struct spool_entry *e, uint64_t n);
/* Evict what is over the limit; what is being read stays. */
void table_shrink(struct spool *s);
/* The file that was not used for longest goes, if it is read by nobody. False: there is none. */
bool table_evict(struct spool *s);
/* An answer that began and could not be kept would be cut short each time: for these none is begun. */
void table_note_large(struct spool *s, const struct spool_key *key);
bool table_is_hopeless(const struct spool *s, const struct spool_key *key);
/* Tell the entry's readers and writer that it changed. */
void table_notify(struct spool_entry *e);

/* A new entry's file, event and writer. On failure the entry is for table_drop(). */
int writer_new(struct spool *s, struct spool_entry *e, enum object_format format,
	       struct spool_writer **ret);
void writer_free(struct spool_writer *w);
DEFINE_AUTO(spool_writer, struct spool_writer *, writer_free)

#endif
