/*
 * test_spool_threads.c - one producer and many readers, as threads
 */
#include <pthread.h>

#include "tests/unit/spool_fixture.h"

enum { READERS = 8, PIECE = 777, CROWD = 6, ROUNDS = 60, KEYS = 4 };

struct reading {
	struct fixture *f;
	struct spool_reader *reader;
	int want;			/* 0: the whole answer; else what its wait says */
	bool right;
	pthread_t thread;
};

static void *read_thread(void *arg)
{
	struct reading *g = arg;
	struct spool_progress p;

	if (g->want)
		g->right = spool_wait(g->reader, g->f->answer_n, UINT64_MAX / 2, &p) == g->want;
	else
		g->right = reads(g->reader, fixture_answer(g->f));
	return NULL;
}

/* READERS that share one answer, each in a thread; the writer is the caller's. */
static struct spool_writer *start(struct fixture *f, struct reading g[READERS], int want)
{
	struct spool_writer *w = NULL, *none;

	for (size_t i = 0; i < READERS; i++) {
		g[i] = (struct reading){ .f = f, .want = want };
		get(f, key_of(1, 1), &g[i].reader, i ? &none : &w);
		if (pthread_create(&g[i].thread, NULL, read_thread, &g[i]) != 0)
			abort();
	}
	return w;
}

static void join(struct reading g[READERS])
{
	for (size_t i = 0; i < READERS; i++) {
		pthread_join(g[i].thread, NULL);
		CHECK("right", g[i].right);
		spool_close(g[i].reader);
	}
}

TEST(all_read_while_it_grows)
{
	AUTO(fixture) struct fixture *f = fixture_new(10);
	struct reading g[READERS];
	struct spool_writer *w = start(f, g, 0);
	struct rd all = fixture_answer(f), piece;
	struct spool_counters c;

	while (rd_take(&all, all.n < PIECE ? all.n : PIECE, &piece) && piece.n)
		CHECK_EQ("write", spool_write(w, piece), 0);
	CHECK_EQ("finish", spool_finish(w), 0);
	join(g);
	c = spool_count(f->spool);
	CHECK_EQ("one produced", c.misses, 1);
	CHECK_EQ("the others shared", c.coalesced, READERS - 1);
	CHECK_EQ("once", c.bytes_produced, f->answer_n);
}

TEST(all_are_told_of_a_failure)
{
	AUTO(fixture) struct fixture *f = fixture_new(10);
	struct reading g[READERS];
	struct spool_writer *w = start(f, g, -EIO);

	CHECK_EQ("some", spool_write(w, rd_of(f->answer, 2000)), 0);
	spool_fail(w);
	join(g);
}

TEST(all_are_told_of_a_purge)
{
	AUTO(fixture) struct fixture *f = fixture_new(10);
	struct reading g[READERS];
	struct spool_writer *w = start(f, g, -ESTALE);
	struct spool_key key = key_of(1, 1);

	CHECK_EQ("purged", spool_purge(f->spool, key.domain), 1);
	join(g);
	spool_fail(w);
}

TEST(each_can_be_interrupted)
{
	AUTO(fixture) struct fixture *f = fixture_new(10);
	struct reading g[READERS];
	struct spool_writer *w = start(f, g, -ECANCELED);

	for (size_t i = 0; i < READERS; i++)
		spool_interrupt(g[i].reader);
	join(g);
	spool_fail(w);
}

/* A producer that waits for something else is woken when nobody wants its answer any more. */
static void *produce_until_abandoned(void *arg)
{
	struct spool_writer *w = arg;
	uint64_t until;
	struct pollfd p = { .fd = spool_writer_event(w), .events = POLLIN };

	while (!spool_abandoned(w, UINT64_MAX - 1, &until))
		poll(&p, 1, -1);
	spool_fail(w);
	return NULL;
}

TEST(the_producer_is_woken)
{
	AUTO(fixture) struct fixture *f = fixture_new(10);
	struct spool_reader *r;
	struct spool_writer *w;
	pthread_t thread;

	get(f, key_of(1, 1), &r, &w);
	if (pthread_create(&thread, NULL, produce_until_abandoned, w) != 0)
		abort();
	spool_close(r);
	pthread_join(thread, NULL);
	CHECK_EQ("nothing is left", spool_count(f->spool).entries, 0);
}

/* ---- a crowd that does everything at once, with too little room ---- */

struct crowd {
	struct fixture *f;
	unsigned seed;
	unsigned whole, wrong;
	pthread_t thread;
};

static unsigned chance(struct crowd *c, unsigned n)
{
	c->seed = c->seed * 1103515245 + 12345;
	return (c->seed >> 16) % n;
}

static void crowd_write(struct crowd *c, struct spool_writer *w)
{
	struct rd all = fixture_answer(c->f), piece;
	bool fails = !chance(c, 4);
	uint64_t until;
	int r = 0;

	while (r == 0 && rd_take(&all, all.n < PIECE ? all.n : PIECE, &piece) && piece.n) {
		r = spool_write(w, piece);
		if (spool_abandoned(w, UINT64_MAX - 1, &until) || (fails && !chance(c, 4)))
			r = -ECANCELED;
	}
	r < 0 ? spool_fail(w) : (void)spool_finish(w);
}

static void *crowd_client(void *arg)
{
	struct crowd *c = arg;
	AUTO(spool_reader) struct spool_reader *r = NULL;
	struct spool_key key = key_of(1, chance(c, KEYS));
	struct spool_writer *w;

	if (spool_get(c->f->spool, &key, OBJECT_SHA1, &r, &w) < 0) {
		c->wrong++;
		return NULL;
	}
	if (w)
		crowd_write(c, w);
	if (chance(c, 3) == 0)
		return NULL;			/* a client that goes away */
	for (int tries = 0; tries < 2; tries++) {
		AUTO(mem) uint8_t *buf = malloc(ANSWER_CAP);
		ssize_t n = read_all(r, buf, ANSWER_CAP);

		if (n >= 0) {
			c->whole++;
			c->wrong += !rd_eq(fixture_answer(c->f), buf, (size_t)n);
			return NULL;
		}
		c->wrong += n != -EIO && n != -ESTALE;
		if (spool_retry(&r, &w) < 0)
			return NULL;
		if (w)
			crowd_write(c, w);
	}
	return NULL;
}

static void *crowd_thread(void *arg)
{
	struct crowd *c = arg;

	for (unsigned i = 0; i < ROUNDS; i++) {
		struct spool_key key = key_of(1, 0);

		crowd_client(c);
		if (!chance(c, 20))
			spool_purge(c->f->spool, key.domain);
	}
	return NULL;
}

TEST(crowd)
{
	AUTO(fixture) struct fixture *f = fixture_new(3);
	struct crowd c[CROWD];
	struct spool_counters count;
	unsigned whole = 0;

	for (unsigned i = 0; i < CROWD; i++) {
		c[i] = (struct crowd){ .f = f, .seed = i + 1 };
		if (pthread_create(&c[i].thread, NULL, crowd_thread, &c[i]) != 0)
			abort();
	}
	for (unsigned i = 0; i < CROWD; i++) {
		pthread_join(c[i].thread, NULL);
		CHECK_EQ("no wrong answer", c[i].wrong, 0);
		whole += c[i].whole;
	}
	CHECK("some were served", whole > 0);
	count = spool_count(f->spool);
	CHECK("within its room", count.bytes <= f->limits.bytes);
	CHECK_EQ("what it counts is there", count.bytes, fixture_files(f, false) * f->answer_n);
	CHECK_EQ("entries", count.entries, fixture_files(f, false));
}
