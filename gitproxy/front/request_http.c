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
 * An upgrade is one to WebSocket, where the rule that allows the request says so. It has two lines in
 * the audit: the request's with its 101, and one of event "upgrade" when the tunnel has ended.
 */
#include <errno.h>
#include <unistd.h>

#include "gitproxy/front/relay.h"
#include "gitproxy/front/request_kind.h"
#include "gitproxy/front/tunnel.h"
#include "gitproxy/http_account.h"
#include "gitproxy/http_fields.h"
#include "gitproxy/websocket.h"

struct http_request {
	struct keeper_text text;	/* for the keeper */
	size_t n;			/* bytes of the frame */
};

/* ---- judging ---- */

static bool is_upgrade(const struct http_head *h)
{
	return http_has(h, HTTP_UPGRADE);
}

static enum http_direction direction_of(const struct http_head *h)
{
	return is_upgrade(h) ? HTTP_UPGRADE_TO_SERVER : HTTP_TO_SERVER;
}

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
	if (!http_fields_copy(rq->head.lines, direction_of(&rq->head), &w))
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

/* Nothing but WebSocket, in the one form there is (RFC 6455 s4.1). */
static enum reason judge_upgrade(const struct http_head *h, bool allowed, struct rd fields)
{
	if (!allowed || !websocket_is(h->field[HTTP_UPGRADE]) || !h->upgrade)
		return REASON_UPGRADE_NOT_ALLOWED;
	if (h->method != HTTP_GET || !websocket_asked(fields))
		return REASON_REQUEST_MALFORMED;
	return REASON_NONE;
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
	if (reason == REASON_NONE && is_upgrade(&rq->head))
		reason = judge_upgrade(&rq->head, d.upgrade, fields);
	return reason;
}

/* ---- answering ---- */

static bool build(const struct session *s, struct request *rq)
{
	struct keeper_http *q = &rq->http->text.http;
	const struct http_head *h = &rq->head;

	*q = (struct keeper_http){ .port = s->port, .has_body = h->framing != HTTP_NO_BODY,
				   .upgrade = is_upgrade(h) };
	if (q->has_body)
		q->body_length = h->framing == HTTP_CHUNKED ? KEEPER_UNKNOWN : h->length;
	return msg_text_set(q->method, sizeof(q->method), rq->method) &&
	       msg_text_set(q->host, sizeof(q->host), s->name);
}

static void hang_up(struct session *s)
{
	if (s->talk >= 0)
		close(s->talk);
	s->talk = -1;
}

/* On the conversation that there is, if the keeper still listens; else on a new one. */
static int ask_keeper(struct session *s, const struct http_request *h)
{
	bool upgrade = h->text.http.upgrade;
	int r;

	if (s->talk >= 0 && !upgrade && !keeper_ask(s->talk, &h->text, h->n))
		return 0;
	hang_up(s);
	s->talk = keeper_talk(s->env->keeper, s->stream.fd, upgrade);
	if (s->talk < 0)
		return s->talk;
	r = keeper_ask(s->talk, &h->text, h->n);
	return r == -EPIPE ? 0 : r;		/* refused unread: its reason is there to be read */
}

/* The 101 is out. */
static enum step tunnel(struct session *s, struct input *in, struct request *rq)
{
	const struct host_config *c = s->env->config;
	struct tunnel_spec spec = { .in = in, .frames = s->talk, .idle_ms = c->idle_ms,
				    .total_ms = c->total_ms };
	struct tunnel t;

	free(s->room);				/* nothing more is relayed */
	s->room = NULL;
	request_audit(s, rq, false);
	tunnel_run(&spec, &t);
	rq->up = t.up;
	rq->down = t.down;
	rq->reason = t.reason;
	rq->tunnel = t.outcome;
	rq->cut = true;				/* whatever ended it: it was allowed */
	return t.clean ? STEP_CLOSE : STEP_RESET;
}

static enum step relay(struct session *s, struct request *rq, struct upload *up)
{
	const struct host_config *c = s->env->config;
	struct relay_spec spec = { .stream = &s->stream, .frames = s->talk, .room = &s->room, .upload = up,
				   .head = rq->head.method == HTTP_HEAD, .close = rq->close,
				   .upgrade = is_upgrade(&rq->head),
				   .total_ms = c->total_ms, .idle_ms = c->idle_ms };
	struct relay relay;
	enum relay_result r = relay_run(&spec, &relay);

	if (!relay.kept && r != RELAY_UPGRADED)
		hang_up(s);
	rq->up = up->sent;
	rq->down = relay.down;
	rq->reason = relay.reason;
	if (r == RELAY_REFUSED)
		return request_refuse(s, rq, !upload_is_read(up));
	rq->status = relay.status;
	if (r == RELAY_UPGRADED)
		return tunnel(s, up->in, rq);
	rq->cut = r != RELAY_DONE && rq->down;
	if (r != RELAY_DONE)
		return STEP_RESET;
	return relay.close ? STEP_CLOSE : STEP_NEXT;
}

static enum step forward(struct session *s, struct input *in, struct request *rq)
{
	uint64_t max = policy_limits(rq->sandbox.policy)->request_bytes;
	struct upload up;

	upload_init(&up, in, &rq->head, max);
	if (rq->head.framing == HTTP_LENGTH && rq->head.length > max) {
		rq->reason = REASON_BODY_TOO_LARGE;
		return request_refuse(s, rq, true);
	}
	if (!build(s, rq) || ask_keeper(s, rq->http) < 0) {
		rq->reason = REASON_INTERNAL_ERROR;
		return request_refuse(s, rq, !upload_is_read(&up));
	}
	if (request_go_on(s, &rq->head))
		return relay(s, rq, &up);
	hang_up(s);
	return STEP_RESET;
}

static enum step perform(struct session *s, struct input *in, struct request *rq)
{
	uint32_t limit = policy_limits(rq->sandbox.policy)->upgrades;
	enum step step;

	if (!is_upgrade(&rq->head))
		return forward(s, in, rq);
	if (!conns_tunnel_begin(s->env->conns, rq->sandbox.id, limit)) {
		rq->reason = REASON_TOO_MANY_CONNECTIONS;
		return request_refuse(s, rq, false);
	}
	step = forward(s, in, rq);
	conns_tunnel_end(s->env->conns, rq->sandbox.id);
	return step;
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
	.event = "http", .upgrades = true, .judge = judge, .perform = perform, .describe = describe,
};
