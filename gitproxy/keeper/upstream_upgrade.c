/*
 * upstream_upgrade.c - a request whose connection becomes a tunnel
 *
 * Theory of operation: libcurl dials, as it does for every request (addresses, proxy, TLS, trust, times:
 * dial.c), but does not speak: the handshake is written here, from the same checked fields, and its
 * answer is read by http_head.c. A connection of this kind is never taken from the pool and never given
 * to it. Only a 101 that fits the very request (websocket.c) makes a tunnel: then bytes go both ways,
 * in frames, unread. Any other answer goes to the front as its status and fields, without its body; the
 * connection is closed. Each direction holds one piece and takes the next when that is gone. About once
 * a second the caller is asked whether the policy still holds; it is the front that ends tunnels of
 * revoked sandboxes at once, but they must end without it as well.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>

#include "gitproxy/deadline.h"
#include "gitproxy/http_fields.h"
#include "gitproxy/http_head.h"
#include "gitproxy/keeper/transfer_http.h"
#include "gitproxy/websocket.h"

enum { REQUEST_MAX = HTTP_TARGET_MAX + KEEPER_TEXT_MAX + 1024, INTERIM_MAX = 8, LOOK_MS = 1000,
       FLUSH_MS = 10000 };

struct tunnel {
	struct transfer *t;
	curl_socket_t sock;
	struct keeper_data frame;		/* the front's last */
	struct rd up;				/* what of it the server has not taken */
	struct rd down;				/* what of `text` the front has not taken */
	size_t have;				/* bytes in it */
	bool front_ended, server_ended, over;
	unsigned doubts;			/* looks at the policy in a row that did not allow it */
	uint64_t flush;				/* the front has ended: the rest must be out by then */
	char text[KEEPER_DATA_MAX];		/* the answer's head, then the server's bytes */
};

/* ---- the handshake ---- */

static void put_fields(struct wr *w, struct rd block)
{
	struct rd name, value;

	while (http_fields_next(&block, &name, &value)) {
		wr_rd_all(w, name);
		wr_str(w, ": ");
		wr_rd_all(w, value);
		wr_str(w, "\r\n");
	}
}

static bool write_request(const struct transfer *t, struct wr *w)
{
	const struct upstream_http *q = t->rq->http;

	wr_str(w, "GET ");
	wr_rd_all(w, q->target);
	wr_fmt(w, " HTTP/1.1\r\nHost: %s\r\n", t->rq->host);
	put_fields(w, q->fields);
	wr_str(w, "Upgrade: websocket\r\nConnection: Upgrade\r\n\r\n");
	return wr_ok(w);
}

/* 0, or -errno: the front is gone, or the time is. */
static int wait_server(const struct tunnel *w, short events, uint64_t deadline)
{
	int r = deadline_wait_alive(w->sock, events, w->t->rq->answer, deadline);

	if (r == -ETIMEDOUT)
		w->t->late = "no answer within git.timeouts.first_byte";
	if (r == -ECONNRESET)
		w->t->out->gone = true;
	return r;
}

static bool send_request(struct tunnel *w, uint64_t deadline)
{
	AUTO(mem) char *text = malloc(REQUEST_MAX);
	struct wr all = wr_of(text, text ? REQUEST_MAX : 0);
	struct rd left;
	size_t n;

	if (!write_request(w->t, &all))
		return false;
	for (left = wr_rd(&all); rd_left(&left);) {
		CURLcode code = curl_easy_send(w->t->curl, left.p, left.n, &n);

		if (code == CURLE_AGAIN && wait_server(w, POLLOUT, deadline) < 0)
			return false;
		if (code != CURLE_AGAIN && (code != CURLE_OK || !rd_skip(&left, n)))
			return false;
	}
	return true;
}

/* More of the answer; false: it does not come. */
static bool read_more(struct tunnel *w, uint64_t deadline)
{
	size_t n = 0;
	CURLcode code;

	if (w->have == sizeof(w->text))
		return false;
	code = curl_easy_recv(w->t->curl, w->text + w->have, sizeof(w->text) - w->have, &n);
	if (code == CURLE_AGAIN)
		return !wait_server(w, POLLIN, deadline);
	w->have += n;
	return code == CURLE_OK && n;
}

