/*
 * keeper_client.c - the front's side of the conversation with the keeper
 *
 * Theory of operation: see keeper_ipc.h. A socket pair is made for each request; the keeper gets
 * one end. Frames are datagrams, so a short or long one is recognised by its size alone.
 */
#include "gitproxy/keeper_client.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <openssl/crypto.h>

#include "gitproxy/deadline.h"

enum { SIGN_MS = 10000 };

/* Ask with `fds`, the keeper's end of a new pair among them at `at`. Returns our end. */
static int ask(int keeper, enum msg_type type, const void *body, size_t n, int *fds, size_t nfds,
	       size_t at)
{
	AUTO(fd) int ours = -1;
	AUTO(fd) int theirs = -1;
	int r = ipc_pair(&ours, &theirs);

	if (r < 0)
		return r;
	fds[at] = theirs;
	r = ipc_send(keeper, type, 0, body, n, fds, nfds);
	return r < 0 ? r : STEAL_FD(ours);
}

static int take_cert(struct ipc_in *in, struct keeper_leaf *ret)
{
	const struct keeper_cert *c = (const struct keeper_cert *)in->body;
	int r;

	if (in->head.type != MSG_CERT || in->head.length != sizeof(*c) || !keeper_cert_ok(c))
		return -EPROTO;
	if (c->result < 0)
		return c->result;
	if (in->fd[0] < 0)
		return -EPROTO;
	r = ipc_memfd_read(in->fd[0], KEEPER_KEY_MAX, &ret->key, &ret->key_len);
	if (r < 0)
		return r;
	memcpy(ret->der, c->der, c->der_len);
	ret->der_len = c->der_len;
	return 0;
}

int keeper_sign(int keeper, const char *name, struct keeper_leaf *ret)
{
	struct keeper_sign q = { 0 };
	AUTO(fd) int answer = -1;
	struct ipc_in in;
	int fds[1], r;

	*ret = (struct keeper_leaf){ 0 };
	if (!msg_text_set(q.name, sizeof(q.name), name))
		return -EINVAL;
	answer = ask(keeper, MSG_SIGN, &q, sizeof(q), fds, 1, 0);
	if (answer < 0)
		return answer;
	r = deadline_wait(answer, POLLIN, deadline_in(SIGN_MS));
	if (!r)
		r = ipc_recv(answer, &in);
	if (r < 0)
		return r;
	r = take_cert(&in, ret);
	ipc_in_done(&in);
	return r;
}

void keeper_leaf_done(struct keeper_leaf *l)
{
	if (l->key)
		OPENSSL_cleanse(l->key, l->key_len);
	free(l->key);
	l->key = NULL;
}

int keeper_open(int keeper, const struct keeper_open *o, int client, int body)
{
	int fds[3] = { [KEEPER_CLIENT] = client, [KEEPER_BODY] = body };

	return ask(keeper, MSG_OPEN, o, sizeof(*o), fds, body < 0 ? 2 : 3, KEEPER_ANSWER);
}

int keeper_talk(int keeper, int client, bool upgrade)
{
	struct keeper_talk q = { .upgrade = upgrade };
	int fds[2] = { [KEEPER_CLIENT] = client };

	return ask(keeper, MSG_OPEN_HTTP, &q, sizeof(q), fds, 2, KEEPER_ANSWER);
}

