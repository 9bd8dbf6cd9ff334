/*
 * answer.c - the mirror's answers to the front: a file, and how much of it there is
 *
 * Theory of operation: frames of keeper_ipc.h. The headers are those that git's own server sends, in
 * its order.
 */
#include "gitproxy/mirror/answer.h"

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "gitproxy/deadline.h"
#include "gitproxy/keeper_client.h"

/* the front may be busy with what it has; when it goes, we are told at once */
enum { SEND_MS = 3600 * 1000 };

static int send_frame(int to, const void *p, size_t n, int fd)
{
	union { char space[CMSG_SPACE(sizeof(int))]; struct cmsghdr align_; } control = { 0 };
	struct iovec iov = { (void *)(uintptr_t)p, n };
	struct msghdr mh = { .msg_iov = &iov, .msg_iovlen = 1 };
	uint64_t deadline = deadline_in(SEND_MS);
	int r = 0;

	if (fd >= 0) {
		mh.msg_control = &control;
		mh.msg_controllen = sizeof(control);
		*CMSG_FIRSTHDR(&mh) = (struct cmsghdr){ .cmsg_len = CMSG_LEN(sizeof(fd)), .cmsg_level = SOL_SOCKET,
							.cmsg_type = SCM_RIGHTS };
		memcpy(CMSG_DATA(CMSG_FIRSTHDR(&mh)), &fd, sizeof(fd));
	}
	while (!r && sendmsg(to, &mh, MSG_DONTWAIT | MSG_NOSIGNAL) < 0) {
		if (errno != EAGAIN && errno != EINTR)
			return errno == ECONNRESET ? -EPIPE : -errno;
		r = deadline_wait(to, POLLOUT, deadline);
	}
	return r;
}

static void header(struct keeper_status *st, enum keeper_header_id id, const char *value)
{
	struct keeper_header *h = &st->header[st->n_headers++];

	h->id = id;
	keeper_value_set(rd_str(value), h->value);
}

static const char *type_of(const struct answer_head *h)
{
	static const char *const type[2][2] = {
		{ "application/x-git-upload-pack-result", "application/x-git-upload-pack-advertisement" },
		{ "application/x-git-receive-pack-result", "application/x-git-receive-pack-advertisement" },
	};

	return type[h->service == GIT_SERVICE_RECEIVE_PACK][h->kind == GP_INFO_REFS];
}

static int send_status(int to, const struct answer_head *h, int file, enum keeper_file how)
{
	struct keeper_status st = { .kind = KEEPER_STATUS, .length = h->length, .source = h->source,
				    .coalesced = h->coalesced, .file = how };

	header(&st, KEEPER_EXPIRES, "Fri, 01 Jan 1980 00:00:00 GMT");
	header(&st, KEEPER_PRAGMA, "no-cache");
	header(&st, KEEPER_CACHE_CONTROL, "no-cache, max-age=0, must-revalidate");
	header(&st, KEEPER_CONTENT_TYPE, type_of(h));
	return send_frame(to, &st, sizeof(st), file);
}

int answer_begin(int to, const struct answer_head *h, int file)
{
	return file < 0 ? -EINVAL : send_status(to, h, file, KEEPER_FILE_GROWS);
}

int answer_stream(int to, const struct answer_head *h)
{
	return send_status(to, h, -1, KEEPER_FILE_NONE);
}

int answer_data(int to, struct rd bytes)
{
	uint64_t deadline = deadline_in(SEND_MS);
	int r;

	if (!bytes.n || bytes.n > KEEPER_DATA_MAX)
		return -EINVAL;
	do {
		r = deadline_wait(to, POLLOUT, deadline);
		if (!r)
			r = keeper_put(to, KEEPER_DATA, bytes);
	} while (r == -EAGAIN || r == -EINTR);
	return r == -ECONNRESET ? -EPIPE : r;
}

int answer_grown(int to, uint64_t upto)
{
	return send_frame(to, &(struct keeper_grown){ .kind = KEEPER_GROWN, .upto = upto },
			  sizeof(struct keeper_grown), -1);
}

int answer_end(int to, enum reason reason)
{
	return send_frame(to, &(struct keeper_end){ KEEPER_END, reason }, sizeof(struct keeper_end), -1);
}

int answer_refuse(int to, enum reason reason, unsigned upstream_status)
{
	struct keeper_status st = { .kind = KEEPER_STATUS, .reason = reason, .upstream_status = upstream_status };

	return send_frame(to, &st, sizeof(st), -1);
}

int answer_file(int to, const struct answer_head *h, int file)
{
	return file < 0 ? -EINVAL : send_status(to, h, file, KEEPER_FILE_WHOLE);
}

int answer_nothing(int to)
{
	struct keeper_status st = { .kind = KEEPER_STATUS };
	int r = send_frame(to, &st, sizeof(st), -1);

	return r < 0 ? r : answer_end(to, REASON_NONE);
}

int answer_found(int to, enum reason reason, const char *finding)
{
	struct keeper_status st = { .kind = KEEPER_STATUS, .reason = reason };

	if (*finding)
		header(&st, KEEPER_FINDING, finding);
	return send_frame(to, &st, sizeof(st), -1);
}
