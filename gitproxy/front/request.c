/*
 * request.c - the requests on one connection
 *
 * Theory of operation: read a head, judge it, read its body, ask the keeper, relay the answer; then
 * the next. Every request is judged by itself, with the policy as it is at that moment: keep-alive
 * and pipelining carry nothing over. What differs between kinds of hosts stands behind struct
 * request_kind. A refusal keeps the connection when no body is pending; otherwise the answer says
 * close, and the rest is read away. One audit line per request: allowed ones at once, refused ones
 * aggregated; beyond the policy's audit_lines_per_second refused ones are counted without what the
 * client chose, so that random paths cannot fill the disk.
 */
#include "gitproxy/front/request.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>

#include "gitproxy/deadline.h"
#include "gitproxy/front/internal.h"
#include "gitproxy/http_fields.h"
#include "gitproxy/front/request_kind.h"

enum {
	IDLE_MS = 60000,		/* between requests */
	CONTINUE_MS = 10000,
	HEAD_MS = 10000,		/* from a head's first byte to its last */
	TALK_MS = 2000,			/* between requests, until their means are given back */
	REQUESTS_MAX = 1000		/* on one connection */
};

/* ---- reading ---- */

/*
 * A head, or why not. It is parsed again only when a line has come to its end, so that single bytes
 * cost nothing.
 */
static enum parse read_head(struct input *in, struct http_head *ret, bool *ret_timeout)
{
	uint64_t deadline = deadline_in(input_rd(in).n ? HEAD_MS : IDLE_MS);
	enum parse r = PARSE_MORE;
	bool fresh = true;
	size_t used;

	*ret_timeout = false;
	for (;;) {
		struct rd have = input_rd(in);
		size_t before = have.n;
		ssize_t n;

		if (before && fresh)
			r = http_head_parse(have, ret, &used);
		if (r == PARSE_OK)
			input_keep(in, before - used);
		if (r != PARSE_MORE)
			return r;
		n = input_fill(in, deadline);
		if (n <= 0) {
			*ret_timeout = n == -ETIMEDOUT;
			return n == -ENOBUFS ? PARSE_BAD : PARSE_MORE;
		}
		if (!before)
			deadline = deadline_in(HEAD_MS);
		have = input_rd(in);
		fresh = !before || !rd_skip(&have, before) || rd_has(have, '\n') ||
			before + (size_t)n == HTTP_HEAD_MAX;
	}
}

/* ---- judging ---- */

bool request_host_is(const struct session *s, struct rd host)
{
	char canonical[POLICY_NAME_MAX + 1], port[8];
	bool has_port = rd_has(host, ':');
	struct rd name = rd_piece(&host, ':');

	snprintf(port, sizeof(port), "%u", s->port);
	if (has_port && !rd_eq_str(host, port))
		return false;
	return name_canonical(name, canonical) && !strcmp(canonical, s->name);
}

/* NULL: the policy has changed, and the host is none of ours any more. */
static const struct request_kind *kind_of(const struct session *s, const struct request *rq)
{
	const struct policy *p = rq->sandbox.policy;

	if (policy_is_git_host(p, s->name))
		return &request_git;
	return !rq->routed && policy_is_http_host(p, s->name, s->port) ? &request_http : NULL;
}

/* What holds for every kind, then what the kind says. */
static enum reason judge(const struct session *s, struct request *rq)
{
	if (!rq->routed && !request_host_is(s, rq->head.field[HTTP_HOST]))
		return REASON_HOST_MISMATCH;
	if (!rq->kind)
		return REASON_HOST_NOT_ALLOWED;
	if (http_has(&rq->head, HTTP_UPGRADE) && !rq->kind->upgrades)
		return REASON_UPGRADE_NOT_ALLOWED;
	return rq->kind->judge(s, rq);
}

/* ---- answering ---- */

static enum refuse_form form_of(const struct request *rq)
{
	if (rq->head.method == HTTP_HEAD)
		return REFUSE_NO_BODY;
	return rq->kind && rq->kind->form ? rq->kind->form(rq) : REFUSE_TEXT;
}

bool request_go_on(struct session *s, const struct http_head *h)
{
	static const char text[] = "HTTP/1.1 100 Continue\r\n\r\n";

	return !h->expect_continue || !stream_write(&s->stream, text, sizeof(text) - 1, CONTINUE_MS);
}

enum step request_refuse(struct session *s, struct request *rq, bool body_pending)
{
	bool close = rq->close || body_pending || rq->reason == REASON_REQUEST_MALFORMED;
	int r = refuse_answer(&s->stream, form_of(rq), rq->reason, rq->status, close, &rq->status);

	return r < 0 ? STEP_RESET : close ? STEP_CLOSE : STEP_NEXT;
}

/* ---- the audit ---- */

/* For /refusals of cordon.internal. */
static void tell(const struct session *s, const struct request *rq)
{
	char what[MSG_NAME + REQUEST_SHOWN + 64];

	snprintf(what, sizeof(what), "%s %s%.*s", rq->method[0] ? rq->method : "request to", s->name,
		 (int)rq->target_n, (const char *)rq->target);
	ask_tell(s->env->view, rq->sandbox.id, rq->reason, what);
}

