/*
 * serve_http.c - the keeper's side of OPEN_HTTP
 *
 * Theory of operation: target and fields come as the first frame on the answer's socket, which the
 * front fills before anything else. They are checked as text, then the policy decides again, on the
 * bytes that go upstream; the port must be one whose requests the policy has the proxy check. What
 * the front saw and we do not (Host, the connection) is not needed: the host is ours to name.
 * The decision names the credential, if any: without it, beside another account, or in the clear
 * such a request is not sent at all. A tunnel outlives the decision, so it is made again while it
 * runs, of the policy in force by then.
 */
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>

#include "gitproxy/deadline.h"
#include "gitproxy/http_account.h"
#include "gitproxy/http_fields.h"
#include "gitproxy/keeper/dial.h"
#include "gitproxy/keeper/serve_job.h"
#include "gitproxy/websocket.h"

void serve_http_refuse(const struct job *j, enum reason reason)
{
	struct keeper_head head = { .kind = KEEPER_HEAD, .reason = reason };

	upstream_send(j->in.fd[KEEPER_ANSWER], &head, KEEPER_HEAD_HEAD, NULL, 0,
		      deadline_in(SERVE_ANSWER_MS));
}

static bool read_text(int answer, struct keeper_text *t, struct upstream_http *q)
{
	ssize_t n;

	if (deadline_wait(answer, POLLIN, deadline_in(SERVE_ANSWER_MS)) < 0)
		return false;
	n = recv(answer, t, sizeof(*t), MSG_DONTWAIT | MSG_TRUNC);
	return n >= (ssize_t)KEEPER_TEXT_HEAD && (size_t)n <= sizeof(*t) &&
	       keeper_text_split(t, (size_t)n - KEEPER_TEXT_HEAD, q->upgrade, &q->target, &q->fields);
}

static enum reason decide(const struct keeper_http *o, const struct upstream_http *q,
			  struct http_decision *d)
{
	struct rd path, query;

	http_target_split(q->target, &path, &query);
	policy_decide_http(q->policy, o->host, rd_str(o->method), path, d);
	if (!d->allowed)
		return d->reason;
	if (!policy_is_http_host(q->policy, o->host, o->port))
		return REASON_PORT_NOT_GRANTED;
	if (o->body_length != KEEPER_UNKNOWN && o->body_length > q->body_max)
		return REASON_BODY_TOO_LARGE;
	if (q->upgrade && !d->upgrade)
		return REASON_UPGRADE_NOT_ALLOWED;
	if (q->upgrade && !websocket_asked(q->fields))
		return REASON_REQUEST_MALFORMED;
	return http_is_doh(path, query, q->fields) ? REASON_DOH_NOT_ALLOWED : REASON_NONE;
}

struct hold {
	struct view *view;
	const struct view_sandbox *sandbox;
	const struct keeper_http *asked;
	const struct upstream_http *http;
};

/* Is it still the same sandbox, and would it still be allowed? While netd is away nothing can change. */
static bool holds(const void *of)
{
	const struct hold *h = of;
	const struct view_sandbox *sb = h->sandbox;
	struct upstream_http q = *h->http;
	struct http_decision d;
	struct view_sandbox now;
	bool ok = false;

	if (!view_ready(h->view))
		return true;
	for (size_t i = 0; i < ARRAY_SIZE(sb->addr) && !ok; i++) {
		if (!sb->addr[i].family || !view_sandbox_of(h->view, &sb->addr[i], &now))
			continue;
		q.policy = now.policy;
		ok = now.id == sb->id && decide(h->asked, &q, &d) == REASON_NONE;
		view_sandbox_done(&now);
	}
	return ok || !view_ready(h->view);
}

/* What did not work upstream, or what the front should not have asked. */
static void audit_outcome(const struct job *j, const struct view_sandbox *sb,
			  const struct http_decision *d, const struct upstream_outcome *out)
{
	const struct keeper_http *o = (const struct keeper_http *)j->in.body;
	struct audit_head h = { .event = "upstream",
				.sandbox = sb->name,
				.profile = policy_name(sb->policy),
				.decision = d->allowed ? "" : "deny",
				.reason = reason_text(out->reason),
				.rule = d->rule ? d->rule : "default",
				.policy = policy_sha256(sb->policy) };
	char key[2 * MSG_NAME + MSG_LABEL];
	struct audit_line l;

	audit_begin(&l, &h);
	audit_rd(&l, "host", rd_str(o->host));
	audit_u64(&l, "port", o->port);
	if (d->credential)
		audit_str(&l, "credential", d->credential);
	audit_u64(&l, "status", out->status);
	audit_u64(&l, "bytes_down", out->down);
	audit_u64(&l, "ms", deadline_now() - j->started);
	audit_rd(&l, "outcome", rd_str(out->detail));
	snprintf(key, sizeof(key), "%s|%s|%u|%s", sb->name, o->host, o->port, h.reason);
	audit_aggregate(j->audit, key, &l);
}

/* The policy allows it; only now may a secret be touched. */
static enum reason credential_of(const struct job *j, const struct http_decision *d,
				 const struct upstream_http *q, struct upstream_outcome *out,
				 struct credential **ret)
{
	struct rd path, query;

	if (!d->credential)
		return REASON_NONE;
	if (q->plain || credential_store_named(j->credentials, d->credential, ret) != CREDENTIAL_READY) {
		snprintf(out->detail, sizeof(out->detail), "its credential cannot be used");
		return REASON_UPSTREAM_DENIED;
	}
	http_target_split(q->target, &path, &query);
	return http_has_account(query, q->fields, (*ret)->of->header) ? REASON_CREDENTIAL_NOT_ALLOWED :
									REASON_NONE;
}

void serve_http(struct job *j, const struct view_sandbox *sb)
{
	const struct keeper_http *o = (const struct keeper_http *)j->in.body;
	struct upstream_http q = { .method = o->method, .plain = o->port == KEEPER_PLAIN_PORT,
				   .upgrade = o->upgrade, .has_body = o->has_body, .body_length = o->body_length,
				   .body_max = policy_limits(sb->policy)->request_bytes,
				   .policy = sb->policy };
	struct hold hold = { j->view, sb, o, &q };
	struct upstream_request rq = { .holds = holds, .holds_of = &hold, .sandbox = sb->id, .host = o->host, .http = &q, .body = -1,
				       .answer = j->in.fd[KEEPER_ANSWER],
				       .private_ok = serve_private_ok(sb, o->host) };
	struct upstream_outcome out = { .reason = REASON_INTERNAL_ERROR };
	AUTO(mem) struct keeper_text *text = malloc(sizeof(*text));
	struct http_decision d = { 0 };
	struct credential *c = NULL;

	if (text && read_text(rq.answer, text, &q))
		out.reason = decide(o, &q, &d);
	if (out.reason == REASON_NONE)
		out.reason = credential_of(j, &d, &q, &out, &c);
	rq.credential = c;
	if (out.reason == REASON_NONE)
		upstream_run(j->upstream, &rq, &out);
	else
		serve_http_refuse(j, out.reason);
	if (out.reason != REASON_NONE && !out.gone)
		audit_outcome(j, sb, &d, &out);
	credential_store_put(j->credentials, c);
}
