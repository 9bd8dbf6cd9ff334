/*
 * spool.h - answers to fetches as files: one producer, any number of readers
 *
 * Thread-safe. A reader and a writer each belong to one thread, but for what is said otherwise.
 * Deadlines and times are of gitproxy/deadline.h. The descriptors given out are for reading only.
 */
#ifndef GITPROXY_MIRROR_SPOOL_H
#define GITPROXY_MIRROR_SPOOL_H

#include "gitproxy/mirror/answer_check.h"

enum { SPOOL_ID = 32 };

struct spool;
struct spool_reader;
struct spool_writer;

struct spool_key { uint8_t domain[SPOOL_ID], request[SPOOL_ID]; };

struct spool_limits {
	uint64_t bytes;			/* of all files, those being written among them */
	uint64_t answer_bytes;		/* of one: what is larger must not displace all others */
	size_t entries;
	uint64_t grace_ms;		/* how long an answer is produced for nobody */
};

struct spool_counters {
	uint64_t hits, misses, coalesced, failed, evicted, purged, bytes_produced;
	uint64_t bytes;			/* now */
	size_t entries;			/* now */
};

enum spool_source { SPOOL_MISS, SPOOL_COALESCED, SPOOL_HIT };

struct spool_progress {
	uint64_t size;			/* so many bytes may be read */
	bool complete;			/* and there will be no more */
};

/* Takes dir_fd. Finished answers of before are found again; what was left unfinished is removed. */
int spool_open(int dir_fd, const struct spool_limits *limits, struct spool **ret);
/* When all readers and writers are closed. */
void spool_free(struct spool *s);

/*
 * The answer for a key. *ret_writer is NULL unless this caller is to see to it that it is produced;
 * then it must end with spool_finish() or spool_fail(). 0, -ENOMEM, or what opening gave; -ENOSPC: there is no
 * room for it, as was seen lately.
 */
int spool_get(struct spool *s, const struct spool_key *key, enum object_format format,
	      struct spool_reader **ret_reader, struct spool_writer **ret_writer);
/* Every answer of a security domain is forgotten, readers and producers are told. How many. */
size_t spool_purge(struct spool *s, const uint8_t domain[SPOOL_ID]);
/* All answers together may take so much from now on. */
void spool_limit(struct spool *s, uint64_t bytes);
struct spool_counters spool_count(struct spool *s);

int spool_reader_fd(const struct spool_reader *r);		/* borrowed */
enum spool_source spool_reader_source(const struct spool_reader *r);
/*
 * Wait until there are more than `have` bytes, or until it is complete. 0; -ETIMEDOUT; -ECANCELED:
 * interrupted; -ESTALE: purged; -EIO: it will not be completed. After bytes were seen, the last two
 * must never look like an end.
 */
int spool_wait(struct spool_reader *r, uint64_t have, uint64_t deadline,
	       struct spool_progress *ret);
/* By any thread: its waits end from now on. */
void spool_interrupt(struct spool_reader *r);
/*
 * Once per reader, when it failed before this reader saw a byte: another attempt, shared with the
 * others that retry. As spool_get(); *io is replaced on success and kept on failure. -EIO: no.
 */
int spool_retry(struct spool_reader **io, struct spool_writer **ret_writer);
void spool_close(struct spool_reader *r);

/*
 * More of the answer; it is checked before anybody can see it. 0; -EBADMSG: it is no right answer;
 * -ENOSPC; -ECANCELED: purged; -errno. Sticky; end it with spool_fail() then.
 */
int spool_write(struct spool_writer *w, struct rd bytes);
/* There is no more. Takes w. 0: complete, and kept if it held a pack. Else as after spool_fail(). */
int spool_finish(struct spool_writer *w);
/* Takes w. */
void spool_fail(struct spool_writer *w);
/* True: nobody wants it any more, fail it. Else *ret_until: when to ask again, unless event() says. */
bool spool_abandoned(struct spool_writer *w, uint64_t now, uint64_t *ret_until);
/* Nobody waits for it just now, or it is purged: not worth beginning. */
bool spool_is_unread(struct spool_writer *w);
/* A descriptor that becomes readable when spool_abandoned() should be asked. Borrowed. */
int spool_writer_event(const struct spool_writer *w);
/* What was wrong with it, if anything; borrowed. */
const struct answer_check *spool_writer_answer(const struct spool_writer *w);

DEFINE_AUTO(spool_reader, struct spool_reader *, spool_close)

#endif
