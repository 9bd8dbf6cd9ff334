/*
 * relay.c - the keeper's answer, passed on to the client
 *
 * Theory of operation: nothing is written before the keeper's STATUS or HEAD says that upstream's
 * answer is one that may be passed on. The head is built anew from the allowed headers, in
 * upstream's order. A known length is kept and counted; otherwise the body is chunked. Only the
 * keeper's END makes an end: every other outcome is a broken answer, and the caller resets the
 * connection, so that a client cannot take a cut body for a whole one. A git answer that breaks off
 * gets a last packet that says so, where its client expects packets: an error of git's own protocol,
 * which no client takes for an end. A request's body is passed on whenever no frame waits, so that a
 * server may answer before it has all of it.
 * What goes to the client is gathered into whole TLS records, and these into one call, as long as frames are
 * there to be had; before it waits for one, everything is on its way.
 */
#include "gitproxy/front/relay.h"

#include <errno.h>
#include <stdio.h>

#include "gitproxy/deadline.h"
#include "gitproxy/front/refuse.h"

enum { STATUS_SWITCHING = 101, CHUNK_HEAD = 16, HEAD_TEXT = 2 * KEEPER_TEXT_MAX, RECORD = 16384, LITTLE = 4096 };

struct relay_room {
	union keeper_in in;		/* the last frame */
	size_t n;			/* bytes in `out` */
	uint8_t out[RECORD];
};

struct out {
	const struct relay_spec *spec;
	struct relay *ret;
	uint64_t deadline;
	uint64_t length;		/* KEEPER_UNKNOWN: chunked */
	bool bodiless;			/* whatever length is announced */
	struct relay_room *room;
	int file;			/* the body, if it is one; else -1 */
	uint64_t sent;			/* of it */
};

static int write_out(const struct out *o, const void *p, size_t n)
{
	return stream_write(o->spec->stream, p, n, o->spec->idle_ms);
}

static int flush(struct out *o)
{
	int r = o->room->n ? write_out(o, o->room->out, o->room->n) : 0;

	o->room->n = 0;
	return r < 0 ? r : stream_flush(o->spec->stream, o->spec->idle_ms);
}

/* At most what there is room for. */
static void gather(struct relay_room *m, struct rd *io, size_t n)
{
	struct rd part;

	if (!rd_take(io, n, &part))
		return;
	memcpy(m->out + m->n, part.p, part.n);
	m->n += part.n;
}

/* Whole records are made of it where it is; the rest waits for more. */
static int put(struct out *o, const void *p, size_t n)
{
	struct relay_room *m = o->room;
	struct rd left = rd_of(p, n);
	size_t direct;
	int r;

	if (left.n <= RECORD - m->n) {
		gather(m, &left, left.n);
		return 0;
	}
	r = stream_gather(o->spec->stream);
	if (r < 0)
		return r;
	if (m->n) {
		gather(m, &left, RECORD - m->n);
		m->n = 0;
		r = write_out(o, m->out, RECORD);
		if (r < 0)
			return r;
	}
	direct = left.n - left.n % RECORD;
	r = direct ? write_out(o, left.p, direct) : 0;
	if (!r && rd_skip(&left, direct))
		gather(m, &left, left.n);
	return r;
}

/* ---- the head ---- */

static void status_fields(const struct keeper_status *st, struct wr *w)
{
	for (uint32_t i = 0; i < st->n_headers; i++)
		wr_fmt(w, "%s: %s\r\n", keeper_header_name(st->header[i].id), st->header[i].value);
}

static void block_fields(struct rd block, struct wr *w)
{
	struct rd line;

	while (rd_left(&block) && rd_until(&block, '\n', &line)) {
		wr_rd_all(w, line);
		wr_str(w, "\r\n");
	}
}

