/*
 * request_lfs.c - requests of Git LFS
 *
 * Theory of operation: a batch request is read whole, and only direction, ids and sizes of it go to the
 * keeper. Its answer is written here, with links that lead to Cordon by the way the client came. Such a link is
 * checked by the keeper, which knows what it stands for; here its object's bytes pass. Which way objects
 * go is a batch's to say and else the method's, and the policy is asked for it as for git: what may be
 * fetched may be downloaded, what may be pushed may be uploaded.
 * Locks are refused: they are upstream's state that no push shows. Spec: git-lfs docs/api/.
 */
#include "gitproxy/front/request_lfs.h"

#include <errno.h>
#include <stdio.h>

#include "gitproxy/deadline.h"
#include "gitproxy/front/body_file.h"
#include "gitproxy/front/lfs_batch.h"
#include "gitproxy/front/relay.h"

enum { SLOT_WAIT_MS = 15000 };		/* for one of the sandbox's transfers to end */

/* ---- judging ---- */

/* What a request of each kind looks like. A method that is not here is refused. */
static const struct shape {
	enum gp_kind kind;
	enum http_method method;
	enum git_service service;
	bool json;
} shapes[] = {
	{ GP_LFS_BATCH, HTTP_POST, GIT_SERVICE_UPLOAD_PACK /* until it is read */, true },
	{ GP_LFS_OBJECT, HTTP_GET, GIT_SERVICE_UPLOAD_PACK, false },
	{ GP_LFS_OBJECT, HTTP_PUT, GIT_SERVICE_RECEIVE_PACK, false },
	{ GP_LFS_VERIFY, HTTP_POST, GIT_SERVICE_RECEIVE_PACK, true },
};

static const struct shape *shape_of(const struct request *rq)
{
	for (size_t i = 0; i < ARRAY_SIZE(shapes); i++)
		if (shapes[i].kind == rq->path.kind && shapes[i].method == rq->head.method)
			return &shapes[i];
	return NULL;
}

/* "application/vnd.git-lfs+json; charset=utf-8" */
static bool type_fits(const struct http_head *h)
{
	struct rd value = h->field[HTTP_CONTENT_TYPE];

	return rd_eq_nocase(rd_trim(rd_piece(&value, ';')), LFS_TYPE);
}

enum reason lfs_judge(const struct session *s, struct request *rq)
{
	const struct shape *shape = shape_of(rq);
	enum reason reason;

	if (!policy_git_lfs(rq->sandbox.policy))
		return REASON_LFS_NOT_ALLOWED;
	rq->path.service = shape ? shape->service : GIT_SERVICE_UPLOAD_PACK;
	reason = git_decide(s, rq);
	if (reason != REASON_NONE)
		return reason;
	if (rq->path.kind == GP_LFS_LOCKS)
		return REASON_LFS_LOCKS_NOT_SUPPORTED;
	if (rq->path.kind == GP_LFS_OTHER)
		return REASON_NOT_GIT;
	if (!shape)
		return REASON_METHOD_NOT_ALLOWED;
	return !shape->json || type_fits(&rq->head) ? REASON_NONE : REASON_REQUEST_MALFORMED;
}

/* ---- objects ---- */

/* With what was found; quotes would end the text. */
static enum step refuse_found(struct session *s, struct request *rq, const char *finding, bool body_pending)
{
	char text[KEEPER_VALUE];
	bool close = rq->close || body_pending;
	int r;

	snprintf(text, sizeof(text), "%s", finding);
	for (char *p = text; *p; p++)
		if (*p == '"' || *p == '\\')
			*p = '_';
	r = refuse_lfs(&s->stream, rq->reason, text, close, &rq->status);
	return r < 0 ? STEP_RESET : close ? STEP_CLOSE : STEP_NEXT;
}

