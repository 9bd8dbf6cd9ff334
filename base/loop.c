/*
 * loop.c - one epoll loop, one thread
 *
 * Theory of operation: epoll_wait() fetches a batch of events, each pointing at its watch. Deleting
 * a watch blanks its events in the rest of the batch, so an owner can be freed from any callback.
 * Timers are a binary heap of pointers ordered by due time; index 0 is unused so that a zeroed
 * timer is one that is not armed. SIGTERM, SIGINT and (when wanted) SIGHUP arrive through a
 * signalfd that is a watch like any other.
 * Invariants: a timer that arms itself again runs at the next wake-up at the earliest, so timers
 * cannot starve descriptors; the clock is read once per wake-up.
 */
#include "base/loop.h"

#include <errno.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <time.h>

enum { LOOP_BATCH = 64, LOOP_TIMERS_MAX = 1 << 20 };

struct loop {
	int epfd;
	bool stop;
	uint64_t now;
	void (*on_hup)(struct loop *l);
	struct watch signals;
	struct watch *watches;			/* all that are added */
	struct epoll_event batch[LOOP_BATCH];	/* data.ptr NULL: its watch was deleted */
	int batch_at, batch_n;
	struct timer **heap;			/* 1 .. n_timers */
	int n_timers, cap_timers;
};

