/*
 * relay.c - the keeper's answer, passed on to the client
 *
 * Theory of operation: nothing is written before the keeper's STATUS says that upstream's answer is
 * one that may be passed on. The head is built anew from the allowed headers, in upstream's order.
 * A known length is kept and counted; otherwise the body is chunked. Only the keeper's END makes an
 * end: every other outcome is a broken answer, and the caller resets the connection, so that a
 * client cannot take a cut pack for a whole one.
 */
#include "gitproxy/relay.h"

#include <errno.h>
#include <stdio.h>

#include "gitproxy/deadline.h"

enum { CHUNK_HEAD = 16 };

struct out {
	struct stream *stream;
	const struct keeper_status *status;	/* a copy: the frame buffer is used again */
	bool chunked;
	unsigned idle_ms;
	uint64_t down;
};

static int put_head(struct out *o, bool close)
{
	const struct keeper_status *st = o->status;
	char text[2048];
	struct wr w = wr_of(text, sizeof(text));

	wr_str(&w, "HTTP/1.1 200 OK\r\n");
	for (uint32_t i = 0; i < st->n_headers; i++)
		wr_fmt(&w, "%s: %s\r\n", keeper_header_name(st->header[i].id), st->header[i].value);
	if (o->chunked)
		wr_str(&w, "transfer-encoding: chunked\r\n");
	else
		wr_fmt(&w, "content-length: %ju\r\n", (uintmax_t)st->length);
	wr_str(&w, close ? "connection: close\r\n\r\n" : "\r\n");
	return wr_ok(&w) ? stream_write(o->stream, w.p, w.n, o->idle_ms) : -EMSGSIZE;
}

/* One frame's data, as one write: a chunk's size, the data, CR LF. */
static int put_data(struct out *o, struct rd data)
{
	uint8_t text[CHUNK_HEAD + KEEPER_DATA_MAX + 2];
	struct wr w = wr_of(text, sizeof(text));

	o->down += data.n;
	if (!o->chunked && o->down > o->status->length)
		return -EPROTO;
	if (!o->chunked)
		return stream_write(o->stream, data.p, data.n, o->idle_ms);
	wr_fmt(&w, "%zx\r\n", data.n);
	wr_rd_all(&w, data);
	wr_str(&w, "\r\n");
	return wr_ok(&w) ? stream_write(o->stream, w.p, w.n, o->idle_ms) : -EMSGSIZE;
}

static int put_end(struct out *o)
{
	if (!o->chunked)
		return o->down == o->status->length ? 0 : -EPROTO;
	return stream_write(o->stream, "0\r\n\r\n", 5, o->idle_ms);
}

/* Why nothing came from the keeper. */
static enum reason error_reason(int error)
{
	if (error == -ECONNRESET)
		return REASON_NONE;			/* the client left, or was told to */
	return error == -ETIMEDOUT ? REASON_DEADLINE_EXCEEDED : REASON_INTERNAL_ERROR;
}

static enum relay_result body(struct out *o, int frames, uint64_t deadline, union keeper_in *f,
			      struct relay *ret)
{
	size_t n;
	int error;

	for (;;) {
		enum keeper_frame_kind kind =
			keeper_next(frames, o->stream->fd, deadline, f, &n, &error);

		if (kind == KEEPER_DATA) {
			if (put_data(o, rd_of(f->data.data, n)) < 0)
				return RELAY_BROKEN; /* reason none: the client does not take it */
			continue;
		}
		if (kind == KEEPER_END && f->end.reason == REASON_NONE && !put_end(o))
			return RELAY_DONE;
		ret->reason = kind == KEEPER_END ? (enum reason)f->end.reason :
			      kind == KEEPER_NONE ? error_reason(error) : REASON_INTERNAL_ERROR;
		return RELAY_BROKEN;
	}
}

enum relay_result relay_run(struct stream *s, int frames, bool close, uint64_t total_ms,
			    unsigned idle_ms, struct relay *ret)
{
	uint64_t deadline = deadline_in(total_ms);
	AUTO(mem) union keeper_in *f = malloc(sizeof(*f));
	struct keeper_status status;
	struct out o = { .stream = s, .status = &status, .idle_ms = idle_ms };
	enum relay_result r;
	size_t n;
	int error;

	*ret = (struct relay){ .reason = REASON_INTERNAL_ERROR };
	if (!f)
		return RELAY_REFUSED;
	if (keeper_next(frames, s->fd, deadline, f, &n, &error) != KEEPER_STATUS) {
		ret->reason = error_reason(error);
		return ret->reason == REASON_NONE ? RELAY_BROKEN : RELAY_REFUSED;
	}
	status = f->status;
	ret->reason = (enum reason)status.reason;
	memcpy(ret->moved, status.moved, sizeof(ret->moved));
	if (ret->reason != REASON_NONE)
		return RELAY_REFUSED;
	o.chunked = status.length == UINT64_MAX;
	if (put_head(&o, close) < 0)
		return RELAY_BROKEN;
	r = body(&o, frames, deadline, f, ret);
	ret->down = o.down;
	return r;
}