static enum step relay(struct session *s, struct request *rq, int frames, struct upload *up)
{
	const struct host_config *c = s->env->config;
	struct relay_spec spec = { .stream = &s->stream, .frames = frames, .room = &s->room, .close = rq->close, .upload = up,
				   .total_ms = c->total_ms, .idle_ms = c->idle_ms };
	struct relay relay;
	enum relay_result r = relay_run(&spec, &relay);

	if (up)
		rq->up = up->seen;
	rq->down = relay.down;
	rq->reason = relay.reason;
	if (r == RELAY_REFUSED)
		return refuse_found(s, rq, relay.finding, up && !upload_is_read(up));
	rq->source = keeper_source_text(relay.source);
	rq->status = relay.status;
	rq->close |= relay.close;
	rq->cut = r != RELAY_DONE && rq->down;
	if (r != RELAY_DONE)
		return STEP_RESET;
	return relay.close ? STEP_CLOSE : STEP_NEXT;
}

static enum step download(struct session *s, struct request *rq)
{
	struct keeper_open o;
	AUTO(fd) int frames = git_build(s, rq, &o) ? keeper_open(s->env->keeper, &o, s->stream.fd, -1) : -1;

	if (frames >= 0)
		return relay(s, rq, frames, NULL);
	rq->reason = REASON_INTERNAL_ERROR;
	return request_refuse(s, rq, false);
}

/* True: the client listens, or does not wait. */
static bool go_on(struct session *s, const struct http_head *h)
{
	static const char text[] = "HTTP/1.1 100 Continue\r\n\r\n";

	return !h->expect_continue || !stream_write(&s->stream, text, sizeof(text) - 1, s->env->config->idle_ms);
}

static enum step upload(struct session *s, struct input *in, struct request *rq)
{
	struct keeper_open o;
	AUTO(fd) int frames = -1;
	struct upload up;

	upload_init(&up, in, &rq->head, LFS_SIZE_MAX);	/* which size it must have the link says */
	if (git_build(s, rq, &o)) {
		o.body_length = KEEPER_UNKNOWN;
		frames = keeper_open(s->env->keeper, &o, s->stream.fd, -1);
	}
	if (frames >= 0 && go_on(s, &rq->head))
		return relay(s, rq, frames, &up);
	rq->reason = REASON_INTERNAL_ERROR;
	return request_refuse(s, rq, !upload_is_read(&up));
}

/* ---- batch requests ---- */

/* How the client knows the repository. Before its body is read: the head's bytes are gone then. */
static bool base_of(const struct session *s, const struct request *rq, char out[LFS_BASE_MAX + 1])
{
	struct wr w = wr_of(out, LFS_BASE_MAX);

	wr_str(&w, s->stream.ssl ? "https://" : "http://");
	if (rq->routed) {
		wr_rd_all(&w, rq->head.field[HTTP_HOST]);
		wr_rd_all(&w, rq->route);
	} else {
		wr_str(&w, s->name);
	}
	wr_fmt(&w, "/%s.git", rq->path.repo);
	out[wr_ok(&w) ? w.n : 0] = '\0';
	return wr_ok(&w);
}

/* The body as bytes; NULL: no memory. */
static uint8_t *read_whole(int fd, size_t n)
{
	uint8_t *p = malloc(n ? n : 1);

	if (p && pread(fd, p, n, 0) == (ssize_t)n)
		return p;
	free(p);
	return NULL;
}

struct talk {				/* with the keeper, about a batch */
	int frames;
	int client;
	uint64_t deadline;
	union keeper_in *f;
	size_t n;			/* bytes of the last DATA */
};

static enum keeper_frame_kind next(struct talk *t, enum reason *ret)
{
	AUTO(fd) int file = -1;
	int error = 0;
	enum keeper_frame_kind kind = keeper_next(t->frames, t->client, t->deadline, t->f, &t->n, &file, &error);

	if (kind == KEEPER_NONE)
		*ret = error == -ETIMEDOUT ? REASON_DEADLINE_EXCEEDED : REASON_INTERNAL_ERROR;
	return kind;
}

