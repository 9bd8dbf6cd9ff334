/*
 * test_flight.c - one question upstream for all who ask it at about the same time
 *
 * Upstream and the clock are this file's: an answer is what `say` says, and takes as long as is written there.
 */
#include "gitproxy/mirror/flight.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "gitproxy/deadline.h"
#include "tests/unit/check.h"

static const struct mirror_domain domain, other = { .id = { 1 } };
static uint64_t skew;			/* how far this clock is ahead */
static uint64_t stands;			/* what it shows; 0: it goes */
static struct {
	enum reason reason;
	const char *body;
	uint64_t takes, claims;		/* ms; bytes that it is to have for the table */
	unsigned until_shared;		/* it is answered when so many share it */
	_Atomic unsigned asked;
	_Atomic bool hold, hold_named;
	size_t large;			/* so many bytes instead of the body, which nobody keeps */
	_Atomic unsigned said;		/* answers that are whole, or not taken */
	_Atomic bool hold_said;
} say;

static uint64_t real_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

uint64_t deadline_now(void)
{
	return stands ? stands : real_now() + skew;
}

uint64_t deadline_in(uint64_t ms)
{
	return real_now() + ms;			/* what is waited for is waited for in earnest */
}

void ask_upstream(const struct ask *q, struct ask_outcome *ret)
{
	struct flight_answer *a = q->owner;

	*ret = (struct ask_outcome){ .asked = deadline_now() };
	say.asked++;
	while (say.hold || *(volatile uint32_t *)&a->shared < say.until_shared || (say.hold_named && q->repo))
		sched_yield();
	skew += say.takes;
	ret->reason = say.reason;
	if (say.large && q->sink(q->owner, rd_of("", say.large)) < 0)
		ret->reason = REASON_INTERNAL_ERROR;
	if (q->repo)				/* that is what is said */
		q->sink(q->owner, rd_str(q->repo));
	else if (!say.large && say.body && q->sink(q->owner, rd_str(say.body)) < 0)
		ret->reason = REASON_INTERNAL_ERROR;
	a->n += say.claims;
	say.said++;
	while (say.hold_said)
		sched_yield();
}

/* In place of the C library's: large answers are memory that the test has no need for. */
ssize_t write(int fd, const void *p, size_t n)
{
	return say.large ? (ssize_t)n : (ssize_t)syscall(SYS_write, fd, p, n);
}

/* What is said for this key: 0 to 9. The body is compared with what say says. */
static int take(struct flights *f, uint8_t key, unsigned window, uint64_t patience)
{
	const uint8_t bytes[FLIGHT_KEY] = { key };
	const struct ask q = { .domain = &domain, .total_ms = patience };
	AUTO(mem) uint8_t *text = NULL;
	struct flight_answer a;
	int r = flight_take(f, bytes, window, &q, &a);

	if (!r && a.outcome.reason == REASON_NONE && say.body && !say.claims) {
		CHECK_EQ("it can be read", flight_read(&a, &text), 0);
		CHECK("it is what upstream said", a.n == strlen(say.body) && !memcmp(text, say.body, a.n));
	}
	if (!r)
		CHECK_EQ("its reason", a.outcome.reason, say.reason);
	flight_done(&a);
	return r;
}

static struct flights *begin(void)
{
	struct flights *f;

	memset(&say, 0, sizeof(say));
	say.body = "an answer";
	CHECK_EQ("a table", flights_new(&f), 0);
	return f;
}

