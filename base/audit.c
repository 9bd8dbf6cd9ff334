/*
 * audit.c - the audit log: lines chained, written whole, aggregated
 *
 * Theory of operation: see audit.h. When a struct audit_line is put, the head (ts, seq, src, prev)
 * goes before its fields and the whole line leaves in one write(2).
 * The chain is over the file's raw lines: prev is the SHA-256 of the line before, without its
 * newline, whatever that line holds. A write that stops half way is taken back by ftruncate(2), so
 * a line is there or is not; where that is impossible (an append-only file) the half line is ended
 * and chained like any other.
 * Aggregation: one entry per key in a seeded hash table (peers choose the keys) and in a queue by
 * age. When the table is full, lines are written at once: counts stay exact, the file pays.
 * Invariant: a line that was not written is counted, and the count is the next thing that is written.
 */
#include "base/audit.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>

#include "base/audit_last.h"

enum { AUDIT_BUCKETS = 4096, AUDIT_HEAD_MAX = 256, AUDIT_TAIL_MAX = 64,
       AUDIT_WHOLE_MAX = AUDIT_LINE_MAX + AUDIT_HEAD_MAX + AUDIT_TAIL_MAX,
       AUDIT_ROOM = 4 * AUDIT_WHOLE_MAX, AUDIT_RETIRE_PUT = 16, AUDIT_RETIRE_TICK = 1024,
       AUDIT_HASH = 32, AUDIT_HEX = 2 * AUDIT_HASH + 1 };

struct entry {
	struct entry *chain;		/* same bucket */
	struct entry *younger;		/* queue by age */
	uint64_t started_ms;
	uint64_t count;			/* after the first, not yet written */
	unsigned bucket;
	bool cut;
	size_t n;			/* bytes of the first one's fields */
	char *key;
	char fields[];
};

struct audit {
	pthread_mutex_t lock;
	int fd;
	char src[32];
	uint64_t seq;			/* of the last line */
	time_t second;			/* that `when` is the text of */
	char when[32];
	char prev[AUDIT_HEX];
	bool torn;			/* the file ends inside a line that stays */
	bool healthy;
	uint64_t lost;
	EVP_MD *md;
	EVP_MD_CTX *ctx;
	uint8_t seed[16];
	struct entry *buckets[AUDIT_BUCKETS];
	struct entry *oldest, *youngest;
	size_t n_entries;
};

static uint64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

/* ---- the chain and the file ---- */

static int hash_hex(struct audit *a, struct rd text, char ret_hex[AUDIT_HEX])
{
	uint8_t md[EVP_MAX_MD_SIZE];
	unsigned n = 0;

	if (!EVP_DigestInit_ex(a->ctx, a->md, NULL) || !EVP_DigestUpdate(a->ctx, text.p, text.n) ||
	    !EVP_DigestFinal_ex(a->ctx, md, &n) || n != AUDIT_HASH)
		return -EIO;
	bytes_hex(md, AUDIT_HASH, ret_hex);
	return 0;
}

static void put_head(struct audit *a, struct wr *w)
{
	struct timespec ts;
	struct tm tm;

	clock_gettime(CLOCK_REALTIME, &ts);
	if (!a->when[0] || ts.tv_sec != a->second) {	/* most lines are of the same second as the last */
		gmtime_r(&ts.tv_sec, &tm);
		strftime(a->when, sizeof(a->when), "%Y-%m-%dT%H:%M:%S", &tm);
		a->second = ts.tv_sec;
	}
	wr_fmt(w, "{\"ts\":\"%s.%03ldZ\",\"seq\":%" PRIu64 ",\"src\":\"%s\",\"prev\":\"%s\"", a->when,
	       ts.tv_nsec / 1000000, a->seq + 1, a->src, a->prev);
}

/* All of it. On failure *ret_done says how far it came. */
static int write_all(int fd, struct rd line, size_t *ret_done)
{
	ssize_t r;

	for (*ret_done = 0; *ret_done < line.n; *ret_done += (size_t)r) {
		r = write(fd, line.p + *ret_done, line.n - *ret_done);
		if (r < 0 && errno == EINTR)
			r = 0;
		else if (r <= 0)
			return r < 0 ? -errno : -EIO;
	}
	return 0;
}

