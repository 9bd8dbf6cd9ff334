/*
 * test_spool.c - answers as files: what is kept, for how long, and what readers are told
 */
#include "gitproxy/mirror/spool_files.h"

#include <signal.h>
#include <sys/resource.h>

#include "tests/unit/spool_fixture.h"

TEST(kept)
{
	AUTO(fixture) struct fixture *f = fixture_new(10);
	AUTO(spool_reader) struct spool_reader *r = NULL;
	struct spool_writer *w;
	struct spool_counters c;
	struct spool_key key = key_of(1, 1);
	char name[SPOOL_NAME];
	struct stat st;

	produce(f, key);
	CHECK("found", !get(f, key, &r, &w));
	CHECK_EQ("as such", spool_reader_source(r), SPOOL_HIT);
	CHECK("whole", reads(r, fixture_answer(f)));
	CHECK("for reading only", pwrite(spool_reader_fd(r), "x", 1, 0) < 0);
	spool_name(&key, name);
	CHECK("its name", fstatat(f->dir, name, &st, 0) == 0);
	CHECK_EQ("its mode", st.st_mode & 0777, 0600);
	CHECK_EQ("nothing else", fixture_files(f, false), 1);
	c = spool_count(f->spool);
	CHECK_EQ("hits", c.hits, 1);
	CHECK_EQ("misses", c.misses, 1);
	CHECK_EQ("coalesced", c.coalesced, 0);
	CHECK_EQ("produced", c.bytes_produced, f->answer_n);
	CHECK_EQ("bytes", c.bytes, f->answer_n);
	CHECK("another request", !is_kept(f, key_of(1, 2)));
	CHECK("another domain", !is_kept(f, key_of(2, 1)));
}

TEST(growth)
{
	AUTO(fixture) struct fixture *f = fixture_new(10);
	AUTO(spool_reader) struct spool_reader *r = NULL;
	AUTO(spool_reader) struct spool_reader *other = NULL;
	struct spool_writer *w, *none;
	struct spool_progress p = { 0 };

	CHECK("new", get(f, key_of(1, 1), &r, &w));
	CHECK("shared", !get(f, key_of(1, 1), &other, &none));
	CHECK_EQ("as such", spool_reader_source(other), SPOOL_COALESCED);
	CHECK_EQ("nothing yet", spool_wait(other, 0, 0, &p), -ETIMEDOUT);
	CHECK_EQ("a line", spool_write(w, rd_of(f->answer, 13)), 0);
	CHECK_EQ("seen", spool_wait(other, 0, 0, &p), 0);
	CHECK("so much", p.size == 13 && !p.complete);
	CHECK_EQ("half a head", spool_write(w, rd_of(f->answer + 13, 2)), 0);
	CHECK_EQ("not seen", spool_wait(other, 13, 0, &p), -ETIMEDOUT);
	CHECK_EQ("the rest", spool_write(w, rd_of(f->answer + 15, f->answer_n - 15)), 0);
	CHECK_EQ("seen", spool_wait(other, 13, 0, &p), 0);
	CHECK("all, but not known to be", p.size == f->answer_n && !p.complete);
	CHECK_EQ("finish", spool_finish(w), 0);
	CHECK_EQ("the end", spool_wait(other, f->answer_n, 0, &p), 0);
	CHECK("complete", p.complete && p.size == f->answer_n);
	CHECK("both read it", reads(r, fixture_answer(f)) && reads(other, fixture_answer(f)));
}

TEST(error_before_the_first_byte)
{
	AUTO(fixture) struct fixture *f = fixture_new(10);
	AUTO(spool_reader) struct spool_reader *a = NULL;
	AUTO(spool_reader) struct spool_reader *b = NULL;
	struct spool_writer *w, *none, *again;
	struct spool_progress p;

	get(f, key_of(1, 1), &a, &w);
	get(f, key_of(1, 1), &b, &none);
	CHECK_EQ("not while it runs", spool_retry(&a, &again), -EIO);
	CHECK_EQ("refused", spool_write(w, rd_str("0008ERR ")), -EBADMSG);
	CHECK_EQ("sticky", spool_write(w, fixture_answer(f)), -EBADMSG);
	CHECK("why", spool_writer_answer(w)->remote);
	CHECK_EQ("not complete", spool_finish(w), -EBADMSG);
	CHECK_EQ("told", spool_wait(a, 0, 0, &p), -EIO);
	CHECK_EQ("told", spool_wait(b, 0, 0, &p), -EIO);
	CHECK_EQ("again", spool_retry(&a, &w), 0);
	CHECK("it produces", w != NULL);
	CHECK_EQ("again", spool_retry(&b, &none), 0);
	CHECK("it shares", !none && spool_reader_source(b) == SPOOL_COALESCED);
	spool_fail(w);
	CHECK_EQ("told", spool_wait(a, 0, 0, &p), -EIO);
	CHECK_EQ("not a third time", spool_retry(&a, &w), -EIO);
	CHECK_EQ("not a third time", spool_retry(&b, &w), -EIO);
	CHECK_EQ("nothing is left", fixture_files(f, false), 0);
	CHECK_EQ("counted", spool_count(f->spool).failed, 2);
}

