/*
 * test_loop.c - watches that are deleted from callbacks, timers, signals
 */
#include "tests/unit/check.h"

#include <signal.h>

#include "base/loop.h"

/* Two readable pipes whose owners free each other. */
struct side {
	struct watch w;
	struct side *other;
	int pipe[2];
};
static int side_calls;

static void side_free(struct loop *l, struct side *s)
{
	loop_del(l, &s->w);
	close(s->pipe[0]);
	close(s->pipe[1]);
	free(s);
}

static void side_on_event(struct loop *l, struct watch *w, uint32_t events)
{
	struct side *s = container_of(w, struct side, w);

	CHECK("readable", events & EPOLLIN);
	side_calls++;
	side_free(l, s->other);		/* its event is in the same batch */
	side_free(l, s);
	loop_stop(l);
}

static struct side *side_new(struct loop *l)
{
	struct side *s = calloc(1, sizeof(*s));

	CHECK_EQ("pipe", pipe(s->pipe), 0);
	CHECK_EQ("fill", write(s->pipe[1], "x", 1), 1);
	s->w = (struct watch){ .fd = s->pipe[0], .events = EPOLLIN, .fn = side_on_event };
	CHECK_EQ("add", loop_add(l, &s->w), 0);
	return s;
}

TEST(a_callback_may_free_any_owner)
{
	AUTO(loop) struct loop *l = NULL;
	struct side *a, *b;

	side_calls = 0;
	CHECK_EQ("new", loop_new(&l), 0);
	a = side_new(l);
	b = side_new(l);
	a->other = b;
	b->other = a;
	CHECK_EQ("run", loop_run(l), 0);
	CHECK_EQ("the other's event is gone", side_calls, 1);
}

TEST(deleting_twice_and_never_added)
{
	AUTO(loop) struct loop *l = NULL;
	struct watch never = { .fd = 0 };
	struct side *a, *b, *c;

	CHECK_EQ("new", loop_new(&l), 0);
	loop_del(l, &never);
	a = side_new(l);
	b = side_new(l);
	c = side_new(l);
	loop_del(l, &b->w);
	loop_del(l, &b->w);
	CHECK_EQ("descriptor stays", b->w.fd, b->pipe[0]);
	CHECK_EQ("add again", loop_add(l, &b->w), 0);
	loop_del(l, &a->w);
	loop_del(l, &c->w);
	side_free(l, a);
	side_free(l, b);
	side_free(l, c);
	CHECK_EQ("bad descriptor",
		 loop_add(l, &(struct watch){ .fd = 9999, .events = EPOLLIN }) < 0, true);
}

TEST(a_watch_may_outlive_the_loop)
{
	struct loop *l = NULL;
	struct side *a;
	struct timer t = { 0 };

	CHECK_EQ("new", loop_new(&l), 0);
	a = side_new(l);
	CHECK_EQ("arm", loop_arm(l, &t, 1000), 0);
	loop_free(l);
	CHECK("detached", a->w.prev == NULL && t.heap_index == 0);
	close(a->pipe[0]);
	close(a->pipe[1]);
	free(a);
}

enum { MANY = 200 };
static struct timer many[MANY];
static uint64_t last_due;
static int fired;

static void on_many(struct loop *l, struct timer *t)
{
	uint64_t due = (uint64_t)(t - many) / 20;	/* ten waves of twenty */

	CHECK("in order", due >= last_due);
	CHECK_EQ("not armed any more", t->due_ms, 0);
	last_due = due;
	fired++;
	(void)l;
}

static void on_end(struct loop *l, struct timer *t)
{
	(void)t;
	loop_stop(l);
}

TEST(timers_fire_in_order)
{
	AUTO(loop) struct loop *l = NULL;
	struct timer end = { .fn = on_end };

	CHECK_EQ("new", loop_new(&l), 0);
	memset(many, 0, sizeof(many));
	fired = 0;
	last_due = 0;
	for (int i = 0; i < MANY; i++) {
		struct timer *t = &many[i * 77 % MANY];		/* every one, out of order */

		t->fn = on_many;
		CHECK_EQ("arm", loop_arm(l, t, 10 + (uint64_t)(t - many) / 20), 0);
	}
	for (int i = 0; i < MANY; i += 2)
		loop_disarm(l, &many[i]);
	loop_disarm(l, &many[0]);
	for (int i = 1; i < MANY; i += 4) /* re-arming moves it to where it was */
		CHECK_EQ("re-arm", loop_arm(l, &many[i], 10 + (uint64_t)i / 20), 0);
	CHECK_EQ("arm", loop_arm(l, &end, 40), 0);
	CHECK_EQ("run", loop_run(l), 0);
	CHECK_EQ("every one that was left", fired, MANY / 2);
}

static int again_calls;

static void on_again(struct loop *l, struct timer *t)
{
	again_calls++;
	CHECK_EQ("arm", loop_arm(l, t, 0), 0);
}

static void on_pipe_stop(struct loop *l, struct watch *w, uint32_t events)
{
	(void)w;
	(void)events;
	if (again_calls > 3)
		loop_stop(l);
}

/* A timer of 0 ms that arms itself for ever leaves descriptors their turn. */
TEST(timers_do_not_starve_descriptors)
{
	AUTO(loop) struct loop *l = NULL;
	struct timer t = { .fn = on_again };
	struct side *s;

	again_calls = 0;
	CHECK_EQ("new", loop_new(&l), 0);
	s = side_new(l);
	s->w.fn = on_pipe_stop;
	CHECK_EQ("arm", loop_arm(l, &t, 0), 0);
	CHECK_EQ("run", loop_run(l), 0);
	side_free(l, s);
	loop_disarm(l, &t);
}

static int hups;

static void on_hup(struct loop *l)
{
	(void)l;
	hups++;
	raise(SIGTERM);
}

TEST(signals)
{
	AUTO(loop) struct loop *l = NULL;

	CHECK_EQ("new", loop_new(&l), 0);
	CHECK_EQ("signals", loop_signals(l, on_hup), 0);
	raise(SIGHUP);
	CHECK_EQ("run", loop_run(l), 0);
	CHECK_EQ("hup came first", hups, 1);
}

static void on_mod(struct loop *l, struct watch *w, uint32_t events)
{
	if (events & EPOLLOUT) {
		CHECK_EQ("mod", loop_mod(l, w, EPOLLIN), 0);
		return;
	}
	loop_stop(l);
}

TEST(mod)
{
	AUTO(loop) struct loop *l = NULL;
	struct timer end = { .fn = on_end };
	int p[2];
	struct watch w = { .events = EPOLLOUT, .fn = on_mod };

	CHECK_EQ("new", loop_new(&l), 0);
	CHECK_EQ("pipe", pipe(p), 0);
	w.fd = p[1];
	CHECK_EQ("add", loop_add(l, &w), 0);
	CHECK_EQ("arm", loop_arm(l, &end, 20), 0);
	CHECK_EQ("run", loop_run(l), 0);
	CHECK_EQ("changed", w.events, EPOLLIN);
	loop_del(l, &w);
	close(p[0]);
	close(p[1]);
}
