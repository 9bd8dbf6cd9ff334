/*
 * request.c - the requests on one connection
 *
 * Theory of operation: read a head, judge it, read its body, ask the keeper, relay the answer; then
 * the next. Every request is judged by itself, with the policy as it is at that moment: keep-alive
 * and pipelining carry nothing over. What goes upstream is made from parsed fields alone (struct
 * keeper_open); no byte of a head is copied. A refusal keeps the connection when no body is
 * pending; otherwise the answer says close, and the rest is read away. One audit line per request:
 * allowed ones at once, refused ones aggregated; beyond the policy's audit_lines_per_second refused
 * ones are counted under the repository "*", so that random paths cannot fill the disk.
 */
#include "gitproxy/request.h"

#include <errno.h>
#include <stdio.h>

#include "gitproxy/body_file.h"
#include "gitproxy/deadline.h"
#include "gitproxy/git_path.h"
#include "gitproxy/refuse.h"
#include "gitproxy/relay.h"

enum {
	IDLE_MS = 60000,		/* between requests */
	HEAD_MS = 10000,		/* from a head's first byte to its last */
	SLOT_WAIT_MS = 15000,		/* for one of the sandbox's transfers to end */
	REQUESTS_MAX = 1000,		/* on one connection */
	PATH_SHOWN = 256
};

struct request {
	struct http_head head; /* its slices end with the first byte of the body that is read */
	struct gp_path path;
	struct keeper_open open;
	struct view_sandbox sandbox;
	struct repo_decision decision;
	enum reason reason;
	unsigned status;		/* that was, or is to be, answered; 0: the reason's own */
	bool malformed;			/* the head itself: nothing in it can be believed */
	bool close;
	uint64_t started, up, down;
	char method[20];
	uint8_t target[PATH_SHOWN];
	size_t target_n;
};

enum step { STEP_RESET = 0, STEP_CLOSE, STEP_NEXT };

/* ---- reading ---- */

static bool has_newline(struct rd r)
{
	return r.n && memchr(r.p, '\n', r.n);
}

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
		fresh = !before || !rd_skip(&have, before) || has_newline(have) ||
			before + (size_t)n == HTTP_HEAD_MAX;
	}
}

/* ---- judging ---- */

/* "name" or "name:port" of this very connection. */
static bool host_is(const struct session *s, struct rd host)
{
	char canonical[POLICY_NAME_MAX + 1], port[8];
	struct rd name = host;

	if (host.n && memchr(host.p, ':', host.n)) {
		if (!rd_until(&host, ':', &name))
			return false;
		snprintf(port, sizeof(port), "%u", s->port);
		if (!rd_eq_str(host, port))
			return false;
	}
	return name_canonical(name, canonical) && !strcmp(canonical, s->name);
}

static bool method_fits(const struct request *rq)
{
	return rq->head.method == (rq->path.kind == GP_INFO_REFS ? HTTP_GET : HTTP_POST);
}

/* What the content of a POST must be called, for the service it goes to. */
static bool type_fits(const struct request *rq)
{
	const char *want = rq->path.service == GIT_SERVICE_RECEIVE_PACK ?
				   "application/x-git-receive-pack-request" :
				   "application/x-git-upload-pack-request";

	return rq->path.kind != GP_RPC || rd_eq_nocase(rq->head.field[HTTP_CONTENT_TYPE], want);
}

static enum reason judge(const struct session *s, struct request *rq)
{
	const struct policy *p = rq->sandbox.policy;
	const struct http_head *h = &rq->head;
	enum reason reason;

