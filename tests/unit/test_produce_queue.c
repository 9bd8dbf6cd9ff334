/*
 * test_produce_queue.c - whose answer is produced next
 *
 * The clock of what waits is this file's, and fast: a look is some milliseconds.
 */
#include "gitproxy/mirror/produce_queue.h"

#include <time.h>
#include <unistd.h>

#include "gitproxy/deadline.h"
#include "gitproxy/mirror/produce.h"
#include "tests/unit/check.h"

enum { HOUR = 3600 * 1000, FASTER = 50, PLACES = 4, PENDING = -1, LOOKS = 100 };
enum { A = 11, B = 22, C = 33, D = 65535 };		/* sandboxes */

static _Atomic uint64_t skew;

static uint64_t real_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

uint64_t deadline_now(void)
{
	return real_now() + skew;
}

uint64_t deadline_in(uint64_t ms)
{
	return real_now() + (ms == PRODUCE_WAIT_MS ? HOUR : ms / FASTER);	/* a slow machine is not what ends it */
}

struct waiter {
	struct produce_queue *q;
	uint16_t sandbox;
	pthread_t thread;
	_Atomic unsigned looks;
	_Atomic bool unwanted;
	_Atomic int result;		/* PENDING, or what produce_queue_enter() said */
};

static bool is_unwanted(void *owner)
{
	struct waiter *w = owner;

	w->looks++;
	return w->unwanted;
}

static void *wait_main(void *arg)
{
	struct waiter *w = arg;

	w->result = produce_queue_enter(w->q, w->sandbox, is_unwanted, w);
	return NULL;
}

/* It has asked, been told to wait, and looked again since: or it has its answer. */
static void look_on(const struct waiter *w)
{
	unsigned before = w->looks;

	while (w->result == PENDING && w->looks < before + 2)
		usleep(100);
}

/* Returns when it has its place, or waits for one. */
static void come(struct produce_queue *q, struct waiter *w, uint16_t sandbox)
{
	*w = (struct waiter){ .q = q, .sandbox = sandbox, .result = PENDING };
	CHECK_EQ("a thread", pthread_create(&w->thread, NULL, wait_main, w), 0);
	look_on(w);
}

/* What it was told; PENDING if it looks in vain. */
static int ended(struct waiter *w)
{
	unsigned before = w->looks;
	int result;

	while (w->result == PENDING && w->looks < before + LOOKS)
		usleep(100);
	result = w->result;
	w->unwanted = true;
	pthread_join(w->thread, NULL);
	return result;
}

#define ENTERED(what, w) CHECK_EQ(what, ended(w), true)
#define WAITS(what, w) \
	do { \
		look_on(w); \
		CHECK_EQ(what, (w)->result, PENDING); \
	} while (0)

static struct produce_queue *queue(unsigned places)
{
	static struct produce_queue q;

	memset(&q, 0, sizeof(q));
	produce_queue_init(&q, places);
	return &q;
}

TEST(nobody_has_the_last_place)
{
	struct produce_queue *q = queue(PLACES);
	struct waiter a[PLACES], b;

	for (int i = 0; i < PLACES; i++)
		come(q, &a[i], A);
	for (int i = 0; i < PLACES - 1; i++)
		ENTERED("all but one are for whoever comes", &a[i]);
	WAITS("the last is not for the same", &a[PLACES - 1]);
	come(q, &b, B);
	ENTERED("another comes past", &b);
	produce_queue_leave(q, B);
	WAITS("and leaves it for the next", &a[PLACES - 1]);
	produce_queue_leave(q, A);
	ENTERED("one of its own", &a[PLACES - 1]);
}

TEST(who_has_fewest_goes_first)
{
	struct produce_queue *q = queue(PLACES);
	struct waiter in[PLACES], a, b, d;
	const uint16_t who[PLACES] = { A, A, B, C };

	for (int i = 0; i < PLACES; i++) {
		come(q, &in[i], who[i]);
		ENTERED("there is room", &in[i]);
	}
	come(q, &a, A);
	come(q, &b, B);
	come(q, &d, D);
	WAITS("full", &a);
	WAITS("full", &b);
	produce_queue_leave(q, C);
	ENTERED("who has none", &d);
	WAITS("who has two", &a);
	WAITS("who has one", &b);
	produce_queue_leave(q, D);
	ENTERED("then who has one", &b);
	WAITS("who has two", &a);
	produce_queue_leave(q, B);
	ENTERED("then who has two", &a);
}

TEST(of_equals_whose_turn_is_longest_ago)
{
	struct produce_queue *q = queue(2);
	struct waiter in[2], a, b, c;

	come(q, &in[0], B);
	ENTERED("room", &in[0]);
	produce_queue_leave(q, B);
	come(q, &in[0], A);
	ENTERED("room", &in[0]);
	produce_queue_leave(q, A);
	come(q, &in[0], C);
	come(q, &in[1], D);
	ENTERED("room", &in[0]);
	ENTERED("room", &in[1]);
	come(q, &a, A);
	come(q, &b, B);
	come(q, &c, A);
	WAITS("full", &c);
	produce_queue_leave(q, C);
	ENTERED("it came later, and had its turn earlier", &b);
	WAITS("it came first", &a);
	produce_queue_leave(q, D);
	ENTERED("of the same who came first", &a);
	WAITS("who came last", &c);
	produce_queue_leave(q, A);
	ENTERED("at last", &c);
}

TEST(who_is_not_wanted_leaves)
{
	struct produce_queue *q = queue(2);
	struct waiter a[3], b;

	for (int i = 0; i < 3; i++)
		come(q, &a[i], A);
	ENTERED("room", &a[0]);
	WAITS("the last place", &a[1]);
	a[1].unwanted = true;
	CHECK_EQ("has no place", ended(&a[1]), false);
	come(q, &b, B);
	ENTERED("room", &b);
	produce_queue_leave(q, A);
	ENTERED("who came behind it", &a[2]);
	produce_queue_leave(q, A);
	a[0] = (struct waiter){ .q = q, .sandbox = A, .unwanted = true };
	CHECK("not even a free place", !produce_queue_enter(q, A, is_unwanted, &a[0]));
}

TEST(nobody_waits_for_ever)
{
	struct produce_queue *q = queue(2);
	struct waiter a[2];

	come(q, &a[0], A);
	ENTERED("room", &a[0]);
	come(q, &a[1], A);
	WAITS("the last place", &a[1]);
	skew = HOUR;
	CHECK_EQ("gives up", ended(&a[1]), false);
	skew = 0;
}
