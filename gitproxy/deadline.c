/*
 * deadline.c - blocking calls that end in time
 */
#include "gitproxy/deadline.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <time.h>

uint64_t deadline_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

uint64_t deadline_in(uint64_t ms)
{
	return deadline_now() + ms;
}

int deadline_wait_all(struct pollfd *p, unsigned n, uint64_t deadline)
{
	for (;;) {
		uint64_t now = deadline_now();
		uint64_t left = deadline > now ? deadline - now : 0;
		int r = poll(p, n, left > INT_MAX ? INT_MAX : (int)left);

		if (r > 0)
			return 0;
		if (r < 0 && errno != EINTR)
			return -errno;
		if (!left)
			return -ETIMEDOUT;
	}
}

int deadline_wait(int fd, short events, uint64_t deadline)
{
	struct pollfd p = { .fd = fd, .events = events };

	return deadline_wait_all(&p, 1, deadline);
}

int deadline_wait_alive(int fd, short events, int alive, uint64_t deadline)
{
	struct pollfd p[2] = { { .fd = fd, .events = events },
			       { .fd = alive, .events = POLLRDHUP } };
	int r = deadline_wait_all(p, 2, deadline);

	if (r < 0)
		return r;
	return p[1].revents ? -ECONNRESET : 0;
}

int deadline_wait_either(int a, int b, uint64_t deadline)
{
	struct pollfd p[2] = { { .fd = a, .events = POLLIN }, { .fd = b, .events = POLLIN } };

	return deadline_wait_all(p, 2, deadline);
}
