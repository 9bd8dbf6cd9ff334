/*
 * spool_fixture.h - a spool in a directory of its own, for tests
 */
#ifndef UNIT_SPOOL_FIXTURE_H
#define UNIT_SPOOL_FIXTURE_H

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>

#include "gitproxy/deadline.h"
#include "gitproxy/mirror/spool.h"
#include "tests/unit/check.h"
#include "tests/unit/make_answer.h"

enum { GRACE_MS = 60000, SIZE = 5000, ANSWER_CAP = 1 << 17 };

struct fixture {
	char path[64];
	int dir;
	struct spool_limits limits;
	struct spool *spool;
	uint8_t answer[ANSWER_CAP];
	size_t answer_n;
};

static inline struct rd fixture_answer(const struct fixture *f)
{
	return rd_of(f->answer, f->answer_n);
}

static inline void fixture_open(struct fixture *f)
{
	CHECK_EQ("open", spool_open(dup(f->dir), &f->limits, &f->spool), 0);
}

/* Room for so many answers. */
static inline struct fixture *fixture_new(size_t answers)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct wr w;

	if (!f)
		abort();
	strcpy(f->path, "/tmp/spool-test-XXXXXX");
	if (!mkdtemp(f->path))
		abort();
	f->dir = open(f->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	w = wr_of(f->answer, sizeof(f->answer));
	make_answer(&w, SIZE);
	f->answer_n = w.n;
	f->limits = (struct spool_limits){ .bytes = answers * w.n + 100, .entries = 1000,
					   .answer_bytes = 4 * w.n, .grace_ms = GRACE_MS };
	fixture_open(f);
	return f;
}

static inline unsigned fixture_files(const struct fixture *f, bool remove)
{
	DIR *d = opendir(f->path);
	unsigned n = 0;

	for (struct dirent *e; d && (e = readdir(d));)
		if (e->d_name[0] != '.') {
			n++;
			if (remove)
				unlinkat(f->dir, e->d_name, 0);
		}
	closedir(d);
	return n;
}

static inline void fixture_free(struct fixture *f)
{
	spool_free(f->spool);
	fixture_files(f, true);
	close(f->dir);
	rmdir(f->path);
	free(f);
}
DEFINE_AUTO(fixture, struct fixture *, fixture_free)

static inline struct spool_key key_of(unsigned domain, unsigned request)
{
	return (struct spool_key){ .domain = { (uint8_t)domain }, .request = { (uint8_t)request } };
}

/* spool_get() that must succeed; whether this caller is the producer. */
static inline bool get(struct fixture *f, struct spool_key key, struct spool_reader **r,
		struct spool_writer **w)
{
	int e = spool_get(f->spool, &key, OBJECT_SHA1, r, w);

	CHECK_EQ("get", e, 0);
	if (e < 0)
		abort();
	return *w != NULL;
}

/* The whole answer at once. */
static inline void produce(struct fixture *f, struct spool_key key)
{
	AUTO(spool_reader) struct spool_reader *r = NULL;
	struct spool_writer *w;

	CHECK("new", get(f, key, &r, &w));
	CHECK_EQ("write", spool_write(w, fixture_answer(f)), 0);
	CHECK_EQ("finish", spool_finish(w), 0);
}

/* Whether it is there; an attempt to produce it is given up. */
static inline bool is_kept(struct fixture *f, struct spool_key key)
{
	AUTO(spool_reader) struct spool_reader *r = NULL;
	struct spool_writer *w;

	if (!get(f, key, &r, &w))
		return true;
	spool_fail(w);
	return false;
}

/* Everything a reader can see until it is complete; the answer's length, or -errno. */
static inline ssize_t read_all(struct spool_reader *r, uint8_t *buf, size_t cap)
{
	struct spool_progress p = { 0 };
	size_t n = 0;

	for (;;) {
		int e = spool_wait(r, n, deadline_in(30000), &p);

		if (e < 0)
			return e;
		while (n < p.size) {
			ssize_t got = n < cap ? pread(spool_reader_fd(r), buf + n,
						      (p.size < cap ? p.size : cap) - n, (off_t)n) : 0;

			if (got <= 0)
				return -EBADF;
			n += (size_t)got;
		}
		if (p.complete)
			return (ssize_t)n;
	}
}

static inline bool reads(struct spool_reader *r, struct rd want)
{
	uint8_t *buf = malloc(ANSWER_CAP);
	ssize_t n = read_all(r, buf, ANSWER_CAP);
	bool same = n >= 0 && rd_eq(want, buf, (size_t)n);

	free(buf);
	return same;
}

static inline bool is_readable(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	return poll(&p, 1, 0) == 1;
}

#endif
