/*
 * sockets.h - what a libcurl handle waits for, beside a socket of ours
 */
#ifndef GITPROXY_KEEPER_SOCKETS_H
#define GITPROXY_KEEPER_SOCKETS_H

#include <curl/curl.h>
#include <poll.h>
#include <stddef.h>

enum { SOCKETS_MAX = 9 };	/* ours, and attempts to connect; one more fails the transfer */

struct sockets {
	CURLM *multi;			/* borrowed */
	struct pollfd fd[SOCKETS_MAX];	/* [0] is ours: descriptor and events are the user's to set */
	size_t n;
};

/* multi tells s of its sockets from now on, for as long as it lives. */
void sockets_init(struct sockets *s, CURLM *multi);
/* Until a socket is ready, or libcurl has something to do, or that many ms are over. */
void sockets_wait(struct sockets *s, unsigned ms);
/* Let libcurl do what its sockets, or else the time, call for. */
CURLMcode sockets_turn(struct sockets *s, int *ret_running);

#endif
