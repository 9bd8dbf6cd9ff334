/*
 * ssh_stream.h - a connection to git over ssh, as the keeper has it
 */
#ifndef GITPROXY_KEEPER_SSH_STREAM_H
#define GITPROXY_KEEPER_SSH_STREAM_H

#include "gitproxy/keeper/ssh_spawner.h"
#include "gitproxy/pkt.h"

enum { SSH_SAID = 2048 };

struct ssh_stream {
	int in, out, err, life;		/* ours; -1: closed */
	int front;			/* whoever asked; it must be there. Borrowed */
	uint64_t until;			/* deadline of the next byte; the caller moves it */
	char said[SSH_SAID];		/* the end of what ssh and the server said on standard error; peer bytes */
	size_t said_n;
	uint8_t pkt[PKT_MAX];
};

/* Have the spawner start it. 0 or -errno; then ssh_stream_done(), in both cases. */
int ssh_stream_open(struct ssh_stream *s, int spawner, const struct ssh_start *q, int front);
/* Kills it, if it still runs. */
void ssh_stream_done(struct ssh_stream *s);

/*
 * Each -ETIMEDOUT (`until`), -ECANCELED (the front has gone), -EPIPE (ssh ended or closed its side) or
 * another -errno.
 */
int ssh_stream_write(struct ssh_stream *s, struct rd bytes);
/* The next packet; ret->data is in s->pkt, behind its head, and valid until the next call. -EBADMSG: it is none. */
int ssh_stream_pkt(struct ssh_stream *s, struct pkt *ret);
/* That packet as it came, its head included. */
struct rd ssh_stream_raw(const struct ssh_stream *s, const struct pkt *pkt);
/* No more is sent. Wait until it has ended, and hear the rest of what it says: 0 and how it ended. */
int ssh_stream_end(struct ssh_stream *s, uint64_t deadline, struct ssh_ended *ret);

#endif
