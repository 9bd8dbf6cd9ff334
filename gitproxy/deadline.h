/*
 * deadline.h - blocking calls that end in time
 *
 * A deadline is a moment of CLOCK_MONOTONIC in ms. Used by the threads of the front and of the
 * keeper: every read or write on a socket waits here first.
 */
#ifndef GITPROXY_DEADLINE_H
#define GITPROXY_DEADLINE_H

#include <stdint.h>

uint64_t deadline_now(void);
uint64_t deadline_in(uint64_t ms);
/* Wait for events (or HUP, ERR) on fd. 0, -ETIMEDOUT, or -errno. */
int deadline_wait(int fd, short events, uint64_t deadline);
/*
 * The same, while another descriptor must not hang up: -ECONNRESET when `alive` was closed or shut
 * down by its peer or by us.
 */
int deadline_wait_alive(int fd, short events, int alive, uint64_t deadline);

/* Wait for the events of any of them; their revents tell. 0, -ETIMEDOUT, or -errno. */
struct pollfd;
int deadline_wait_all(struct pollfd *p, unsigned n, uint64_t deadline);
/* Wait until one of two can be read, or hangs up. */
int deadline_wait_either(int a, int b, uint64_t deadline);

#endif
