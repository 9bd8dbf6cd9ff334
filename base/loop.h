/*
 * loop.h - one epoll loop, one thread
 *
 * Theory of operation: a watch is embedded in its owner; the callback finds the owner with
 * container_of(). A callback may free any owner after loop_del() on its watches: events of deleted
 * watches that are already fetched are skipped. Each call does bounded work (level-triggered). Time
 * comes from loop_now() only: one clock read per wake-up. Timers are embedded as well.
 */
#ifndef BASE_LOOP_H
#define BASE_LOOP_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/epoll.h>

#include "base/mem.h"

struct loop;
struct watch;
struct timer;
typedef void loop_fn(struct loop *l, struct watch *w, uint32_t events);
typedef void timer_fn(struct loop *l, struct timer *t);

struct watch {
	int fd;			/* borrowed; loop_del() leaves it as it is */
	uint32_t events;
	loop_fn *fn;
	struct watch *prev, *next;	/* private; zero-initialise */
};

struct timer {
	uint64_t due_ms;	/* 0: not armed */
	timer_fn *fn;
	int heap_index;		/* private; zero-initialise */
};

int loop_new(struct loop **ret);		/* 0 or -errno */
void loop_free(struct loop *l);
DEFINE_AUTO(loop, struct loop *, loop_free)

/* w->fd, w->events, w->fn filled by the caller. 0 or -errno. */
int loop_add(struct loop *l, struct watch *w);
int loop_mod(struct loop *l, struct watch *w, uint32_t events);
void loop_del(struct loop *l, struct watch *w);	/* harmless when not added; does not close the fd */

int loop_arm(struct loop *l, struct timer *t, uint64_t in_ms);	/* (re)arm; t->fn filled */
void loop_disarm(struct loop *l, struct timer *t);

uint64_t loop_now(const struct loop *l);	/* CLOCK_MONOTONIC, ms, at the last wake-up */
uint64_t loop_wall_ms(void);			/* CLOCK_REALTIME, ms */

/* SIGTERM and SIGINT end loop_run() with 0. SIGHUP calls on_hup if set. Others stay default. */
int loop_signals(struct loop *l, void (*on_hup)(struct loop *l));
int loop_run(struct loop *l);			/* until loop_stop() or a signal; 0 or -errno */
void loop_stop(struct loop *l);

#endif
