/*
 * request_http.c - requests to hosts whose requests the policy has rules for, and to plain HTTP
 *
 * Theory of operation: the policy decides on method and raw path; what is read in two ways was
 * refused before. The request is made anew by the keeper from the method, the target and a block of
 * those fields that http_fields.h lets pass. A token that the sandbox brings along for such a host
 * is its own business: the host is granted, and it is the host's to judge the token. Where the policy
 * has the keeper add a credential it is not (http_account.h): then it is refused, or dropped where
 * the credential takes its place, which the audit tells. Bodies are passed on as they come, up to the
 * policy's request_bytes: one that announces more is refused before anything is asked, one that does
 * not say is cut there.
 */
#include <errno.h>

#include "gitproxy/http_account.h"
#include "gitproxy/http_fields.h"
#include "gitproxy/relay.h"
#include "gitproxy/request_kind.h"

enum { CONTINUE_MS = 10000 };

struct http_request {
	struct keeper_text text;	/* for the keeper */
	size_t n;			/* bytes of the frame */
};

/* ---- judging ---- */

/* Target and fields as the keeper gets them; the head is gone when the body is read. */
static enum reason gather(struct request *rq, struct rd *ret_fields)
{
	struct http_request *h = rq->http = malloc(sizeof(*h));
	struct wr w;

	if (!h)
		return REASON_INTERNAL_ERROR;
	h->text.kind = KEEPER_TEXT;
	w = wr_of(h->text.text, sizeof(h->text.text));
	wr_rd_all(&w, rq->head.target);
	wr_str(&w, "\n");
	if (!http_fields_copy(rq->head.lines, &w))
		return REASON_REQUEST_MALFORMED;
	h->n = KEEPER_TEXT_HEAD + w.n;
	*ret_fields = wr_rd(&w);
	return rd_skip(ret_fields, rq->head.target.n + 1) ? REASON_NONE : REASON_INTERNAL_ERROR;
}

/* A credential that our list does not have is one that the keeper will refuse to use. */
static enum reason judge_account(const struct session *s, struct request *rq, struct rd query,
				 struct rd fields)
{
	const struct host_credential *c = host_credential_named(s->env->config, rq->credential);
	const char *ours = c && c->header ? c->header : "";

	rq->own_credential = http_has_field(fields, ours);
	return http_has_account(query, fields, ours) ? REASON_CREDENTIAL_NOT_ALLOWED : REASON_NONE;
}

static enum reason judge(const struct session *s, struct request *rq)
{
	struct http_decision d;
	struct rd path, query, fields;
	enum reason reason;

	http_target_split(rq->head.target, &path, &query);
	policy_decide_http(rq->sandbox.policy, s->name, rq->head.method_text, path, &d);
	rq->rule = d.rule;
	if (!d.allowed)
		return d.reason;
	reason = gather(rq, &fields);
	if (reason == REASON_NONE && http_is_doh(path, query, fields))
		reason = REASON_DOH_NOT_ALLOWED;
	rq->credential = d.credential;
	if (reason == REASON_NONE && d.credential)
		reason = judge_account(s, rq, query, fields);
	return reason;
}

/* ---- answering ---- */

static bool build(const struct session *s, const struct request *rq, struct keeper_http *q)
{
	const struct http_head *h = &rq->head;

	*q = (struct keeper_http){ .port = s->port, .has_body = h->framing != HTTP_NO_BODY };
	if (q->has_body)
		q->body_length = h->framing == HTTP_CHUNKED ? KEEPER_UNKNOWN : h->length;
	return msg_text_set(q->method, sizeof(q->method), rq->method) &&
	       msg_text_set(q->host, sizeof(q->host), s->name);
}

/* True: the client listens, or does not wait. */
static bool go_on(struct session *s, const struct http_head *h)
{
	static const char text[] = "HTTP/1.1 100 Continue\r\n\r\n";

	return !h->expect_continue ||
	       !stream_write(&s->stream, text, sizeof(text) - 1, CONTINUE_MS);
}

static enum step relay(struct session *s, struct request *rq, struct upload *up, int frames)
{
	const struct host_config *c = s->env->config;
	struct relay_spec spec = { .stream = &s->stream, .frames = frames, .upload = up,
				   .head = rq->head.method == HTTP_HEAD, .close = rq->close,
				   .total_ms = c->total_ms, .idle_ms = c->idle_ms };
	struct relay relay;
	enum relay_result r = relay_run(&spec, &relay);

	rq->up = up->sent;
	rq->down = relay.down;
	rq->reason = relay.reason;
	if (r == RELAY_REFUSED)
		return request_refuse(s, rq, !up->done);
	rq->status = relay.status;
	rq->cut = r != RELAY_DONE && rq->down;
	if (r != RELAY_DONE)
		return STEP_RESET;
	return relay.close ? STEP_CLOSE : STEP_NEXT;
}

static enum step perform(struct session *s, struct input *in, struct request *rq)
{
	AUTO(fd) int frames = -1;
	uint64_t max = policy_limits(rq->sandbox.policy)->request_bytes;
	struct keeper_http q;
	struct upload up;

	upload_init(&up, in, &rq->head, max);
	if (rq->head.framing == HTTP_LENGTH && rq->head.length > max) {
		rq->reason = REASON_BODY_TOO_LARGE;
		return request_refuse(s, rq, true);
	}
	if (build(s, rq, &q))
		frames = keeper_open_http(s->env->keeper, &q, s->stream.fd, &rq->http->text,
					  rq->http->n);
	if (frames < 0) {
		rq->reason = REASON_INTERNAL_ERROR;
		return request_refuse(s, rq, !up.done);
	}
	return go_on(s, &rq->head) ? relay(s, rq, &up, frames) : STEP_RESET;
}

/* ---- the audit ---- */

static void describe(const struct request *rq, bool many, struct audit_line *l, struct wr *key)
{
	if (rq->credential)
		audit_str(l, "credential", rq->credential);
	if (rq->own_credential)
		audit_str(l, "own_credential", "dropped");
	if (many)
		return;
	wr_fmt(key, "|%s|", rq->method);
	wr_rd_all(key, rd_of(rq->target, rq->target_n < 128 ? rq->target_n : 128));
}

const struct request_kind request_http = {
	.event = "http", .judge = judge, .perform = perform, .describe = describe,
};