TEST(error_after_it)
{
	AUTO(fixture) struct fixture *f = fixture_new(10);
	AUTO(spool_reader) struct spool_reader *seen = NULL;
	AUTO(spool_reader) struct spool_reader *slow = NULL;
	struct spool_writer *w, *none;
	struct spool_progress p = { 0 };

	get(f, key_of(1, 1), &seen, &w);
	get(f, key_of(1, 1), &slow, &none);
	CHECK_EQ("some", spool_write(w, rd_of(f->answer, 2000)), 0);
	CHECK_EQ("seen", spool_wait(seen, 0, 0, &p), 0);
	CHECK_EQ("cut short", spool_finish(w), -EBADMSG);
	CHECK_EQ("no end", spool_wait(seen, p.size, 0, &p), -EIO);
	CHECK_EQ("not even of what is there", spool_wait(seen, 0, 0, &p), -EIO);
	CHECK_EQ("no retry", spool_retry(&seen, &w), -EIO);
	CHECK_EQ("who saw nothing may", spool_retry(&slow, &w), 0);
	CHECK("and produces", w != NULL);
	spool_fail(w);
}

TEST(negotiation_is_not_kept)
{
	AUTO(fixture) struct fixture *f = fixture_new(10);
	AUTO(spool_reader) struct spool_reader *r = NULL;
	struct rd round = rd_str("0014acknowledgments\n0008NAK\n0000");
	struct spool_writer *w;

	get(f, key_of(1, 1), &r, &w);
	CHECK_EQ("write", spool_write(w, round), 0);
	CHECK_EQ("complete", spool_finish(w), 0);
	CHECK("read", reads(r, round));
	CHECK("not found again", !is_kept(f, key_of(1, 1)));
	CHECK_EQ("no file", fixture_files(f, false), 0);
}

TEST(abandoned)
{
	AUTO(fixture) struct fixture *f = fixture_new(10);
	struct spool_reader *r;
	struct spool_writer *w, *none;
	uint64_t until, later;

	get(f, key_of(1, 1), &r, &w);
	CHECK("wanted", !spool_abandoned(w, UINT64_MAX - 1, &until) && until == UINT64_MAX);
	CHECK("quiet", !is_readable(spool_writer_event(w)));
	spool_close(r);
	CHECK("woken", is_readable(spool_writer_event(w)));
	CHECK("a grace", !spool_abandoned(w, 0, &until) && until != UINT64_MAX);
	CHECK("asked once", !is_readable(spool_writer_event(w)));
	CHECK("joined", !get(f, key_of(1, 1), &r, &none));
	CHECK("wanted again", !spool_abandoned(w, until + 1, &later) && later == UINT64_MAX);
	spool_close(r);
	CHECK("a new grace", !spool_abandoned(w, 0, &later) && later >= until);
	CHECK("over", spool_abandoned(w, later, &later));
	CHECK("nobody joins", get(f, key_of(1, 1), &r, &none));
	spool_fail(none);
	spool_fail(w);
	spool_close(r);
	CHECK_EQ("nothing is left", spool_count(f->spool).entries, 0);
}

TEST(quota)
{
	AUTO(fixture) struct fixture *f = fixture_new(2);
	AUTO(spool_reader) struct spool_reader *r = NULL;
	AUTO(spool_reader) struct spool_reader *last = NULL;
	struct spool_reader *s;
	struct spool_writer *w;

	produce(f, key_of(1, 1));
	produce(f, key_of(1, 2));
	CHECK("used", is_kept(f, key_of(1, 1)));
	produce(f, key_of(1, 3));
	CHECK_EQ("two fit", fixture_files(f, false), 2);
	CHECK("the used one stays", is_kept(f, key_of(1, 1)));
	CHECK("the other went", !is_kept(f, key_of(1, 2)));
	CHECK_EQ("counted", spool_count(f->spool).evicted, 1);
	CHECK_EQ("bytes", spool_count(f->spool).bytes, 2 * f->answer_n);

	get(f, key_of(1, 1), &r, &w);
	produce(f, key_of(1, 4));
	CHECK("one that is read stays", is_kept(f, key_of(1, 1)));
	CHECK("the other went", !is_kept(f, key_of(1, 3)));
	get(f, key_of(1, 4), &s, &w);
	spool_close(s);
	get(f, key_of(1, 5), &s, &w);
	CHECK_EQ("room", spool_write(w, rd_of(f->answer, 2000)), 0);
	CHECK_EQ("for one more", spool_write(w, rd_of(f->answer + 2000, f->answer_n - 2000)), 0);
	CHECK_EQ("and no more", spool_finish(w), 0);
	CHECK_EQ("two files", fixture_files(f, false), 2);
	get(f, key_of(1, 6), &last, &w);		/* both others are read */
	CHECK_EQ("no room", spool_write(w, rd_of(f->answer, 2000)), -ENOSPC);
	CHECK_EQ("failed", spool_finish(w), -ENOSPC);
	CHECK_EQ("two files", fixture_files(f, false), 2);
	spool_close(s);
}