/* A line that was written in part is taken out again, or else becomes part of the chain. */
static void take_back(struct audit *a, struct rd line, size_t done)
{
	struct stat st;

	if (!done)
		return;
	if (!fstat(a->fd, &st) && st.st_size >= (off_t)done &&
	    !ftruncate(a->fd, st.st_size - (off_t)done))
		return;
	line.n = done;
	a->torn = true;
	hash_hex(a, line, a->prev);
}

/* End a half line that is in the file already. */
static int mend(struct audit *a)
{
	size_t done;
	int r;

	if (!a->torn)
		return 0;
	r = write_all(a->fd, rd_of("\n", 1), &done);
	a->torn = r < 0;
	return r;
}

/* Write one line of these fields. Locked. */
static int write_fields(struct audit *a, struct rd fields, uint64_t count, bool cut)
{
	uint8_t buf[AUDIT_WHOLE_MAX];
	struct wr w = wr_of(buf, sizeof(buf));
	char next[AUDIT_HEX];
	struct rd line;
	size_t done = 0;
	int r;

	put_head(a, &w);
	wr_rd_all(&w, fields);
	if (count)
		wr_fmt(&w, ",\"count\":%" PRIu64, count);
	wr_str(&w, cut ? ",\"cut\":true}" : "}");
	line = wr_rd(&w);
	r = !wr_u8(&w, '\n') ? -EMSGSIZE : hash_hex(a, line, next);
	if (!r)
		r = mend(a);
	if (!r)
		r = write_all(a->fd, wr_rd(&w), &done);
	a->healthy = r == 0;
	if (r < 0) {
		take_back(a, wr_rd(&w), done);
		return r;
	}
	memcpy(a->prev, next, sizeof(next));
	a->seq++;
	return 0;
}

static int write_event(struct audit *a, const char *event, const char *reason, uint64_t count)
{
	struct audit_head h = { .event = event, .reason = reason };
	struct audit_line l;

	audit_begin(&l, &h);
	return write_fields(a, wr_rd(&l.w), count, l.cut);
}

static int put_lost(struct audit *a)
{
	int r = a->lost ? write_event(a, "lost", "audit_unavailable", a->lost) : 0;

	if (!r)
		a->lost = 0;
	return r;
}

/* What was lost is told before anything else is written. Locked. */
static int put_locked(struct audit *a, struct rd fields, uint64_t count, bool cut)
{
	int r = put_lost(a);

	if (!r)
		r = write_fields(a, fields, count, cut);
	if (r < 0)
		a->lost += count ? count : 1;
	return r;
}

int audit_put(struct audit *a, struct audit_line *l)
{
	int r;

	pthread_mutex_lock(&a->lock);
	r = put_locked(a, wr_rd(&l->w), 0, l->cut);
	pthread_mutex_unlock(&a->lock);
	return r;
}

/* ---- aggregation ---- */

static unsigned bucket_of(struct audit *a, const char *key)
{
	uint8_t md[EVP_MAX_MD_SIZE] = { 0 };

	/* A failing digest would put everything into one bucket: slow, not wrong. */
	if (EVP_DigestInit_ex(a->ctx, a->md, NULL) &&
	    EVP_DigestUpdate(a->ctx, a->seed, sizeof(a->seed)) &&
	    EVP_DigestUpdate(a->ctx, key, strlen(key)))
		EVP_DigestFinal_ex(a->ctx, md, NULL);
	return (md[0] | (unsigned)md[1] << 8) % AUDIT_BUCKETS;
}

static struct entry *entry_find(struct audit *a, unsigned bucket, const char *key)
{
	struct entry *e = a->buckets[bucket];

	while (e && strcmp(e->key, key))
		e = e->chain;
	return e;
}

static void entry_add(struct audit *a, unsigned bucket, const char *key, const struct audit_line *l)
{
	struct rd fields = wr_rd(&l->w);
	struct entry *e;

	if (a->n_entries >= AUDIT_KEYS_MAX)
		return;
	e = calloc(1, sizeof(*e) + fields.n);
	if (!e)
		return;
	e->key = strdup(key);
	if (!e->key) {
		free(e);
		return;
	}
	memcpy(e->fields, fields.p, fields.n);
	e->n = fields.n;
	e->cut = l->cut;
	e->bucket = bucket;
	e->started_ms = now_ms();
	e->chain = a->buckets[bucket];
	a->buckets[bucket] = e;
	if (a->youngest)
		a->youngest->younger = e;
	else
		a->oldest = e;
	a->youngest = e;
	a->n_entries++;
}