static uint64_t clock_ms(clockid_t id)
{
	struct timespec ts;

	clock_gettime(id, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

uint64_t loop_wall_ms(void)
{
	return clock_ms(CLOCK_REALTIME);
}

uint64_t loop_now(const struct loop *l)
{
	return l->now;
}

int loop_new(struct loop **ret)
{
	AUTO(loop) struct loop *l = calloc(1, sizeof(*l));

	if (!l)
		return -ENOMEM;
	l->signals.fd = -1;
	l->epfd = epoll_create1(EPOLL_CLOEXEC);
	if (l->epfd < 0)
		return -errno;
	l->now = clock_ms(CLOCK_MONOTONIC);
	*ret = STEAL(l);
	return 0;
}

void loop_free(struct loop *l)
{
	if (!l)
		return;
	/* Whoever outlives the loop may still call loop_del() or loop_disarm(). */
	while (l->watches)
		loop_del(l, l->watches);
	while (l->n_timers)
		loop_disarm(l, l->heap[l->n_timers]);
	if (l->signals.fd >= 0)
		close(l->signals.fd);
	if (l->epfd >= 0)
		close(l->epfd);
	free(l->heap);
	free(l);
}

/* A watch in a loop has itself or a neighbour before it; one that is not added has no `prev`. */
static bool watch_added(const struct watch *w)
{
	return w->prev != NULL;
}

int loop_add(struct loop *l, struct watch *w)
{
	struct epoll_event ev = { .events = w->events, .data.ptr = w };

	if (epoll_ctl(l->epfd, EPOLL_CTL_ADD, w->fd, &ev) < 0)
		return -errno;
	w->next = l->watches;
	w->prev = w;
	if (w->next)
		w->next->prev = w;
	l->watches = w;
	return 0;
}

int loop_mod(struct loop *l, struct watch *w, uint32_t events)
{
	struct epoll_event ev = { .events = events, .data.ptr = w };

	if (w->events == events)
		return 0;
	if (epoll_ctl(l->epfd, EPOLL_CTL_MOD, w->fd, &ev) < 0)
		return -errno;
	w->events = events;
	return 0;
}

void loop_del(struct loop *l, struct watch *w)
{
	if (!watch_added(w))
		return;
	epoll_ctl(l->epfd, EPOLL_CTL_DEL, w->fd, NULL);
	if (l->watches == w)
		l->watches = w->next;
	else
		w->prev->next = w->next;
	if (w->next)
		w->next->prev = l->watches == w->next ? w->next : w->prev;
	w->prev = w->next = NULL;
	for (int i = l->batch_at; i < l->batch_n; i++)
		if (l->batch[i].data.ptr == w)
			l->batch[i].data.ptr = NULL;
}

static void heap_put(struct loop *l, int i, struct timer *t)
{
	l->heap[i] = t;
	t->heap_index = i;
}

/* Move the timer at i up or down to where the heap is ordered again. */
static void heap_settle(struct loop *l, int i)
{
	struct timer *t = l->heap[i];
	int child;

	for (; i > 1 && l->heap[i / 2]->due_ms > t->due_ms; i /= 2)
		heap_put(l, i, l->heap[i / 2]);
	for (; (child = 2 * i) <= l->n_timers; i = child) {
		if (child < l->n_timers && l->heap[child + 1]->due_ms < l->heap[child]->due_ms)
			child++;
		if (l->heap[child]->due_ms >= t->due_ms)
			break;
		heap_put(l, i, l->heap[child]);
	}
	heap_put(l, i, t);
}

static int heap_grow(struct loop *l)
{
	int cap = l->cap_timers ? l->cap_timers * 2 : 64;
	struct timer **heap;

	if (l->n_timers + 1 < l->cap_timers)
		return 0;
	if (cap > LOOP_TIMERS_MAX)
		return -ENOSPC;
	heap = realloc(l->heap, (size_t)cap * sizeof(*heap));
	if (!heap)
		return -ENOMEM;
	l->heap = heap;
	l->cap_timers = cap;
	return 0;
}

int loop_arm(struct loop *l, struct timer *t, uint64_t in_ms)
{
	int r;

	if (!t->heap_index) {
		r = heap_grow(l);
		if (r < 0)
			return r;
		heap_put(l, ++l->n_timers, t);
	}
	t->due_ms = l->now + (in_ms ? in_ms : 1);
	heap_settle(l, t->heap_index);
	return 0;
}

void loop_disarm(struct loop *l, struct timer *t)
{
	struct timer *last;
	int i = t->heap_index;

	if (!i)
		return;
	last = l->heap[l->n_timers--];
	if (last != t) {
		heap_put(l, i, last);
		heap_settle(l, i);
	}
	t->heap_index = 0;
	t->due_ms = 0;
}

static void run_timers(struct loop *l)
{
	while (l->n_timers && l->heap[1]->due_ms <= l->now && !l->stop) {
		struct timer *t = l->heap[1];

		loop_disarm(l, t);
		t->fn(l, t);		/* may free t */
	}
}

static int wait_ms(const struct loop *l)
{
	uint64_t now = clock_ms(CLOCK_MONOTONIC);
	uint64_t due = l->n_timers ? l->heap[1]->due_ms : UINT64_MAX;

	if (due == UINT64_MAX)
		return -1;
	return due <= now ? 0 : due - now > 3600000 ? 3600000 : (int)(due - now);
}

static void run_batch(struct loop *l)
{
	for (l->batch_at = 0; l->batch_at < l->batch_n && !l->stop;) {
		struct epoll_event *ev = &l->batch[l->batch_at++];
		struct watch *w = ev->data.ptr;

		if (w)
			w->fn(l, w, ev->events);
	}
	l->batch_at = l->batch_n = 0;
}

int loop_run(struct loop *l)
{
	int n;

	l->stop = false;
	while (!l->stop) {
		n = epoll_wait(l->epfd, l->batch, LOOP_BATCH, wait_ms(l));
		if (n < 0 && errno != EINTR)
			return -errno;
		l->batch_n = n < 0 ? 0 : n;
		l->now = clock_ms(CLOCK_MONOTONIC);
		run_batch(l);
		run_timers(l);
	}
	return 0;
}

void loop_stop(struct loop *l)
{
	l->stop = true;
}

static void on_signal(struct loop *l, struct watch *w, uint32_t events)
{
	struct signalfd_siginfo si;

	(void)events;
	if (read(w->fd, &si, sizeof(si)) != (ssize_t)sizeof(si))
		return;
	if (si.ssi_signo == SIGHUP)
		l->on_hup(l);
	else
		loop_stop(l);
}

int loop_signals(struct loop *l, void (*on_hup)(struct loop *l))
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	if (on_hup)
		sigaddset(&set, SIGHUP);
	l->on_hup = on_hup;
	if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
		return -errno;
	l->signals.fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (l->signals.fd < 0)
		return -errno;
	l->signals.events = EPOLLIN;
	l->signals.fn = on_signal;
	return loop_add(l, &l->signals);
}