/* RFC 9112 s6.3: what may have a body, and how its end is told. */
static void framing(struct out *o, struct wr *w)
{
	unsigned status = o->ret->status;

	o->bodiless = o->spec->head || status == 204 || status == 304;
	if (o->length != KEEPER_UNKNOWN && status != 204)
		wr_fmt(w, "content-length: %ju\r\n", (uintmax_t)o->length);
	else if (!o->bodiless)
		wr_str(w, "transfer-encoding: chunked\r\n");
}

static int put_head(struct out *o, enum keeper_frame_kind kind)
{
	AUTO(mem) char *text = malloc(HEAD_TEXT);
	struct wr w = wr_of(text, text ? HEAD_TEXT : 0);
	const union keeper_in *f = &o->room->in;

	o->ret->status = kind == KEEPER_HEAD ? f->head.status : 200;
	o->length = kind == KEEPER_HEAD ? f->head.length : f->status.length;
	o->ret->close = o->spec->close || (o->spec->upload && !upload_is_read(o->spec->upload));
	wr_fmt(&w, "HTTP/1.1 %u %s\r\n", o->ret->status, refuse_phrase(o->ret->status));
	if (kind == KEEPER_HEAD)
		block_fields(rd_of(f->head.text, f->head.text_n), &w);
	else
		status_fields(&f->status, &w);
	if (o->ret->status == STATUS_SWITCHING) {
		wr_str(&w, "upgrade: websocket\r\nconnection: Upgrade\r\n\r\n");
		return wr_ok(&w) ? put(o, w.p, w.n) : -EMSGSIZE;
	}
	framing(o, &w);
	wr_str(&w, o->ret->close ? "connection: close\r\n\r\n" : "\r\n");
	return wr_ok(&w) ? put(o, w.p, w.n) : -EMSGSIZE;
}

/* ---- the body ---- */

/* Some data, as one chunk. */
static int put_data(struct out *o, struct rd data)
{
	char size[CHUNK_HEAD];
	int r;

	if (!data.n)
		return 0;
	o->ret->down += data.n;
	if (o->bodiless || (o->length != KEEPER_UNKNOWN && o->ret->down > o->length))
		return -EPROTO;
	if (o->length != KEEPER_UNKNOWN)
		return put(o, data.p, data.n);
	r = put(o, size, (size_t)snprintf(size, sizeof(size), "%zx\r\n", data.n));
	if (!r)
		r = put(o, data.p, data.n);
	return r ? r : put(o, "\r\n", 2);
}

/* Upstream's bytes; those of git as whole packets. */
static int pass_on(struct out *o, struct rd data)
{
	struct rd piece;
	int r = 0;

	if (!o->spec->git)
		return put_data(o, data);
	while (!r && rd_left(&data)) {
		if (!rd_take(&data, data.n < GIT_ANSWER_INPUT ? data.n : GIT_ANSWER_INPUT, &piece))
			return -EPROTO;
		r = put_data(o, git_answer_next(o->spec->git, piece));
	}
	return r;
}

/* What was held back of them. */
static int put_held(struct out *o)
{
	return o->spec->git ? put_data(o, git_answer_end(o->spec->git)) : 0;
}

/* Little of it goes out with what is gathered already; much from where it is. */
static int put_part(struct out *o, uint64_t n)
{
	uint8_t little[LITTLE];
	int r;

	if (n <= sizeof(little))
		return pread(o->file, little, n, (off_t)o->sent) == (ssize_t)n ? put(o, little, n) : -EIO;
	r = flush(o);
	return r < 0 ? r : stream_send_file(o->spec->stream, o->file, o->sent, n, o->spec->idle_ms);
}

/* What the file has grown by. */
static int put_file(struct out *o, uint64_t upto)
{
	uint64_t n = upto - o->sent;
	char head[CHUNK_HEAD + 4];
	int r = put_held(o);

	if (o->file < 0 || o->bodiless || upto <= o->sent || (o->length != KEEPER_UNKNOWN && upto > o->length))
		return -EPROTO;
	if (!r && o->length == KEEPER_UNKNOWN)
		r = put(o, head, (size_t)snprintf(head, sizeof(head), "%jx\r\n", (uintmax_t)n));
	if (!r)
		r = put_part(o, n);
	if (!r && o->length == KEEPER_UNKNOWN)
		r = put(o, "\r\n", 2);
	o->sent = upto;
	o->ret->down += n;
	return r;
}