/* Write the oldest entry's count, if it has one, and forget the entry. Locked. */
static void entry_retire(struct audit *a)
{
	struct entry *e = a->oldest, **at = &a->buckets[e->bucket];

	if (e->count)
		put_locked(a, rd_of(e->fields, e->n), e->count, e->cut);
	while (*at != e)
		at = &(*at)->chain;
	*at = e->chain;
	a->oldest = e->younger;
	if (!a->oldest)
		a->youngest = NULL;
	a->n_entries--;
	free(e->key);
	free(e);
}

/* Retire what is over, at most `max`: a daemon does not stop for a flood that has ended. */
static void retire_old(struct audit *a, size_t max)
{
	uint64_t now = now_ms();

	for (; max && a->oldest && now - a->oldest->started_ms >= AUDIT_WINDOW_MS; max--)
		entry_retire(a);
}

int audit_aggregate(struct audit *a, const char *key, struct audit_line *l)
{
	struct entry *e;
	unsigned bucket;
	int r = 0;

	pthread_mutex_lock(&a->lock);
	retire_old(a, AUDIT_RETIRE_PUT);
	bucket = bucket_of(a, key);
	e = entry_find(a, bucket, key);
	if (e) {
		e->count++;
		r = 1;
	} else {
		r = put_locked(a, wr_rd(&l->w), 0, l->cut);
		entry_add(a, bucket, key, l);
	}
	pthread_mutex_unlock(&a->lock);
	return r;
}

void audit_tick(struct audit *a, bool all)
{
	pthread_mutex_lock(&a->lock);
	retire_old(a, AUDIT_RETIRE_TICK);
	while (all && a->oldest)
		entry_retire(a);
	pthread_mutex_unlock(&a->lock);
}

bool audit_healthy(struct audit *a)
{
	bool healthy;

	pthread_mutex_lock(&a->lock);
	healthy = a->healthy;
	pthread_mutex_unlock(&a->lock);
	return healthy;
}

int audit_ready(struct audit *a)
{
	struct stat st;
	int r;

	pthread_mutex_lock(&a->lock);
	r = fstat(a->fd, &st) < 0 ? -errno : 0;
	if (!r && fallocate(a->fd, FALLOC_FL_KEEP_SIZE, st.st_size, AUDIT_ROOM) < 0)
		r = errno == EOPNOTSUPP || errno == ENOSYS ? 0 : -errno;
	if (!r && !a->healthy)
		r = put_lost(a);
	pthread_mutex_unlock(&a->lock);
	return r;
}

/* ---- opening, continuing, rotating ---- */

/* {"ts":"...","seq":N, is how our lines begin; false for anything else. */
static bool line_seq(struct rd line, uint64_t *ret_seq)
{
	struct rd ts, number;
	uint8_t c;

	*ret_seq = 0;
	if (!rd_prefix(&line, "{\"ts\":\"") || !rd_until(&line, '"', &ts) ||
	    !rd_prefix(&line, ",\"seq\":") || !rd_until(&line, ',', &number) ||
	    !rd_left(&number) || rd_left(&number) > 19)
		return false;
	while (rd_left(&number)) {
		if (!rd_u8(&number, &c) || c < '0' || c > '9')
			return false;
		*ret_seq = *ret_seq * 10 + (c - '0');
	}
	return true;
}

/*
 * Continue after the lines in `tail`: seq after the last that has one, prev over the last one
 * whatever it is. True when that is torn or not ours.
 */
static bool continue_after(struct audit *a, struct rd tail)
{
	struct rd line = { 0 };
	bool torn = false;
	uint64_t seq;

	while (rd_left(&tail)) {
		a->torn = !rd_has(tail, '\n');
		line = rd_piece(&tail, '\n');
		torn = a->torn || !line_seq(line, &seq);
		if (!torn)
			a->seq = seq;
	}
	if (line.p)
		hash_hex(a, line, a->prev);
	return torn;
}