/* The head that counts, behind any 100 or 103. What follows it is left in w->down. */
static bool read_answer(struct tunnel *w, struct http_answer *ret, uint64_t deadline)
{
	size_t from = 0, used;
	unsigned heads = 0;

	for (;;) {
		struct rd at = rd_of(w->text + from, w->have - from);
		enum parse r = http_answer_parse(at, ret, &used);

		if (r == PARSE_BAD || (r == PARSE_OK && (!rd_skip(&at, used) || ++heads > INTERIM_MAX)))
			return false;
		w->down = at;
		if (r == PARSE_OK && (ret->status >= 200 || ret->status == STATUS_SWITCHING))
			return true;
		if (r == PARSE_OK)
			from += used;
		else if (!read_more(w, deadline))
			return false;
	}
}

static bool pass_answer(struct tunnel *w, const struct http_answer *a)
{
	struct transfer *t = w->t;
	bool fits = a->status == STATUS_SWITCHING && websocket_fits(t->rq->http->fields, a->lines);
	struct rd lines = a->lines, line;

	if (!transfer_http_begin(t, fits)) {
		t->out->reason = REASON_INTERNAL_ERROR;
		return false;
	}
	while (rd_left(&lines) && rd_until(&lines, '\n', &line))
		transfer_http.header(t, line);
	return transfer_http_answer(t, a->status) && transfer_send_on(t) && fits;
}

/* ---- the tunnel ---- */

static void fail(struct tunnel *w, enum reason reason, const char *detail)
{
	struct upstream_outcome *out = w->t->out;

	w->over = true;
	out->reason = reason;
	snprintf(out->detail, sizeof(out->detail), "%s", detail);
}

/* The front's next frame. True: something moved. */
static bool next_up(struct tunnel *w)
{
	int fd = w->t->rq->answer;
	ssize_t n = recv(fd, &w->frame, sizeof(w->frame), MSG_DONTWAIT | MSG_TRUNC);

	if (n < 0 && errno == ECONNRESET)		/* told once, before what it has sent: unix(7) */
		n = recv(fd, &w->frame, sizeof(w->frame), MSG_DONTWAIT | MSG_TRUNC);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return false;
	if (n == (ssize_t)sizeof(struct keeper_end) && w->frame.kind == KEEPER_END) {
		w->front_ended = true;
		w->flush = deadline_in(FLUSH_MS);
		return true;
	}
	if (n <= (ssize_t)sizeof(struct keeper_frame) || (size_t)n > sizeof(w->frame) ||
	    w->frame.kind != KEEPER_DATA)
		return w->over = w->t->out->gone = true;
	w->up = rd_of(w->frame.data, (size_t)n - sizeof(struct keeper_frame));
	return true;
}

static bool step_up(struct tunnel *w)
{
	CURLcode code;
	size_t n = 0;

	if (!w->up.n && w->front_ended)
		return w->over = true;			/* all of it is out: let the server go */
	if (!w->up.n)
		return next_up(w);
	code = curl_easy_send(w->t->curl, w->up.p, w->up.n, &n);
	if (code == CURLE_AGAIN)
		return false;
	if (code != CURLE_OK || !rd_skip(&w->up, n))
		fail(w, REASON_UPSTREAM_UNREACHABLE, "the tunnel broke");
	return true;
}

static bool read_server(struct tunnel *w)
{
	size_t n = 0;
	CURLcode code = curl_easy_recv(w->t->curl, w->text, sizeof(w->text), &n);

	if (code == CURLE_AGAIN)
		return false;
	if (code != CURLE_OK)
		fail(w, REASON_UPSTREAM_UNREACHABLE, "the tunnel broke");
	w->server_ended = !n;
	w->down = rd_of(w->text, n);
	return true;
}

static bool step_down(struct tunnel *w)
{
	struct keeper_frame head = { KEEPER_DATA };
	struct iovec iov[2] = { { &head, sizeof(head) }, { (void *)(uintptr_t)w->down.p, w->down.n } };
	struct msghdr mh = { .msg_iov = iov, .msg_iovlen = 2 };

	if (w->front_ended)
		return false;				/* nobody is there to listen */
	if (!w->down.n)
		return w->server_ended ? (w->over = true) : read_server(w);
	if (sendmsg(w->t->rq->answer, &mh, MSG_DONTWAIT | MSG_NOSIGNAL) < 0) {
		if (errno == EAGAIN || errno == EINTR)
			return false;
		return w->over = w->t->out->gone = true;
	}
	w->t->out->down += w->down.n;
	w->down = rd_of(NULL, 0);
	return true;
}