static int put_end(struct out *o)
{
	int r = put_held(o);

	if (r < 0)
		return r;
	if (o->bodiless)
		return 0;
	if (o->length != KEEPER_UNKNOWN)
		return o->ret->down == o->length ? 0 : -EPROTO;
	return put(o, "0\r\n\r\n", 5);
}

/* ---- frames ---- */

/* Why nothing came from the keeper, or nothing could be sent to it. */
static enum reason error_reason(int error)
{
	if (error == -ECONNRESET)
		return REASON_NONE;			/* the client left, or was told to */
	if (error == -EBADMSG)
		return REASON_REQUEST_MALFORMED;
	if (error == -EFBIG)
		return REASON_BODY_TOO_LARGE;
	return error == -ETIMEDOUT ? REASON_DEADLINE_EXCEEDED : REASON_INTERNAL_ERROR;
}

/* The next frame, and meanwhile the request's body. On KEEPER_NONE ret->reason says why. */
static enum keeper_frame_kind await(struct out *o, size_t *ret_n)
{
	const struct relay_spec *p = o->spec;
	enum keeper_frame_kind kind = KEEPER_NONE;
	AUTO(fd) int file = -1;
	int error = p->upload ? upload_run(p->upload, p->frames, p->idle_ms) : 0;

	if (!error)
		kind = keeper_next(p->frames, p->stream->fd, o->deadline, &o->room->in, ret_n, &file,
				   &error);
	if (file >= 0 && o->file < 0)
		o->file = STEAL_FD(file);
	if (kind == KEEPER_NONE)
		o->ret->reason = error_reason(error);
	return kind;
}

static enum keeper_frame_kind next(struct out *o, size_t *ret_n)
{
	AUTO(fd) int file = -1;			/* only the first frame may have one */
	int error;
	enum keeper_frame_kind kind = keeper_try_next(o->spec->frames, &o->room->in, ret_n, &file, &error);

	if (kind == KEEPER_NONE && error == -EAGAIN) {
		if (!flush(o))
			return await(o, ret_n);
		error = -ECONNRESET;
	}
	if (kind == KEEPER_NONE)
		o->ret->reason = error_reason(error);
	return kind;
}

/* The answer has broken off. An announced length leaves no room to say so; a file was not read. */
static enum relay_result broken(struct out *o)
{
	uint8_t text[GIT_ANSWER_ERROR];
	struct wr w = wr_of(text, sizeof(text));
	uint64_t down = o->ret->down;
	int r;

	if (o->ret->reason == REASON_NONE || !o->spec->git || o->length != KEEPER_UNKNOWN ||
	    o->bodiless || o->file >= 0 || !git_answer_error(o->spec->git, o->ret->reason, &w))
		return RELAY_BROKEN;
	r = put_data(o, wr_rd(&w));
	o->ret->down = down;			/* upstream's alone */
	return r < 0 || put(o, "0\r\n\r\n", 5) < 0 ? RELAY_BROKEN : RELAY_TOLD;
}

static enum relay_result end(struct out *o, bool kept)
{
	const struct upload *up = o->spec->upload;

	o->ret->reason = REASON_NONE;
	if (put_end(o) < 0 || flush(o) < 0)
		return RELAY_BROKEN;
	o->ret->close |= up && !upload_is_read(up);
	o->ret->kept = kept && !o->ret->close && (!up || up->done);
	return RELAY_DONE;
}

static enum relay_result body(struct out *o)
{
	const union keeper_in *f = &o->room->in;
	enum keeper_frame_kind kind;
	size_t n;