/* As many offers as objects were asked for, and the end. */
static enum reason take_offers(struct talk *t, struct lfs_offer *o, size_t n)
{
	struct wr w = wr_of(o, n * sizeof(*o));
	enum reason reason = REASON_INTERNAL_ERROR;
	enum keeper_frame_kind kind = next(t, &reason);

	if (kind == KEEPER_STATUS)
		reason = (enum reason)t->f->status.reason;
	if (kind != KEEPER_STATUS || reason != REASON_NONE)
		return reason;
	while ((kind = next(t, &reason)) == KEEPER_DATA && wr_put(&w, t->f->data.data, t->n))
		;
	if (kind == KEEPER_NONE)
		return reason;
	if (kind != KEEPER_END || t->f->end.reason != REASON_NONE || !wr_ok(&w) || w.n != w.cap)
		return REASON_INTERNAL_ERROR;
	for (size_t i = 0; i < n; i++)
		if (o[i].result >= LFS_RESULTS)
			return REASON_INTERNAL_ERROR;
	return REASON_NONE;
}

static enum reason ask_keeper(struct session *s, const struct keeper_open *o, const struct lfs_batch *b,
			      struct lfs_offer *ret)
{
	AUTO(fd) int body = ipc_memfd("objects", b->object, b->n * sizeof(*b->object));
	AUTO(fd) int frames = body < 0 ? -1 : keeper_open(s->env->keeper, o, s->stream.fd, body);
	AUTO(mem) union keeper_in *f = malloc(sizeof(*f));
	struct talk t = { .frames = frames, .client = s->stream.fd, .f = f,
			  .deadline = deadline_in(s->env->config->total_ms) };

	return frames < 0 || !f ? REASON_INTERNAL_ERROR : take_offers(&t, ret, b->n);
}

static enum step answer(struct session *s, struct request *rq, struct rd body)
{
	char head[256];
	struct wr w = wr_of(head, sizeof(head));
	unsigned idle = s->env->config->idle_ms;

	wr_fmt(&w, "HTTP/1.1 200 OK\r\nContent-Type: " LFS_TYPE "\r\nCache-Control: no-store\r\nContent-Length: %zu\r\n%s\r\n",
	       body.n, rq->close ? "Connection: close\r\n" : "");
	rq->status = 200;
	if (!wr_ok(&w) || stream_write(&s->stream, w.p, w.n, idle) < 0 ||
	    stream_write(&s->stream, body.p, body.n, idle) < 0)
		return STEP_RESET;
	rq->down = body.n;
	return rq->close ? STEP_CLOSE : STEP_NEXT;
}

static enum step offer(struct session *s, struct request *rq, const struct lfs_batch *b, const char *base)
{
	AUTO(mem) struct lfs_offer *offers = calloc(b->n, sizeof(*offers));
	size_t cap = (b->n + 1) * LFS_ENTRY_MAX;
	AUTO(mem) uint8_t *text = malloc(cap);
	struct wr w = wr_of(text, text ? cap : 0);
	struct keeper_open o;

	rq->reason = REASON_INTERNAL_ERROR;
	if (offers && git_build(s, rq, &o)) {
		o.body_length = b->n * sizeof(*b->object);
		rq->reason = ask_keeper(s, &o, b, offers);
	}
	if (rq->reason != REASON_NONE)
		return request_refuse(s, rq, false);
	rq->source = keeper_source_text(KEEPER_FROM_UPSTREAM);
	lfs_batch_write(&w, base, b->upload, offers, b->n);
	if (wr_ok(&w))
		return answer(s, rq, wr_rd(&w));
	rq->reason = REASON_INTERNAL_ERROR;
	return request_refuse(s, rq, false);
}

static enum step judge_batch(struct session *s, struct request *rq, struct rd body, const char *base)
{
	struct lfs_batch b;
	enum step step;

