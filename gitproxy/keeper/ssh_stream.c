/*
 * ssh_stream.c - a connection to git over ssh, as the keeper has it
 *
 * Theory of operation: three pipes and a socket that stands for the request (ssh_spawner.h). Whatever
 * is waited for, what comes on standard error is taken meanwhile, so that a server that talks there does
 * not stop, and of it the end is kept: the last words are those that tell why. Packets are read whole
 * into one buffer.
 */
#include "gitproxy/keeper/ssh_stream.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>

#include "gitproxy/deadline.h"

enum { PIPE_BYTES = 1 << 20, HEAR = 512 };

static int pipe_of(bool to_child, int *ret_ours, int *ret_theirs)
{
	int ends[2];

	if (pipe2(ends, O_CLOEXEC) < 0)
		return -errno;
	*ret_ours = ends[to_child];
	*ret_theirs = ends[!to_child];
	fcntl(*ret_ours, F_SETPIPE_SZ, PIPE_BYTES);	/* or what it has */
	return fcntl(*ret_ours, F_SETFL, O_NONBLOCK) < 0 ? -errno : 0;
}

int ssh_stream_open(struct ssh_stream *s, int spawner, const struct ssh_start *q, int front)
{
	int theirs[4] = { -1, -1, -1, -1 }, r;

	s->in = s->out = s->err = s->life = -1;
	s->front = front;
	s->said_n = 0;
	r = pipe_of(true, &s->in, &theirs[SSH_IN]);
	if (!r)
		r = pipe_of(false, &s->out, &theirs[SSH_OUT]);
	if (!r)
		r = pipe_of(false, &s->err, &theirs[SSH_ERR]);
	if (!r)
		r = ipc_pair(&s->life, &theirs[SSH_LIFE]);
	if (!r)
		r = ipc_send(spawner, MSG_SSH, 0, q, sizeof(*q), theirs, ARRAY_SIZE(theirs));
	for (size_t i = 0; i < ARRAY_SIZE(theirs); i++)
		if (theirs[i] >= 0)
			close(theirs[i]);
	return r;
}

static void fd_close(int *fd)
{
	if (*fd >= 0)
		close(STEAL_FD(*fd));
}

void ssh_stream_done(struct ssh_stream *s)
{
	fd_close(&s->in);
	fd_close(&s->out);
	fd_close(&s->err);
	fd_close(&s->life);
}

/* ---- standard error ---- */

static void keep_end(struct ssh_stream *s, const char *p, size_t n)
{
	size_t over = s->said_n + n > sizeof(s->said) ? s->said_n + n - sizeof(s->said) : 0;

	memmove(s->said, s->said + over, s->said_n - over);
	s->said_n -= over;
	memcpy(s->said + s->said_n, p, n);
	s->said_n += n;
}

static void hear(struct ssh_stream *s)
{
	char text[HEAR];
	ssize_t n = read(s->err, text, sizeof(text));

	if (n > 0)
		keep_end(s, text, (size_t)n);
	else if (!n || (errno != EAGAIN && errno != EINTR))
		fd_close(&s->err);
}

/* ---- bytes ---- */

static int wait_for(struct ssh_stream *s, int fd, short events)
{
	for (;;) {
		struct pollfd p[] = { { .fd = fd, .events = events }, { .fd = s->err, .events = POLLIN },
				      { .fd = s->front } };
		int r = deadline_wait_all(p, ARRAY_SIZE(p), s->until);

		if (r < 0)
			return r;
		if (p[1].revents)
			hear(s);
		if (p[2].revents)
			return -ECANCELED;
		if (p[0].revents)
			return 0;
	}
}

int ssh_stream_write(struct ssh_stream *s, struct rd bytes)
{
	while (rd_left(&bytes)) {
		ssize_t n = write(s->in, bytes.p, bytes.n);
		int r = 0;

		if (n < 0 && errno == EAGAIN)
			r = wait_for(s, s->in, POLLOUT);
		else if (n < 0 && errno != EINTR)
			r = -errno;
		if (r < 0)
			return r;
		if (n > 0 && !rd_skip(&bytes, (size_t)n))
			return -EIO;
	}
	return 0;
}

static int read_all(struct ssh_stream *s, uint8_t *to, size_t n)
{
	while (n) {
		ssize_t got = read(s->out, to, n);
		int r = 0;

		if (!got)
			return -EPIPE;
		if (got < 0 && errno == EAGAIN)
			r = wait_for(s, s->out, POLLIN);
		else if (got < 0 && errno != EINTR)
			r = -errno;
		if (r < 0)
			return r;
		if (got > 0) {
			to += got;
			n -= (size_t)got;
		}
	}
	return 0;
}

int ssh_stream_pkt(struct ssh_stream *s, struct pkt *ret)
{
	size_t n;
	int r = read_all(s, s->pkt, PKT_HEAD);

	if (r < 0)
		return r;
	if (!pkt_head(s->pkt, &ret->type, &n))
		return -EBADMSG;
	ret->data = rd_of(s->pkt + PKT_HEAD, n);
	return read_all(s, s->pkt + PKT_HEAD, n);
}

struct rd ssh_stream_raw(const struct ssh_stream *s, const struct pkt *pkt)
{
	return rd_of(s->pkt, PKT_HEAD + pkt->data.n);
}

/* ---- the end ---- */

static int take_ended(struct ssh_stream *s, struct ssh_ended *ret)
{
	struct ipc_in in;
	int r = ipc_recv(s->life, &in);

	if (r < 0)
		return r;
	r = in.head.type == MSG_SSH_ENDED && in.head.length == sizeof(*ret) ? 0 : -EPROTO;
	if (!r)
		memcpy(ret, in.body, sizeof(*ret));
	ipc_in_done(&in);
	return r;
}

int ssh_stream_end(struct ssh_stream *s, uint64_t deadline, struct ssh_ended *ret)
{
	int r;

	fd_close(&s->in);
	fd_close(&s->out);			/* what it still writes breaks */
	s->until = deadline;
	r = wait_for(s, s->life, POLLIN);
	while (s->err >= 0 && !wait_for(s, s->err, POLLIN))
		;				/* wait_for() hears until its end */
	return r < 0 ? r : take_ended(s, ret);
}
