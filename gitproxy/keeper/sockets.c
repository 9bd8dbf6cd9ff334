/*
 * sockets.c - what a libcurl handle waits for, beside a socket of ours
 *
 * Theory of operation: libcurl names its sockets when they change (it is mostly one) and is told which
 * of them is ready. Left to wait by itself it would ask the kernel about each of them once more before
 * it reads.
 */
#include "gitproxy/keeper/sockets.h"

#include <stdbool.h>

static int on_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *mark)
{
	struct sockets *s = arg;
	short events = (short)((what & CURL_POLL_IN ? POLLIN : 0) | (what & CURL_POLL_OUT ? POLLOUT : 0));
	size_t i = 1;

	(void)easy, (void)mark;
	while (i < s->n && s->fd[i].fd != fd)
		i++;
	if (what == CURL_POLL_REMOVE) {
		if (i < s->n)
			s->fd[i] = s->fd[--s->n];
		return 0;
	}
	if (i == SOCKETS_MAX)
		return -1;
	s->fd[i] = (struct pollfd){ .fd = fd, .events = events };
	s->n += i == s->n;
	return 0;
}

void sockets_init(struct sockets *s, CURLM *multi)
{
	*s = (struct sockets){ .multi = multi, .fd = { { .fd = -1 } }, .n = 1 };
	curl_multi_setopt(multi, CURLMOPT_SOCKETFUNCTION, on_socket);
	curl_multi_setopt(multi, CURLMOPT_SOCKETDATA, s);
}

void sockets_wait(struct sockets *s, unsigned ms)
{
	long due = -1;

	curl_multi_timeout(s->multi, &due);
	if (due >= 0 && due < (long)ms)
		ms = (unsigned)due;
	if (poll(s->fd, s->n, (int)ms) < 0)
		for (size_t i = 0; i < s->n; i++)
			s->fd[i].revents = 0;
}

/* An error is found by whoever reads or writes. */
static int ready_for(struct pollfd p)
{
	bool broken = p.revents & (POLLERR | POLLHUP);
	int r = (p.revents & POLLIN) || (broken && (p.events & POLLIN)) ? CURL_CSELECT_IN : 0;

	if ((p.revents & POLLOUT) || (broken && (p.events & POLLOUT)))
		r |= CURL_CSELECT_OUT;
	return r ? r : CURL_CSELECT_ERR;
}

/* From the end: where one goes, one that had its turn takes its place. */
CURLMcode sockets_turn(struct sockets *s, int *ret_running)
{
	CURLMcode m = CURLM_OK;
	bool any = false;

	for (size_t i = s->n; --i && m == CURLM_OK;) {
		struct pollfd p = i < s->n ? s->fd[i] : (struct pollfd){ 0 };

		if (!p.revents)
			continue;
		s->fd[i].revents = 0;
		any = true;
		m = curl_multi_socket_action(s->multi, p.fd, ready_for(p), ret_running);
	}
	return any ? m : curl_multi_socket_action(s->multi, CURL_SOCKET_TIMEOUT, 0, ret_running);
}
