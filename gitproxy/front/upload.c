/*
 * upload.c - a request's body, passed on to the keeper while the answer may already come
 *
 * Theory of operation: one thread serves both directions, so it never waits for one alone: whenever
 * a frame of the keeper is there, upload_run() returns and the answer goes first. The body is taken
 * out of its framing and sent in pieces as they come; what the keeper's socket does not take stays
 * where it is, in the connection's one buffer, and the client is not read meanwhile. gzip, where the
 * caller has it taken off, needs a window of its own; the bound holds for both sides of it.
 */
#include "gitproxy/front/upload.h"

#include <errno.h>
#include <poll.h>

#include "gitproxy/deadline.h"
#include "gitproxy/keeper_client.h"

void upload_init(struct upload *u, struct input *in, const struct http_head *head, uint64_t max)
{
	*u = (struct upload){ .in = in, .max = max };
	http_body_init(&u->body, head);
	u->done = u->body.done;
}

static bool readable(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	return poll(&p, 1, 0) > 0;
}

/* The pending bytes to the keeper, or the end. */
static int push(struct upload *u, int frames, unsigned idle_ms)
{
	enum keeper_frame_kind kind = rd_left(&u->pending) ? KEEPER_DATA : KEEPER_END;
	int r = keeper_put(frames, kind, u->pending);

	if (r == -EAGAIN)
		return deadline_wait_alive(frames, POLLIN | POLLOUT, u->in->stream->fd,
					   deadline_in(idle_ms));
	if (r == -EPIPE || r == -ECONNRESET)
		return 0;		/* the keeper is through: its last frames can be read */
	if (r < 0)
		return r;
	u->sent += u->pending.n;
	u->done = kind == KEEPER_END;
	u->pending = rd_of(NULL, 0);
	return 0;
}

/* More of the client, unless the keeper speaks first. */
static int fill(struct upload *u, int frames, unsigned idle_ms)
{
	struct stream *s = u->in->stream;
	uint64_t deadline = deadline_in(idle_ms);
	ssize_t n;
	int r;

	if (!stream_pending(s)) {
		r = deadline_wait_either(s->fd, frames, deadline);
		if (r < 0 || !readable(s->fd))
			return r;
	}
	n = input_fill(u->in, deadline);
	return n > 0 ? 0 : n < 0 ? (int)n : -ECONNRESET;
}

bool upload_is_read(const struct upload *u)
{
	return u->body.done && !rd_left(&u->pending);
}

struct upload_gzip *upload_gzip_new(void)
{
	struct upload_gzip *g = calloc(1, sizeof(*g));

	if (g && http_gzip_init(&g->gzip) < 0) {
		free(g);
		g = NULL;
	}
	return g;
}

void upload_gzip_free(struct upload_gzip *g)
{
	if (g)
		http_gzip_done(&g->gzip);
	free(g);
}

/* As http_body_next(), with gzip taken off. */
static enum parse next_decoded(struct upload *u, struct rd *io, struct rd *ret)
{
	struct upload_gzip *g = u->gzip;

	*ret = (struct rd){ 0 };
	for (;;) {
		struct wr w = wr_of(g->window, sizeof(g->window));
		enum parse r;

		if (g->full || rd_left(&g->encoded)) {
			r = http_gzip_next(&g->gzip, &g->encoded, &w);
			g->full = r == PARSE_OK;
			*ret = wr_rd(&w);
			if (r == PARSE_BAD || w.n)
				return r == PARSE_BAD ? r : PARSE_OK;
			continue;
		}
		if (u->body.done)
			return http_gzip_complete(&g->gzip) ? PARSE_OK : PARSE_BAD;
		r = http_body_next(&u->body, io, &g->encoded);
		u->wire += g->encoded.n;
		if (r != PARSE_OK || u->wire > u->max)
			return r;
	}
}

int upload_run(struct upload *u, int frames, unsigned idle_ms)
{
	int r = 0;

	while (!u->done && !r && !readable(frames)) {
		struct rd left = input_rd(u->in);
		enum parse got = PARSE_OK;

		if (!rd_left(&u->pending)) {
			got = u->gzip ? next_decoded(u, &left, &u->pending) :
					http_body_next(&u->body, &left, &u->pending);
			u->seen += u->pending.n;
		}
		input_keep(u->in, left.n);
		if (got == PARSE_BAD)
			return -EBADMSG;
		if (u->seen > u->max || u->wire > u->max)
			return -EFBIG;
		r = got == PARSE_MORE ? fill(u, frames, idle_ms) : push(u, frames, idle_ms);
	}
	return r;
}
