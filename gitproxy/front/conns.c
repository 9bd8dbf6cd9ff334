/*
 * conns.c - the connections there are: limits, and revocation
 *
 * Theory of operation: a fixed table under one lock. A descriptor is in the table exactly while its
 * thread runs, so shutdown() never meets a number that was reused. Counts per sandbox are an array
 * over all ids: no search, no allocation.
 */
#include "gitproxy/front/conns.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "base/thread.h"
#include "gitproxy/deadline.h"
#include "gitproxy/shares.h"

struct slot { int fd; uint16_t sandbox; };	/* fd -1: free */

struct conns {
	pthread_mutex_t lock;
	pthread_cond_t ended;			/* some transfer has */
	struct slot slot[CONNS_MAX];
	struct shares open;			/* CONNS_MAX */
	uint16_t transfers[UINT16_MAX + 1], tunnels[UINT16_MAX + 1];
};

int conns_new(struct conns **ret)
{
	struct conns *c = calloc(1, sizeof(*c));

	if (!c)
		return -ENOMEM;
	pthread_mutex_init(&c->lock, NULL);
	thread_cond_init(&c->ended);
	c->open.max = CONNS_MAX;
	for (size_t i = 0; i < CONNS_MAX; i++)
		c->slot[i].fd = -1;
	*ret = c;
	return 0;
}

int conns_enter(struct conns *c, uint16_t sandbox, int fd, uint32_t limit)
{
	int ticket = -EMFILE;

	pthread_mutex_lock(&c->lock);
	if (c->open.of[sandbox] < limit && shares_take(&c->open, sandbox)) {
		for (ticket = 0; c->slot[ticket].fd >= 0; ticket++)
			;			/* there is one: there are as many as shares */
		c->slot[ticket] = (struct slot){ fd, sandbox };
	}
	pthread_mutex_unlock(&c->lock);
	return ticket;
}

void conns_leave(struct conns *c, int ticket)
{
	pthread_mutex_lock(&c->lock);
	shares_give(&c->open, c->slot[ticket].sandbox);
	c->slot[ticket].fd = -1;
	pthread_mutex_unlock(&c->lock);
}

unsigned conns_close(struct conns *c, uint16_t sandbox)
{
	unsigned n = 0;

	pthread_mutex_lock(&c->lock);
	/* A reload may ask for every sandbox there is: most have none. */
	for (size_t i = 0; c->open.of[sandbox] && i < CONNS_MAX; i++) {
		if (c->slot[i].fd < 0 || c->slot[i].sandbox != sandbox)
			continue;
		shutdown(c->slot[i].fd, SHUT_RDWR);
		n++;
	}
	pthread_mutex_unlock(&c->lock);
	return n;
}

bool conns_transfer_begin(struct conns *c, uint16_t sandbox, uint32_t limit, unsigned wait_ms)
{
	uint64_t until = deadline_in(wait_ms);
	bool ok;
	int r = 0;

	pthread_mutex_lock(&c->lock);
	while (c->transfers[sandbox] >= limit && !r)
		r = thread_cond_wait(&c->ended, &c->lock, until);
	ok = c->transfers[sandbox] < limit;
	c->transfers[sandbox] += ok;
	pthread_mutex_unlock(&c->lock);
	return ok;
}

void conns_transfer_end(struct conns *c, uint16_t sandbox)
{
	pthread_mutex_lock(&c->lock);
	c->transfers[sandbox]--;
	pthread_cond_broadcast(&c->ended);
	pthread_mutex_unlock(&c->lock);
}

bool conns_tunnel_begin(struct conns *c, uint16_t sandbox, uint32_t limit)
{
	bool ok;

	pthread_mutex_lock(&c->lock);
	ok = c->tunnels[sandbox] < limit;
	c->tunnels[sandbox] += ok;
	pthread_mutex_unlock(&c->lock);
	return ok;
}

void conns_tunnel_end(struct conns *c, uint16_t sandbox)
{
	pthread_mutex_lock(&c->lock);
	c->tunnels[sandbox]--;
	pthread_mutex_unlock(&c->lock);
}