TEST(one_must_not_displace_all)
{
	AUTO(fixture) struct fixture *f = fixture_new(3);
	AUTO(spool_reader) struct spool_reader *r = NULL;
	struct spool_key key = key_of(1, 1);
	struct spool_reader *none;
	struct spool_writer *w;

	spool_free(f->spool);
	f->limits.answer_bytes = f->answer_n - 1;
	fixture_open(f);
	get(f, key_of(1, 1), &r, &w);
	CHECK_EQ("too large", spool_write(w, fixture_answer(f)), -ENOSPC);
	spool_fail(w);
	CHECK_EQ("it is not begun again", spool_get(f->spool, &key, OBJECT_SHA1, &none, &w), -ENOSPC);
	CHECK("neither is given", !none && !w);
	spool_close(r);
	get(f, key_of(1, 2), &r, &w);			/* another */
	spool_fail(w);
}

TEST(entries)
{
	AUTO(fixture) struct fixture *f = fixture_new(10);
	AUTO(spool_reader) struct spool_reader *r = NULL;
	struct spool_key third = key_of(1, 3);
	struct spool_reader *none;
	struct spool_writer *w, *w2;

	spool_free(f->spool);
	f->limits.entries = 1;
	fixture_open(f);
	produce(f, key_of(1, 1));
	get(f, key_of(1, 2), &r, &w);
	CHECK_EQ("all in use", spool_get(f->spool, &third, OBJECT_SHA1, &none, &w2), -ENOSPC);
	CHECK("neither is given", !none && !w2);
	spool_fail(w);
}

TEST(purge)
{
	AUTO(fixture) struct fixture *f = fixture_new(10);
	AUTO(spool_reader) struct spool_reader *reading = NULL;
	AUTO(spool_reader) struct spool_reader *waiting = NULL;
	struct spool_key key = key_of(1, 0);
	struct spool_writer *w, *none;
	struct spool_progress p;
	uint64_t until;

	produce(f, key_of(1, 1));
	produce(f, key_of(1, 2));
	produce(f, key_of(2, 1));
	get(f, key_of(1, 1), &reading, &none);
	get(f, key_of(1, 3), &waiting, &w);
	CHECK_EQ("purged", spool_purge(f->spool, key.domain), 3);
	CHECK_EQ("files", fixture_files(f, false), 1);
	CHECK("producer is woken", is_readable(spool_writer_event(w)));
	CHECK("told", spool_abandoned(w, 0, &until));
	CHECK_EQ("refused", spool_write(w, fixture_answer(f)), -ECANCELED);
	CHECK_EQ("readers are told", spool_wait(waiting, 0, 0, &p), -ESTALE);
	CHECK_EQ("of what was complete too", spool_wait(reading, 0, 0, &p), -ESTALE);
	CHECK_EQ("failed", spool_finish(w), -ECANCELED);
	CHECK_EQ("no retry", spool_retry(&waiting, &w), -EIO);
	CHECK("gone", !is_kept(f, key_of(1, 1)));
	CHECK("another domain stays", is_kept(f, key_of(2, 1)));
}

/* Purged between its last byte and its end: it does not come back. */
TEST(purge_at_the_end)
{
	AUTO(fixture) struct fixture *f = fixture_new(10);
	AUTO(spool_reader) struct spool_reader *r = NULL;
	struct spool_key key = key_of(1, 1);
	struct spool_writer *w;

	get(f, key, &r, &w);
	CHECK_EQ("write", spool_write(w, fixture_answer(f)), 0);
	CHECK_EQ("purged", spool_purge(f->spool, key.domain), 1);
	spool_finish(w);
	CHECK_EQ("no file", fixture_files(f, false), 0);
	CHECK("not found", !is_kept(f, key));
}