	while ((kind = next(o, &n)) == KEEPER_DATA || kind == KEEPER_GROWN)
		if ((kind == KEEPER_DATA ? pass_on(o, rd_of(f->data.data, n)) :
					   put_file(o, f->grown.upto)) < 0)
			return RELAY_BROKEN; /* reason none: the client does not take it */
	if (kind == KEEPER_NONE)
		return broken(o);
	o->ret->reason = kind == KEEPER_END ? (enum reason)f->end.reason : REASON_INTERNAL_ERROR;
	return o->ret->reason == REASON_NONE ? end(o, f->end.kept) : broken(o);
}

static enum relay_result whole_file(struct out *o)
{
	return o->length && put_file(o, o->length) < 0 ? RELAY_BROKEN : end(o, false);
}

/* An answer that may be passed on: its head is here, and perhaps n bytes with it. */
static enum relay_result begin(struct out *o, enum keeper_frame_kind kind, size_t n)
{
	const struct keeper_head *h = &o->room->in.head;
	struct rd data = rd_of(h->text, n);

	if (put_head(o, kind) < 0)
		return RELAY_BROKEN;
	if (kind == KEEPER_STATUS)
		return o->room->in.status.file == KEEPER_FILE_WHOLE ? whole_file(o) : body(o);
	if (h->status == STATUS_SWITCHING)
		return RELAY_UPGRADED;
	if (!rd_skip(&data, h->text_n) || put_data(o, data) < 0)	/* all of it was checked when it came */
		return RELAY_BROKEN;
	return h->whole ? end(o, h->kept) : body(o);
}

static void note_finding(const struct keeper_status *st, struct relay *ret)
{
	for (uint32_t i = 0; i < st->n_headers; i++)
		if (st->header[i].id == KEEPER_FINDING)
			memcpy(ret->finding, st->header[i].value, sizeof(ret->finding));
}

/* What was gathered of a broken answer goes out: the client is to see as much of it as there is. */
static enum relay_result run(struct out *o)
{
	const union keeper_in *f = &o->room->in;
	struct relay *ret = o->ret;
	enum relay_result result;
	size_t n;
	enum keeper_frame_kind kind = await(o, &n);

	if (kind == KEEPER_NONE)
		return ret->reason == REASON_NONE ? RELAY_BROKEN : RELAY_REFUSED;
	if (kind != KEEPER_STATUS && kind != KEEPER_HEAD)
		return RELAY_REFUSED;
	ret->reason = (enum reason)(kind == KEEPER_HEAD ? f->head.reason : f->status.reason);
	if (kind == KEEPER_STATUS) {
		memcpy(ret->moved, f->status.moved, sizeof(ret->moved));
		note_finding(&f->status, ret);
		ret->source = f->status.source;
		ret->coalesced = f->status.coalesced;
	}
	if (kind == KEEPER_HEAD && f->head.status == STATUS_SWITCHING && !o->spec->upgrade)
		ret->reason = REASON_UPGRADE_NOT_ALLOWED;	/* our keeper would not let it pass */
	if (ret->reason != REASON_NONE)
		return RELAY_REFUSED;
	result = begin(o, kind, n);
	return flush(o) < 0 ? RELAY_BROKEN : result;
}

enum relay_result relay_run(const struct relay_spec *spec, struct relay *ret)
{
	struct out o = { .spec = spec, .ret = ret, .file = -1, .deadline = deadline_in(spec->total_ms) };
	enum relay_result r;

	*ret = (struct relay){ .reason = REASON_INTERNAL_ERROR };
	if (!*spec->room)
		*spec->room = malloc(sizeof(**spec->room));
	if (!*spec->room)
		return RELAY_REFUSED;
	o.room = *spec->room;
	o.room->n = 0;
	r = run(&o);
	stream_scatter(spec->stream);
	if (o.file >= 0)
		close(o.file);
	return r;
}