/* Read the last lines of a file. 1: the last one is torn, or not ours. */
static int continue_file(struct audit *a, int fd, off_t size)
{
	const size_t most = 4 * AUDIT_WHOLE_MAX;
	size_t want = size < (off_t)most ? (size_t)size : most, n = 0;
	AUTO(mem) uint8_t *buf = malloc(want + 1);
	struct rd tail, cut;
	ssize_t r;

	if (!buf)
		return -ENOMEM;
	for (; n < want; n += (size_t)r) {
		r = pread(fd, buf + n, want - n, size - (off_t)want + (off_t)n);
		if (r <= 0)
			return r < 0 ? -errno : -EIO;
	}
	tail = rd_of(buf, n);
	if ((off_t)want < size && !rd_until(&tail, '\n', &cut))	/* begins inside a line */
		tail = rd_of(buf, n);
	if (!continue_after(a, tail))
		return 0;
	a->seq++;		/* the torn line may have had this number */
	a->lost++;
	return 1;
}

/* A file that has nothing yet goes on where the one before it ended; that one is left as it is. */
static int continue_chain(struct audit *a, const char *dir)
{
	AUTO(fd) int before = -1;
	struct stat st;
	int r;

	if (fstat(a->fd, &st) < 0)
		return -errno;
	if (st.st_size) {
		r = continue_file(a, a->fd, st.st_size);
		return r > 0 ? mend(a) : r;
	}
	before = audit_last_open(dir, a->src);
	if (before == -ENOENT)
		return 0;
	if (before < 0 || fstat(before, &st) < 0)
		return before < 0 ? before : -errno;
	r = continue_file(a, before, st.st_size);
	a->torn = false;
	return r < 0 ? r : 0;
}

static int file_open(const char *dir, const char *src, uid_t uid, gid_t gid)
{
	AUTO(fd) int dirfd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	AUTO(fd) int fd = -1;
	struct stat st;
	char name[64];

	if (dirfd < 0)
		return -errno;
	if ((size_t)snprintf(name, sizeof(name), "%s.jsonl", src) >= sizeof(name))
		return -ENAMETOOLONG;
	fd = openat(dirfd, name,
		    O_RDWR | O_APPEND | O_CREAT | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK, 0600);
	if (fd < 0 || fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode) || st.st_nlink != 1)
		return -EPERM;
	if (fchown(fd, uid, gid) < 0 || fchmod(fd, 0640) < 0)
		return -errno;
	return STEAL_FD(fd);
}

static int audit_start(struct audit *a, const char *dir)
{
	a->md = EVP_MD_fetch(NULL, "SHA256", NULL);
	a->ctx = EVP_MD_CTX_new();
	if (!a->md || !a->ctx)
		return -ENOMEM;
	if (getrandom(a->seed, sizeof(a->seed), 0) != (ssize_t)sizeof(a->seed))
		return -EIO;
	return continue_chain(a, dir);
}

int audit_open(const char *dir, const char *src, uid_t uid, gid_t gid, struct audit **ret)
{
	AUTO(audit) struct audit *a = calloc(1, sizeof(*a));
	int r;

	if (!a)
		return -ENOMEM;
	pthread_mutex_init(&a->lock, NULL);
	memset(a->prev, '0', AUDIT_HEX - 1);
	a->healthy = true;
	a->fd = -1;
	if ((size_t)snprintf(a->src, sizeof(a->src), "%s", src) >= sizeof(a->src))
		return -ENAMETOOLONG;
	a->fd = r = file_open(dir, src, uid, gid);
	if (r >= 0)
		r = audit_start(a, dir);
	if (r < 0)
		return r;
	*ret = STEAL(a);
	return 0;
}

int audit_reopen(struct audit *a, int new_fd)
{
	int r;

	pthread_mutex_lock(&a->lock);
	close(a->fd);
	a->fd = new_fd;
	a->torn = false;
	/* The chain goes on in the new file; its first line is there even if nothing follows. */
	r = write_event(a, "rotate", "", 0);
	pthread_mutex_unlock(&a->lock);
	return r;
}

void audit_close(struct audit *a)
{
	if (!a)
		return;
	if (a->fd >= 0) {
		audit_tick(a, true);
		if (a->lost)
			write_event(a, "lost", "audit_unavailable", a->lost);
		close(a->fd);
	}
	EVP_MD_CTX_free(a->ctx);
	EVP_MD_free(a->md);
	pthread_mutex_destroy(&a->lock);
	free(a);
}