/* What has to be looked at from time to time. */
static void look(struct tunnel *w)
{
	const struct transfer *t = w->t;
	const struct host_config *c = transfer_config(t);
	uint64_t now = deadline_now();

	/* Twice: the front is told at the same time, and its cut is the cleaner one. */
	w->doubts = t->rq->holds && !t->rq->holds(t->rq->holds_of) ? w->doubts + 1 : 0;
	if (w->doubts > 1)
		fail(w, REASON_HOST_NOT_ALLOWED, "the policy has changed");
	else if (now - t->progress > c->idle_ms)
		fail(w, REASON_DEADLINE_EXCEEDED, "no byte within git.timeouts.idle");
	else if (now - t->started > c->total_ms)
		fail(w, REASON_DEADLINE_EXCEEDED, "not complete within git.timeouts.total");
	else if (w->front_ended && now > w->flush)
		fail(w, REASON_DEADLINE_EXCEEDED, "the server did not take the end");
}

static void wait(struct tunnel *w)
{
	struct pollfd fd[2] = { { .fd = w->sock }, { .fd = w->t->rq->answer } };
	int r;

	fd[0].events = (short)((w->up.n ? POLLOUT : 0) | (w->down.n || w->front_ended ? 0 : POLLIN));
	if (!w->front_ended)
		fd[1].events = (short)((w->up.n ? 0 : POLLIN) | (w->down.n ? POLLOUT : 0));
	for (int i = 0; i < 2; i++)
		if (!fd[i].events)
			fd[i].fd = -1;			/* an end would be told again and again */
	r = deadline_wait_all(fd, 2, deadline_in(LOOK_MS));
	if (r < 0 && r != -ETIMEDOUT)
		fail(w, REASON_INTERNAL_ERROR, "cannot wait");
}

static void pump(struct tunnel *w)
{
	struct transfer *t = w->t;
	uint64_t looked = deadline_now();

	t->progress = looked;
	while (!w->over) {
		bool moved = step_up(w);

		moved |= !w->over && step_down(w);
		if (moved)
			t->progress = deadline_now();
		else
			wait(w);
		if (!w->over && deadline_now() - looked >= LOOK_MS) {
			look(w);
			looked = deadline_now();
		}
	}
}

/* ---- the whole ---- */

static bool ask(struct transfer *t, struct curl_slist **ret_headers)
{
	char url[MSG_NAME + 16];

	(void)ret_headers;
	snprintf(url, sizeof(url), "%s://%s/", t->rq->http->plain ? "http" : "https", t->rq->host);
	curl_easy_setopt(t->curl, CURLOPT_URL, url);
	curl_easy_setopt(t->curl, CURLOPT_CONNECT_ONLY, 1L);
	curl_easy_setopt(t->curl, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	return !t->rq->credential;		/* no secret goes into a tunnel: the policy has none there */
}

static void speak(struct transfer *t)
{
	const struct host_config *c = transfer_config(t);
	AUTO(mem) struct tunnel *w = calloc(1, sizeof(*w));
	struct http_answer a;
	uint64_t deadline = deadline_in((uint64_t)c->connect_ms + c->first_byte_ms);

	if (!w) {
		t->out->reason = REASON_INTERNAL_ERROR;
		return;
	}
	w->t = t;
	if (curl_easy_getinfo(t->curl, CURLINFO_ACTIVESOCKET, &w->sock) == CURLE_OK &&
	    send_request(w, deadline) && read_answer(w, &a, deadline)) {
		if (pass_answer(w, &a))
			pump(w);
	} else if (!t->late) {
		t->out->reason = REASON_UPSTREAM_UNREACHABLE;
		snprintf(t->out->detail, sizeof(t->out->detail), "no answer to a handshake");
	}
}

static void refuse(struct transfer *t)
{
	transfer_http.refuse(t);
}

const struct transfer_kind transfer_upgrade = { .ask = ask, .speak = speak, .refuse = refuse };