	if (!host_is(s, h->field[HTTP_HOST]))
		return REASON_HOST_MISMATCH;
	if (!policy_is_git_host(p, s->name))
		return REASON_HOST_NOT_ALLOWED;
	if (http_has(h, HTTP_UPGRADE))
		return REASON_UPGRADE_NOT_ALLOWED;
	if (http_has(h, HTTP_AUTHORIZATION))
		return REASON_CREDENTIAL_NOT_ALLOWED;
	if (h->method == HTTP_OTHER)
		return REASON_METHOD_NOT_ALLOWED;
	if (gp_path_parse(h->target, policy_git_nested(p, s->name), &rq->path, &reason) != PARSE_OK)
		return reason;
	if (!method_fits(rq))
		return REASON_METHOD_NOT_ALLOWED;
	policy_decide_repo(p, s->name, rq->path.repo, rq->path.service, &rq->decision);
	if (!rq->decision.allowed)
		return rq->decision.reason;
	if (rq->path.service != GIT_SERVICE_UPLOAD_PACK)	/* no path for pushes exists yet */
		return REASON_PUSH_NOT_ALLOWED;
	return type_fits(rq) ? REASON_NONE : REASON_REQUEST_MALFORMED;
}

static uint8_t git_protocol(const struct http_head *h)
{
	struct rd v = h->field[HTTP_GIT_PROTOCOL];

	return rd_eq_str(v, "version=2") ? 2 : rd_eq_str(v, "version=1") ? 1 : 0;
}

/* The request as the keeper will make it: from parsed fields alone. */
static bool build(const struct session *s, struct request *rq)
{
	struct keeper_open *o = &rq->open;

	*o = (struct keeper_open){ .kind = rq->path.kind, .service = rq->path.service,
				   .git_protocol = git_protocol(&rq->head) };
	keeper_agent_set(rq->head.field[HTTP_USER_AGENT], o->user_agent);
	return msg_text_set(o->host, sizeof(o->host), s->name) &&
	       msg_text_set(o->repo, sizeof(o->repo), rq->path.repo);
}

/* ---- answering ---- */

static enum refuse_form form_of(const struct request *rq)
{
	bool fetch = rq->path.kind == GP_RPC && rq->path.service == GIT_SERVICE_UPLOAD_PACK &&
		     rq->head.method == HTTP_POST;

	if (rq->head.method == HTTP_HEAD)
		return REFUSE_NO_BODY;
	return fetch && rq->reason != REASON_REQUEST_MALFORMED ? REFUSE_FETCH_PACKET : REFUSE_TEXT;
}

static enum step refuse(struct session *s, struct request *rq, bool body_pending)
{
	bool close = rq->close || body_pending || rq->malformed;
	int r = refuse_answer(&s->stream, form_of(rq), rq->reason, rq->status, close, &rq->status);

	return r < 0 ? STEP_RESET : close ? STEP_CLOSE : STEP_NEXT;
}

static enum step forward(struct session *s, struct request *rq, int body)
{
	const struct host_config *c = s->env->config;
	AUTO(fd) int frames = keeper_open(s->env->keeper, &rq->open, s->stream.fd, body);
	struct relay relay = { .reason = REASON_INTERNAL_ERROR };
	enum relay_result r = RELAY_REFUSED;

	if (frames >= 0)
		r = relay_run(&s->stream, frames, rq->close, c->total_ms, c->idle_ms, &relay);
	rq->down = relay.down;
	rq->reason = relay.reason;
	switch (r) {
	case RELAY_REFUSED:
		return refuse(s, rq, false);
	case RELAY_DONE:
		rq->status = 200;
		return rq->close ? STEP_CLOSE : STEP_NEXT;
	case RELAY_BROKEN:
		rq->status = rq->down ? 200 : 0;
		break;
	}
	return STEP_RESET;
}

static enum step transfer(struct session *s, struct request *rq, int body)
{
	uint32_t limit = policy_limits(rq->sandbox.policy)->git_transfers;
	enum step step;

	if (!conns_transfer_begin(s->env->conns, rq->sandbox.id, limit, SLOT_WAIT_MS)) {
		rq->reason = REASON_TOO_MANY_CONNECTIONS;
		return refuse(s, rq, false);
	}
	step = forward(s, rq, body);
	conns_transfer_end(s->env->conns, rq->sandbox.id);
	return step;
}

/* An allowed request: its body first, then upstream. */
static enum step perform(struct session *s, struct input *in, struct request *rq)
{
	uint64_t max = policy_limits(rq->sandbox.policy)->request_bytes;
	struct body_error e;
	AUTO(fd) int body = -1;