TEST(window)
{
	static const struct { const char *what; uint64_t takes, after; unsigned window, asked; } rows[] = {
		{ "at once", 0, 0, 1000, 1 },
		{ "as old as it may be", 0, 900, 1000, 1 },
		{ "older", 0, 1001, 1000, 2 },
		{ "its age counts from the question", 800, 300, 1000, 2 },
		{ "a wider window", 800, 300, 60000, 1 },
		{ "none", 0, 1, 0, 2 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct flights *f = begin();

		say.takes = rows[i].takes;
		CHECK_EQ(rows[i].what, take(f, 1, rows[i].window, 60000), 0);
		skew += rows[i].after;
		CHECK_EQ(rows[i].what, take(f, 1, rows[i].window, 60000), 0);
		CHECK_EQ(rows[i].what, say.asked, rows[i].asked);
		flights_free(f);
	}
}

TEST(refusals_are_not_kept_long)
{
	struct flights *f = begin();

	say.reason = REASON_UPSTREAM_UNTRUSTED;
	take(f, 1, 60000, 60000);
	skew += FLIGHT_REFUSED_MS;
	take(f, 1, 60000, 60000);
	CHECK_EQ("passed on", say.asked, 1);
	skew++;
	say.reason = REASON_NONE;
	take(f, 1, 60000, 60000);
	CHECK_EQ("asked again, however wide the window", say.asked, 2);
	skew += 50000;
	take(f, 1, 60000, 60000);
	CHECK_EQ("an answer is kept", say.asked, 2);
	flights_free(f);
}

TEST(keys_are_apart)
{
	struct flights *f = begin();

	for (uint8_t key = 1; key <= 3; key++)
		take(f, key, 1000, 60000);
	CHECK_EQ("each was asked", say.asked, 3);
	flights_free(f);
}

TEST(narrow_questions_leave_wide_answers)
{
	struct flights *f = begin();

	take(f, 1, 60000, 60000);
	skew += 5000;
	take(f, 2, 0, 60000);
	skew += 5000;
	take(f, 1, 60000, 60000);
	CHECK_EQ("the first is still of use", say.asked, 2);
	skew += 60000;
	take(f, 1, 60000, 60000);
	CHECK_EQ("not for ever", say.asked, 3);
	flights_free(f);
}

TEST(memory_is_bounded)
{
	struct flights *f = begin();

	say.claims = FLIGHTS_KEPT_MAX / 2;
	for (uint8_t key = 1; key <= 3; key++)
		take(f, key, 60000, 60000);
	take(f, 3, 60000, 60000);
	CHECK_EQ("the youngest is kept", say.asked, 3);
	take(f, 1, 60000, 60000);
	CHECK_EQ("the oldest is not", say.asked, 4);
	flights_free(f);
}

static enum reason reason_of(struct flights *f, uint8_t key)
{
	const uint8_t bytes[FLIGHT_KEY] = { key };
	const struct ask q = { .domain = &domain, .total_ms = 60000 };
	struct flight_answer a;

	CHECK_EQ("an answer, or why not", flight_take(f, bytes, 1000, &q, &a), 0);
	flight_done(&a);
	return a.outcome.reason;
}

TEST(one_answer_is_bounded)
{
	static const struct { const char *what; size_t n; enum reason want; } rows[] = {
		{ "as large as may be", FLIGHT_BYTES_MAX, REASON_NONE },
		{ "a byte more", FLIGHT_BYTES_MAX + 1, REASON_INTERNAL_ERROR },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct flights *f = begin();

		say.large = rows[i].n;
		CHECK_EQ(rows[i].what, reason_of(f, 1), rows[i].want);
		flights_free(f);
	}
	say.large = 0;
}

/* All have one descriptor of the same file: nobody may write into what the others read. */
TEST(answers_are_for_reading)
{
	const uint8_t key[FLIGHT_KEY] = { 1 };
	const struct ask q = { .domain = &domain, .total_ms = 60000 };
	struct flights *f = begin();
	struct flight_answer a;

	CHECK_EQ("an answer", flight_take(f, key, 1000, &q, &a), 0);
	CHECK("not written", pwrite(a.file, "x", 1, 0) < 0 && errno == EPERM);
	CHECK("not cut", ftruncate(a.file, 0) < 0 && errno == EPERM);
	CHECK("not longer", ftruncate(a.file, 4096) < 0 && errno == EPERM);
	CHECK("not unsealed", fcntl(a.file, F_ADD_SEALS, F_SEAL_FUTURE_WRITE) < 0 && errno == EPERM);
	flight_done(&a);
	flights_free(f);
}

/* Whoever still reads an answer keeps its memory, so it stays counted, though nobody else may have it any more. */
TEST(held_answers_are_counted)
{
	const uint8_t key[FLIGHT_KEY] = { 1 };
	const struct ask q = { .domain = &domain, .total_ms = 60000 };
	struct flights *f = begin();
	struct flight_answer a, b;
	struct rd text;

	CHECK_EQ("taken", flight_take(f, key, 1000, &q, &a), 0);
	CHECK_EQ("mapped", flight_map(&a, &text), 0);
	CHECK("it is what upstream said", rd_eq_str(text, say.body));
	skew += 5000;
	CHECK_EQ("another", flight_take(f, key, 1000, &q, &b), 0);
	CHECK_EQ("both are counted", flights_bytes(f), 2 * strlen(say.body));
	CHECK("the first is still there", rd_eq_str(text, say.body));
	flight_done(&a);
	skew += 5000;
	flight_done(&b);
	take(f, 2, 1000, 60000);
	CHECK_EQ("neither is", flights_bytes(f), strlen(say.body));
	flights_free(f);
}

TEST(a_refusal_is_shared)
{
	struct flights *f = begin();

	say.reason = REASON_UPSTREAM_DENIED;
	say.body = NULL;
	take(f, 1, 1000, 60000);
	take(f, 1, 1000, 60000);
	CHECK_EQ("asked once", say.asked, 1);
	flights_free(f);
}

TEST(forgotten)
{
	struct flights *f = begin();

	take(f, 1, 60000, 60000);
	flights_forget(f, other.id);
	take(f, 1, 60000, 60000);
	CHECK_EQ("of another domain", say.asked, 1);
	flights_forget(f, domain.id);
	take(f, 1, 60000, 60000);
	CHECK_EQ("asked again", say.asked, 2);
	flights_free(f);
}

TEST(kept_for_later)
{
	const struct ask q = { .domain = &domain, .total_ms = 60000, .keep_ms = 5000 };
	const uint8_t key[FLIGHT_KEY] = { 1 };
	struct flights *f = begin();
	struct flight_answer a;

	flight_take(f, key, 10, &q, &a);
	flight_done(&a);
	skew += 1000;
	take(f, 2, 10, 60000);			/* whatever is out of date goes */
	say.asked = 0;
	flight_take(f, key, 5000, &q, &a);
	flight_done(&a);
	CHECK_EQ("there still", say.asked, 0);
	flight_take(f, key, 10, &q, &a);
	flight_done(&a);
	CHECK_EQ("but too old", say.asked, 1);
	flights_free(f);
}

TEST(full)
{
	static const uint8_t key[2] = { 1, 2 };
	const struct ask q = { .domain = &domain, .total_ms = 60000 };
	struct flights *f = begin();
	struct flight_answer a;
	int r = 0;

	say.body = NULL;
	for (uint32_t i = 0; i <= FLIGHTS_MAX && !r; i++) {
		uint8_t each[FLIGHT_KEY] = { key[0], key[1], (uint8_t)i, (uint8_t)(i >> 8) };

		r = flight_take(f, each, 60000, &q, &a);
		flight_done(&a);
		CHECK_EQ("room", r, i < FLIGHTS_MAX ? 0 : -ENOMEM);
	}
	flights_free(f);
}

/* ---- threads ---- */

enum { CROWD = 16 };

static void *one_of_many(void *f)
{
	return (void *)(intptr_t)take(f, 1, 1000, 60000);
}

TEST(one_question_for_all)
{
	struct flights *f = begin();
	pthread_t id[CROWD];
	void *r;

	say.until_shared = CROWD - 1;		/* else the leader never comes back */
	for (int i = 0; i < CROWD; i++)
		pthread_create(&id[i], NULL, one_of_many, f);
	for (int i = 0; i < CROWD; i++) {
		pthread_join(id[i], &r);
		CHECK_EQ("each has it", (intptr_t)r, 0);
	}
	CHECK_EQ("asked once", say.asked, 1);
	flights_free(f);
}

struct one { struct flights *f; uint8_t key; enum reason reason; };

static void *reason_main(void *arg)
{
	struct one *o = arg;

	o->reason = reason_of(o->f, o->key);
	return NULL;
}

/* What is on its way counts, whoever it is for; when it is gone there is room again. */
TEST(all_answers_are_bounded)
{
	enum { FIT = FLIGHTS_BYTES_MAX / FLIGHT_BYTES_MAX };
	struct flights *f = begin();
	struct one one[FIT + 1];
	pthread_t id[FIT + 1];

	say.large = FLIGHT_BYTES_MAX;
	say.hold_said = true;
	for (uint8_t i = 0; i <= FIT; i++) {
		one[i] = (struct one){ f, i, REASON_NONE };
		pthread_create(&id[i], NULL, reason_main, &one[i]);
		while (say.said <= i)		/* one after the other: who is too much is known */
			sched_yield();
	}
	say.hold_said = false;
	for (int i = 0; i <= FIT; i++) {
		pthread_join(id[i], NULL);
		CHECK_EQ(i < FIT ? "room" : "none", one[i].reason, i < FIT ? REASON_NONE : REASON_INTERNAL_ERROR);
	}
	CHECK_EQ("again", reason_of(f, FIT + 1), REASON_NONE);
	say.large = 0;
	flights_free(f);
}

TEST(too_old_on_its_way)
{
	struct flights *f = begin();
	pthread_t id[2];
	void *r;

	say.hold = true;
	for (unsigned i = 0; i < 2; i++) {
		pthread_create(&id[i], NULL, one_of_many, f);
		while (say.asked <= i)		/* the second asks as well */
			sched_yield();
		skew += 1001;
	}
	say.hold = false;
	for (unsigned i = 0; i < 2; i++) {
		pthread_join(id[i], &r);
		CHECK_EQ("each has one", (intptr_t)r, 0);
	}
	flights_free(f);
}

TEST(patience)
{
	struct flights *f = begin();
	pthread_t leader;
	void *r;

	say.hold = true;
	pthread_create(&leader, NULL, one_of_many, f);
	while (!say.asked)
		sched_yield();
	CHECK_EQ("who cannot wait", take(f, 1, 1000, 1), -ETIMEDOUT);
	say.hold = false;
	pthread_join(leader, &r);
	CHECK_EQ("the leader", (intptr_t)r, 0);
	CHECK_EQ("asked once", say.asked, 1);
	flights_free(f);
}

/* ---- lists of references ---- */

#define LINE(id, name) "003d" id " " name "\n"
#define ID(c) c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c
#define MAIN(c) LINE(ID(c), "refs/heads/main")
#define NEXT(c) LINE(ID(c), "refs/heads/next")

/* A list; what is got for this key is compared with `want`. */
static void list(struct flights *f, uint8_t key, const struct mirror_domain *d, const char *said, const char *want)
{
	const uint8_t bytes[FLIGHT_KEY] = { key };
	const struct ask q = { .domain = d, .total_ms = 60000, .lists = true, .repo = said };
	AUTO(mem) uint8_t *text = NULL;
	struct flight_answer a;

	CHECK_EQ("an answer", flight_take(f, bytes, 60000, &q, &a), 0);
	CHECK_EQ("it can be read", flight_read(&a, &text), 0);
	CHECK(want, a.n == strlen(want) && !memcmp(text, want, a.n));
	flight_done(&a);
}

TEST(who_was_shown_the_new_is_not_shown_the_old)
{
	static const struct { const char *what, *old, *young; bool ends; } rows[] = {
		{ "another id", MAIN("a") "0000", MAIN("b") "0000", true },
		{ "another id of one", NEXT("a") MAIN("a") "0000", MAIN("b") NEXT("a") "0000", true },
		{ "the same", MAIN("a") NEXT("b") "0000", NEXT("b") MAIN("a") "0000", false },
		{ "more", MAIN("a") "0000", MAIN("a") NEXT("b") "0000", false },
		{ "less", MAIN("a") NEXT("b") "0000", NEXT("b") "0000", false },
		{ "nothing in common", MAIN("a") "0000", NEXT("b") "0000", false },
		{ "nothing at all", MAIN("a") "0000", "0000", false },
		{ "no list", MAIN("a") "0000", "000dERR main\n", false },
		{ "born", "0039unborn HEAD symref-target:refs/heads/main ----------\n0000", "0032" ID("a") " HEAD\n0000", true },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct flights *f = begin();

		list(f, 1, &domain, rows[i].old, rows[i].old);
		skew++;
		list(f, 3, &other, MAIN("c") "0000", MAIN("c") "0000");
		skew++;
		list(f, 2, &domain, rows[i].young, rows[i].young);
		list(f, 1, &domain, "0000", rows[i].ends ? "0000" : rows[i].old);
		list(f, 2, &domain, "0000", rows[i].young);
		list(f, 3, &other, "0000", MAIN("c") "0000");
		CHECK_EQ(rows[i].what, say.asked, rows[i].ends ? 4 : 3);
		flights_free(f);
	}
}

/* Nobody can tell which came first. */
TEST(asked_for_at_once_neither_is_shared)
{
	struct flights *f = begin();

	stands = deadline_now();
	list(f, 1, &domain, MAIN("a") "0000", MAIN("a") "0000");
	list(f, 2, &domain, MAIN("b") "0000", MAIN("b") "0000");
	stands = 0;
	list(f, 1, &domain, MAIN("b") "0000", MAIN("b") "0000");
	list(f, 2, &domain, MAIN("b") "0000", MAIN("b") "0000");
	CHECK_EQ("each again", say.asked, 4);
	flights_free(f);
}

static void *list_late(void *f)
{
	list(f, 1, &domain, MAIN("a") "0000", MAIN("a") "0000");
	return NULL;
}

/* It is the older question's, whenever its answer comes; who asked then has it. */
TEST(an_old_answer_that_comes_late)
{
	const struct ask q = { .domain = &domain, .total_ms = 60000, .lists = true };
	const uint8_t key[FLIGHT_KEY] = { 2 };
	struct flights *f = begin();
	struct flight_answer a;
	pthread_t id;

	say.hold_named = true;
	say.body = MAIN("b") "0000";
	pthread_create(&id, NULL, list_late, f);
	while (!say.asked)
		sched_yield();
	skew += 10;
	CHECK_EQ("the young one", flight_take(f, key, 60000, &q, &a), 0);
	flight_done(&a);
	say.hold_named = false;
	pthread_join(id, NULL);
	list(f, 1, &domain, MAIN("b") "0000", MAIN("b") "0000");
	CHECK_EQ("asked again", say.asked, 3);
	flights_free(f);
}
