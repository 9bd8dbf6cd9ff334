/*
 * ask.c - what the mirror asks of upstream, by way of the keeper
 *
 * Theory of operation: the keeper adds the credential of the domain, dials, and judges status and
 * headers; what arrives here is the body of an answer that may be passed on, in frames. Only END
 * without a reason makes it a whole one.
 */
#include "gitproxy/mirror/ask.h"

#include <errno.h>

#include "gitproxy/deadline.h"
#include "gitproxy/keeper_client.h"

static int start(const struct ask *q, int *ret_frames)
{
	struct mirror_ask m = { .domain = *q->domain, .large = q->large,
				.open = { .kind = q->body.n ? GP_RPC : GP_INFO_REFS, .git_protocol = q->push ? 0 : 2,
					  .service = q->push ? GIT_SERVICE_RECEIVE_PACK : GIT_SERVICE_UPLOAD_PACK,
					  .body_length = q->body.n } };
	AUTO(fd) int body = q->body.n ? ipc_memfd("request", q->body.p, q->body.n) : -1;
	AUTO(fd) int ours = -1;
	AUTO(fd) int theirs = -1;
	int r;

	if (!msg_text_set(m.open.host, sizeof(m.open.host), q->host) ||
	    !msg_text_set(m.open.repo, sizeof(m.open.repo), q->repo) ||
	    !msg_text_set(m.open.user_agent, sizeof(m.open.user_agent), "git/cordon-" CORDON_VERSION))
		return -EINVAL;
	r = q->body.n && body < 0 ? body : ipc_pair(&ours, &theirs);
	if (r < 0)
		return r;
	const int fds[] = { [MIRROR_ASK_ANSWER] = theirs, [MIRROR_ASK_BODY] = body };

	r = ipc_send(q->keeper, MSG_MIRROR_ASK, 0, &m, sizeof(m), fds, body < 0 ? 1 : 2);
	if (!r)
		*ret_frames = STEAL_FD(ours);
	return r;
}

struct hearing {
	const struct ask *q;
	struct ask_outcome *out;
	int frames;
	uint64_t total;			/* deadline */
	union keeper_in *f;
	size_t n;
};

static enum keeper_frame_kind next(struct hearing *h, uint64_t idle)
{
	AUTO(fd) int file = -1;
	int error = 0;
	enum keeper_frame_kind kind = keeper_next(h->frames, -1, idle < h->total ? idle : h->total, h->f, &h->n,
						  &file, &error);

	if (kind == KEEPER_NONE)
		h->out->reason = error == -ETIMEDOUT ? REASON_DEADLINE_EXCEEDED : REASON_INTERNAL_ERROR;
	return kind;
}

static bool head(struct hearing *h)
{
	if (next(h, h->total) != KEEPER_STATUS) {	/* the keeper has a deadline for it */
		if (h->out->reason == REASON_NONE)
			h->out->reason = REASON_INTERNAL_ERROR;
		return false;
	}
	h->out->reason = (enum reason)h->f->status.reason;
	h->out->status = h->f->status.upstream_status;
	return h->out->reason == REASON_NONE;
}

static void body(struct hearing *h)
{
	enum keeper_frame_kind kind;

	while ((kind = next(h, deadline_in(h->q->idle_ms))) == KEEPER_DATA) {
		h->out->down += h->n;
		h->out->stopped = h->q->sink(h->q->owner, rd_of(h->f->data.data, h->n));
		if (h->out->stopped < 0) {
			h->out->reason = REASON_INTERNAL_ERROR;
			return;
		}
	}
	if (kind == KEEPER_END)
		h->out->reason = (enum reason)h->f->end.reason;
	else if (kind != KEEPER_NONE)
		h->out->reason = REASON_INTERNAL_ERROR;
}

void ask_upstream(const struct ask *q, struct ask_outcome *ret)
{
	AUTO(mem) union keeper_in *f = malloc(sizeof(*f));
	struct hearing h = { .q = q, .out = ret, .f = f, .total = deadline_in(q->total_ms) };
	uint64_t now = deadline_now();
	AUTO(fd) int frames = -1;

	*ret = (struct ask_outcome){ .reason = REASON_INTERNAL_ERROR, .asked = now };
	if (!f || start(q, &frames) < 0)
		return;
	h.frames = frames;
	ret->reason = REASON_NONE;
	if (head(&h))
		body(&h);
	ret->ms = deadline_now() - now;
}

/* Rate limits and limits of size are about the question, and say nothing of the right to read. */
static enum ask_no status_says(unsigned status)
{
	if (status < 400 || status >= 500 || status == 401 || status == 403 || status == 404 || status == 410)
		return ASK_DENIED;
	return status == 408 || status == 429 ? ASK_AWAY : ASK_UNKNOWN;
}

enum ask_no ask_no(const struct ask_outcome *o)
{
	if (o->reason == REASON_UPSTREAM_UNREACHABLE || o->reason == REASON_DEADLINE_EXCEEDED)
		return ASK_AWAY;
	if (o->reason == REASON_INTERNAL_ERROR)
		return ASK_UNKNOWN;
	return o->reason == REASON_UPSTREAM_DENIED ? status_says(o->status) : ASK_DENIED;
}

bool ask_gone(const struct ask_outcome *o, const struct mirror_domain *d)
{
	if (o->reason == REASON_UPSTREAM_UNTRUSTED)
		return false;
	if (o->status == 403)
		return false;
	return o->status != 401 || !*d->credential;
}