	if (!build(s, rq)) {
		rq->reason = REASON_INTERNAL_ERROR;
		return refuse(s, rq, rq->head.framing != HTTP_NO_BODY);
	}
	if (rq->path.kind == GP_INFO_REFS)
		return transfer(s, rq, -1);
	if (!body_file_read(in, &rq->head, max, &body, &rq->up, &e)) {
		rq->open.body_length = rq->up;
		return transfer(s, rq, body);
	}
	rq->reason = e.reason;
	rq->status = e.status;
	return e.gone ? STEP_RESET : refuse(s, rq, true);
}

/* ---- the audit ---- */

static const char *service_text(enum git_service v)
{
	return v == GIT_SERVICE_RECEIVE_PACK ? "git-receive-pack" :
	       v == GIT_SERVICE_UPLOAD_PACK ? "git-upload-pack" : "";
}

static void audit_request(const struct session *s, const struct request *rq, bool refused)
{
	const struct view_sandbox *sb = &rq->sandbox;
	struct audit_head h = { .event = "git",
				.sandbox = sb->name,
				.profile = policy_name(sb->policy),
				.decision = refused ? "deny" : "allow",
				.reason = reason_text(rq->reason),
				.rule = rq->decision.rule ? rq->decision.rule : "default",
				.policy = policy_sha256(sb->policy) };
	uint32_t rate = policy_limits(sb->policy)->audit_lines_per_second;
	bool many = refused && !budget_take(s->env->lines, sb->id, rate);
	const char *repo = many ? "*" : rq->path.repo;
	char key[MSG_LABEL + MSG_NAME + GP_REPO_MAX + 96];
	struct audit_line l;

	audit_begin(&l, &h);
	audit_str(&l, "host", s->name);
	audit_u64(&l, "port", s->port);
	audit_str(&l, "method", rq->method);
	audit_rd(&l, "path", rd_of(rq->target, many ? 0 : rq->target_n));
	audit_str(&l, "repo", repo);
	audit_str(&l, "service", service_text(rq->path.service));
	audit_u64(&l, "status", rq->status);
	audit_u64(&l, "bytes_up", rq->up);
	audit_u64(&l, "bytes_down", rq->down);
	audit_u64(&l, "ms", deadline_now() - rq->started);
	if (!refused) {
		audit_put(s->env->audit, &l);
		return;
	}
	snprintf(key, sizeof(key), "%s|%s|%s|%s|%s", sb->name, s->name, repo,
		 service_text(rq->path.service), h.reason);
	audit_aggregate(s->env->audit, key, &l);
}

/* What the audit will show, while the head's bytes are still there. */
static void remember(struct request *rq)
{
	struct rd t = rq->head.target;

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
	if (!rq->malformed) {
		remember(rq);
		rq->close |= rq->head.close;
		rq->reason = judge(s, rq);
	}
	if (rq->reason == REASON_NONE)
		step = perform(s, in, rq);
	else
		step = refuse(s, rq, rq->head.framing != HTTP_NO_BODY);
	/* A reset in the middle of an answer was allowed; everything else with a reason was not. */
	audit_request(s, rq, rq->reason != REASON_NONE && !(step == STEP_RESET && rq->down));
	return step;
}

static enum step one(struct session *s, struct input *in, bool last)
{
	struct request rq = { .close = last };
	bool timeout;
	enum step step;
	enum parse r = read_head(in, &rq.head, &timeout);

	if (r == PARSE_MORE) /* the end, between requests or inside one */
		return timeout || !input_rd(in).n ? STEP_CLOSE : STEP_RESET;
	rq.malformed = r == PARSE_BAD;
	if (!view_sandbox_of(s->env->view, &s->peer, &rq.sandbox))
		return STEP_RESET; /* gone, or netd is: nothing is served blindly */
	step = rq.sandbox.id == s->sandbox ? decide_and_serve(s, in, &rq) : STEP_RESET;
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