static void touch(struct fixture *f, struct spool_key key, time_t when)
{
	struct timespec t[2] = { { .tv_sec = when }, { .tv_sec = when } };
	char name[SPOOL_NAME];

	spool_name(&key, name);
	CHECK_EQ("touch", utimensat(f->dir, name, t, 0), 0);
}

static void put(struct fixture *f, const char *name, mode_t mode)
{
	int fd = openat(f->dir, name, O_WRONLY | O_CREAT | O_EXCL, 0600);

	CHECK(name, fd >= 0 && write(fd, "x", 1) == 1 && fchmod(fd, mode) == 0);
	close(fd);
}

TEST(restart)
{
	AUTO(fixture) struct fixture *f = fixture_new(2);
	struct spool_key open_to_all = key_of(1, 4), link = key_of(1, 5);
	char name[SPOOL_NAME];

	produce(f, key_of(1, 1));
	produce(f, key_of(1, 2));
	touch(f, key_of(1, 1), 2000);
	touch(f, key_of(1, 2), 1000);
	spool_free(f->spool);
	put(f, "new-0000000000000007", 0600);
	put(f, "readme", 0600);
	spool_name(&open_to_all, name);
	put(f, name, 0644);
	spool_name(&link, name);
	CHECK_EQ("a link", symlinkat("/etc/passwd", f->dir, name), 0);
	fixture_open(f);
	CHECK_EQ("what is not ours alone went", fixture_files(f, false), 3);
	CHECK_EQ("a file that is not of ours stays", faccessat(f->dir, "readme", F_OK, 0), 0);
	CHECK_EQ("bytes", spool_count(f->spool).bytes, 2 * f->answer_n);
	produce(f, key_of(1, 3));
	CHECK("the younger stays", is_kept(f, key_of(1, 1)));
	CHECK("the older went", !is_kept(f, key_of(1, 2)));
}

TEST(restart_with_less_room)
{
	AUTO(fixture) struct fixture *f = fixture_new(3);

	for (unsigned i = 1; i <= 3; i++) {
		produce(f, key_of(1, i));
		touch(f, key_of(1, i), i);
	}
	spool_free(f->spool);
	f->limits.bytes = f->answer_n;
	fixture_open(f);
	CHECK_EQ("one fits", fixture_files(f, false), 1);
	CHECK("the youngest", is_kept(f, key_of(1, 3)));
	spool_free(f->spool);
	f->limits.bytes = 10;
	fixture_open(f);
	CHECK_EQ("none fits", fixture_files(f, false), 0);
}

TEST(damaged_meanwhile)
{
	AUTO(fixture) struct fixture *f = fixture_new(10);
	struct spool_key cut = key_of(1, 1), gone = key_of(1, 2);
	char name[SPOOL_NAME];
	int fd;

	produce(f, cut);
	produce(f, gone);
	spool_name(&cut, name);
	fd = openat(f->dir, name, O_WRONLY);
	CHECK_EQ("cut", ftruncate(fd, 5), 0);
	close(fd);
	spool_name(&gone, name);
	CHECK_EQ("removed", unlinkat(f->dir, name, 0), 0);
	CHECK("a cut one is not used", !is_kept(f, cut));
	CHECK("nor one that is gone", !is_kept(f, gone));
	produce(f, cut);
	CHECK("made anew", is_kept(f, cut));
	CHECK_EQ("bytes", spool_count(f->spool).bytes, f->answer_n);
}

/* The disk refuses: here a limit on the size of files. */
TEST(disk_full)
{
	AUTO(fixture) struct fixture *f = fixture_new(10);
	AUTO(spool_reader) struct spool_reader *r = NULL;
	struct spool_writer *w;
	struct spool_progress p;
	struct rlimit old, small;
	int error;

	getrlimit(RLIMIT_FSIZE, &old);
	small = old;
	small.rlim_cur = 1000;
	signal(SIGXFSZ, SIG_IGN);
	get(f, key_of(1, 1), &r, &w);
	setrlimit(RLIMIT_FSIZE, &small);
	error = spool_write(w, fixture_answer(f));
	setrlimit(RLIMIT_FSIZE, &old);
	CHECK_EQ("refused", error, -EFBIG);
	CHECK_EQ("and not kept", spool_finish(w), -EFBIG);
	CHECK_EQ("told", spool_wait(r, 0, 0, &p), -EIO);
	CHECK_EQ("no file", fixture_files(f, false), 0);
	CHECK_EQ("still on the disk while it is open", spool_count(f->spool).bytes, f->answer_n);
	spool_close(STEAL(r));
	CHECK_EQ("no bytes", spool_count(f->spool).bytes, 0);
}