int keeper_ask(int talk, const struct keeper_text *text, size_t n)
{
	return send(talk, text, n, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 ? -errno : 0;
}

int keeper_put(int answer, enum keeper_frame_kind kind, struct rd data)
{
	struct keeper_end head = { .kind = kind };
	struct iovec iov[2] = {
		{ &head, kind == KEEPER_END ? sizeof(head) : sizeof(struct keeper_frame) },
		{ (void *)(uintptr_t)data.p, data.n },
	};
	struct msghdr mh = { .msg_iov = iov, .msg_iovlen = data.n ? 2 : 1 };

	return sendmsg(answer, &mh, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 ? -errno : 0;
}

/* The kind, if the size is one that the kind may have. */
static enum keeper_frame_kind kind_of(const union keeper_in *f, size_t n)
{
	struct rd text, data;

	if (n < sizeof(f->frame))
		return KEEPER_NONE;
	if (f->frame.kind == KEEPER_STATUS && n == sizeof(f->status) &&
	    keeper_status_ok(&f->status))
		return KEEPER_STATUS;
	if (f->frame.kind == KEEPER_DATA && n > sizeof(f->frame) && n <= sizeof(f->data))
		return KEEPER_DATA;
	if (f->frame.kind == KEEPER_GROWN && n == sizeof(f->grown))
		return KEEPER_GROWN;
	if (f->frame.kind == KEEPER_HEAD && n >= KEEPER_HEAD_HEAD &&
	    keeper_head_split(&f->head, n - KEEPER_HEAD_HEAD, &text, &data))
		return KEEPER_HEAD;
	if (f->frame.kind == KEEPER_END && n == sizeof(f->end) && keeper_end_ok(&f->end))
		return KEEPER_END;
	return KEEPER_NONE;
}

/* The one descriptor that came along, or -1. */
static int fd_of(struct msghdr *mh)
{
	struct cmsghdr *c = CMSG_FIRSTHDR(mh);
	int fd = -1;

	if (c && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS && c->cmsg_len == CMSG_LEN(sizeof(fd)))
		memcpy(&fd, CMSG_DATA(c), sizeof(fd));
	return fd;
}

static ssize_t receive(int answer, union keeper_in *f, int *ret_fd)
{
	union { char space[CMSG_SPACE(sizeof(int))]; struct cmsghdr align_; } control;
	struct iovec iov = { f, sizeof(*f) };
	struct msghdr mh = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control,
			     .msg_controllen = sizeof(control) };
	ssize_t n = recvmsg(answer, &mh, MSG_DONTWAIT | MSG_TRUNC | MSG_CMSG_CLOEXEC);

	*ret_fd = n < 0 ? -1 : fd_of(&mh);
	return n;
}

enum keeper_frame_kind keeper_try_next(int answer, union keeper_in *f, size_t *ret_n, int *ret_fd,
				       int *ret_error)
{
	enum keeper_frame_kind kind;
	AUTO(fd) int fd = -1;
	ssize_t n = receive(answer, f, &fd);

	if (n < 0 && errno == ECONNRESET)	/* it has not read all of ours; told once, unix(7) */
		n = receive(answer, f, &fd);
	*ret_n = 0;
	*ret_fd = -1;
	*ret_error = n < 0 ? -errno : -EPIPE;
	if (n <= 0 || (size_t)n > sizeof(*f))
		return KEEPER_NONE;
	kind = kind_of(f, (size_t)n);
	if (kind == KEEPER_STATUS && f->status.file && fd < 0)
		return KEEPER_NONE;
	if (kind == KEEPER_STATUS && f->status.file)
		*ret_fd = STEAL_FD(fd);
	if (kind == KEEPER_DATA)
		*ret_n = (size_t)n - sizeof(f->frame);
	if (kind == KEEPER_HEAD)
		*ret_n = (size_t)n - KEEPER_HEAD_HEAD;
	return kind;
}

enum keeper_frame_kind keeper_next(int answer, int client, uint64_t deadline, union keeper_in *f,
				   size_t *ret_n, int *ret_fd, int *ret_error)
{
	enum keeper_frame_kind kind;

	*ret_n = 0;
	*ret_fd = -1;
	do {
		*ret_error = deadline_wait_alive(answer, POLLIN, client, deadline);
		if (*ret_error)
			return KEEPER_NONE;
		kind = keeper_try_next(answer, f, ret_n, ret_fd, ret_error);
	} while (kind == KEEPER_NONE && *ret_error == -EAGAIN);
	return kind;
}