	if (lfs_batch_read(body, &b) != PARSE_OK) {
		rq->reason = REASON_REQUEST_MALFORMED;
		return request_refuse(s, rq, false);
	}
	rq->path.service = b.upload ? GIT_SERVICE_RECEIVE_PACK : GIT_SERVICE_UPLOAD_PACK;
	rq->objects = (uint32_t)b.n;
	rq->reason = git_decide(s, rq);
	step = rq->reason == REASON_NONE ? offer(s, rq, &b, base) : request_refuse(s, rq, false);
	lfs_batch_done(&b);
	return step;
}

/* A body is small, and read before anything is asked. */
static enum step with_body(struct session *s, struct input *in, struct request *rq)
{
	uint64_t most = policy_limits(rq->sandbox.policy)->request_bytes,
		 max = most < LFS_BODY_MAX ? most : LFS_BODY_MAX;
	char base[LFS_BASE_MAX + 1];
	bool named = base_of(s, rq, base);
	AUTO(fd) int body = -1;
	AUTO(mem) uint8_t *text = NULL;
	struct body_error e;

	if (body_file_read(in, &rq->head, max, &body, &rq->up, &e) < 0) {
		rq->reason = e.reason;
		rq->status = e.status;
		return e.gone ? STEP_RESET : request_refuse(s, rq, true);
	}
	if (rq->path.kind == GP_LFS_VERIFY)
		return download(s, rq);		/* what it says stands in the link, too; an answer without bytes */
	text = read_whole(body, (size_t)rq->up);
	if (named && text && rq->path.kind == GP_LFS_BATCH)
		return judge_batch(s, rq, rd_of(text, (size_t)rq->up), base);
	rq->reason = REASON_INTERNAL_ERROR;
	return request_refuse(s, rq, false);
}

/* ---- which ---- */

static enum step dispatch(struct session *s, struct input *in, struct request *rq)
{
	bool has_body = rq->head.framing != HTTP_NO_BODY;

	if (rq->path.kind != GP_LFS_OBJECT)
		return with_body(s, in, rq);
	if (rq->head.method == HTTP_PUT && !http_has(&rq->head, HTTP_CONTENT_ENCODING))
		return upload(s, in, rq);
	if (rq->head.method == HTTP_GET && !has_body)
		return download(s, rq);
	rq->reason = REASON_REQUEST_MALFORMED;
	return request_refuse(s, rq, has_body);
}

enum step lfs_perform(struct session *s, struct input *in, struct request *rq)
{
	uint32_t limit = policy_limits(rq->sandbox.policy)->git_transfers;
	enum step step;

	/* git-lfs asks for the next objects while all its transfers run; the keeper has places left for that. */
	if (rq->path.kind != GP_LFS_OBJECT)
		return dispatch(s, in, rq);
	if (!conns_transfer_begin(s->env->conns, rq->sandbox.id, limit, SLOT_WAIT_MS)) {
		rq->reason = REASON_TOO_MANY_CONNECTIONS;
		return request_refuse(s, rq, rq->head.framing != HTTP_NO_BODY);
	}
	step = dispatch(s, in, rq);
	conns_transfer_end(s->env->conns, rq->sandbox.id);
	return step;
}

/* ---- the audit ---- */

void lfs_describe(const struct request *rq, bool many, struct audit_line *l, struct wr *key)
{
	bool upload = rq->path.service == GIT_SERVICE_RECEIVE_PACK;
	char hex[LFS_HEX + 1] = "";
	struct wr w = wr_of(hex, LFS_HEX);

	audit_str(l, "service", "lfs");
	if (rq->path.kind != GP_LFS_LOCKS && rq->path.kind != GP_LFS_OTHER)
		audit_str(l, "direction", upload ? "upload" : "download");
	if (rq->objects)
		audit_u64(l, "objects", rq->objects);
	wr_fmt(key, "|lfs|%d", upload);
	if (many || (rq->path.kind != GP_LFS_OBJECT && rq->path.kind != GP_LFS_VERIFY))
		return;
	wr_hex(&w, rq->path.oid, LFS_OID);
	audit_str(l, "oid", hex);
	wr_fmt(key, "|%s", hex);
}