void request_audit(const struct session *s, const struct request *rq, bool refused)
{
	const struct view_sandbox *sb = &rq->sandbox;
	struct audit_head h = { .event = rq->tunnel ? "upgrade" : rq->kind ? rq->kind->event : "http",
				.sandbox = sb->name,
				.profile = policy_name(sb->policy),
				.decision = refused ? "deny" : "allow",
				.reason = reason_text(rq->reason),
				.rule = rq->rule ? rq->rule : "default",
				.policy = policy_sha256(sb->policy) };
	uint32_t rate = policy_limits(sb->policy)->audit_lines_per_second;
	bool many = refused && !budget_take(s->env->lines, sb->id, rate);
	char key[REQUEST_KEY_MAX];
	struct wr k = wr_of(key, sizeof(key) - 1);
	struct audit_line l;

	k.failed = !refused;			/* nobody asks for it then */
	audit_begin(&l, &h);
	audit_str(&l, "host", s->name);
	audit_u64(&l, "port", s->port);
	audit_str(&l, "method", rq->method);
	audit_rd(&l, "path", rd_of(rq->target, many ? 0 : rq->target_n));
	wr_fmt(&k, "%s|%s|%s", sb->name, s->name, h.reason);
	if (rq->kind)
		rq->kind->describe(rq, many, &l, &k);
	audit_u64(&l, "status", rq->status);
	audit_u64(&l, "bytes_up", rq->up);
	audit_u64(&l, "bytes_down", rq->down);
	audit_u64(&l, "ms", deadline_now() - rq->started);
	if (rq->tunnel)
		audit_str(&l, "outcome", rq->tunnel);
	key[k.n] = '\0';
	if (!refused)
		audit_put(s->env->audit, &l);
	else if (!audit_aggregate(s->env->audit, key, &l) && !many)
		tell(s, rq);
}

/* What the audit will show, while the head's bytes are still there. */
static void remember(struct request *rq)
{
	struct rd t = rq->head.target, query;

	if (!rq->kind || !rq->kind->shows_query)
		http_target_split(t, &t, &query);	/* it may hold secrets */
	rq->target_n = t.n < sizeof(rq->target) ? t.n : sizeof(rq->target);
	memcpy(rq->target, t.p, rq->target_n);
	snprintf(rq->method, sizeof(rq->method), "%.*s", (int)rq->head.method_text.n,
		 (const char *)rq->head.method_text.p);
}

/* ---- the loop ---- */

static enum step decide_and_serve(struct session *s, struct input *in, struct request *rq)
{
	enum step step;

	rq->started = deadline_now();
	rq->reason = rq->malformed ? REASON_REQUEST_MALFORMED : REASON_NONE;
	if (rq->routed && !rq->malformed)
		rq->reason = request_route(s, rq);
	rq->kind = kind_of(s, rq);
	if (!rq->malformed) {
		remember(rq);
		rq->close |= rq->head.close;
	}
	if (rq->reason == REASON_NONE)
		rq->reason = judge(s, rq);
	if (rq->reason == REASON_NONE)
		step = rq->kind->perform(s, in, rq);
	else
		step = request_refuse(s, rq, rq->head.framing != HTTP_NO_BODY);
	request_audit(s, rq, rq->reason != REASON_NONE && !rq->cut);
	return step;
}

/* cordon.internal: nothing goes further. */
static enum step answer_here(struct session *s, const struct request *rq)
{
	const struct http_head *h = rq->malformed ? NULL : &rq->head;
	int r = internal_serve(s, &rq->sandbox, h, h && request_host_is(s, h->field[HTTP_HOST]), rq->close);

	return r < 0 ? STEP_RESET : r ? STEP_NEXT : STEP_CLOSE;
}

/* Nobody is served blindly; a sandbox that is gone is not even answered. */
static enum step answer_nobody(struct session *s, enum reason reason)
{
	unsigned status;

	if (reason != REASON_UNAVAILABLE)
		return STEP_RESET;
	session_audit(s, NULL, reason, NULL);
	return refuse_answer(&s->stream, REFUSE_TEXT, reason, 0, true, &status) < 0 ? STEP_RESET :
										      STEP_CLOSE;
}

/* A client that takes its time costs no more than its connection. */
static void wait_request(struct session *s, const struct input *in)
{
	if (!s->room || input_rd(in).n || stream_pending(&s->stream))
		return;
	if (deadline_wait(s->stream.fd, POLLIN, deadline_in(TALK_MS)) == -ETIMEDOUT)
		session_rest(s);
}

static enum step one(struct session *s, struct input *in, bool last)
{
	struct request rq = { .close = last };
	bool timeout;
	enum step step;
	enum reason reason;
	enum parse r;

	wait_request(s, in);
	r = read_head(in, &rq.head, &timeout);
	if (r == PARSE_MORE) /* the end, between requests or inside one */
		return timeout || !input_rd(in).n ? STEP_CLOSE : STEP_RESET;
	rq.malformed = r == PARSE_BAD;
	reason = session_who(s->env, &s->peer, &rq.sandbox);
	if (reason != REASON_NONE)
		return answer_nobody(s, reason);
	rq.routed = request_is_routed(s, &rq);
	if (rq.sandbox.id != s->sandbox)
		step = STEP_RESET;
	else if (s->internal && !rq.routed)
		step = answer_here(s, &rq);
	else
		step = decide_and_serve(s, in, &rq);
	if (rq.routed)
		request_route_end(s);
	free(rq.http);
	view_sandbox_done(&rq.sandbox);
	return step;
}

bool request_loop(struct session *s)
{
	AUTO(mem) struct input *in = calloc(1, sizeof(*in));
	enum step step = STEP_RESET;

	if (!in)
		return false;
	in->stream = &s->stream;
	for (unsigned n = 1; n <= REQUESTS_MAX; n++) {
		step = one(s, in, n == REQUESTS_MAX);
		if (step != STEP_NEXT)
			break;
	}
	return step == STEP_CLOSE;
}
