/*
 * serve_http.c - the keeper's side of OPEN_HTTP
 *
 * Theory of operation: each request comes as a frame on the answer's socket; it is checked as text,
 * then the policy of that moment decides again, on the bytes that go upstream; the port must be one
 * whose requests the policy has the proxy check. What the front saw and we do not (Host, the
 * connection) is not needed: the host is ours to name. Whose requests they are was told once, by the
 * peer of the client's connection: each request must find the same sandbox at that address.
 * The decision names the credential, if any: without it, beside another account, or in the clear
 * such a request is not sent at all. A tunnel outlives the decision, so it is made again while it
 * runs, of the policy in force by then.
 */
#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/time.h>

#include "gitproxy/deadline.h"
#include "gitproxy/http_account.h"
#include "gitproxy/http_fields.h"
#include "gitproxy/keeper/dial.h"
#include "gitproxy/keeper/serve_job.h"
#include "gitproxy/websocket.h"

void serve_http_refuse(const struct job *j, enum reason reason)
{
	struct keeper_head head;

	memset(&head, 0, KEEPER_HEAD_HEAD);
	head.kind = KEEPER_HEAD;
	head.reason = reason;
	upstream_send(j->in.fd[KEEPER_ANSWER], &head, KEEPER_HEAD_HEAD, NULL, 0,
		      deadline_in(SERVE_ANSWER_MS));
}

enum { TALK_SECONDS = 10 };	/* the front hangs up long before */

/* One request while it is served; kept for the next. */
struct talk {
	bool upgrade;			/* all it may be, or what it may not */
	struct keeper_text text;
	struct upstream_http http;
	struct upstream_room *room;
};

/* The next request; false: there is none, or none that our front makes. */
static bool read_text(int answer, struct talk *t)
{
	struct upstream_http *q = &t->http;
	ssize_t n;

	do {
		n = recv(answer, &t->text, sizeof(t->text), MSG_TRUNC);
	} while (n < 0 && errno == EINTR);
	*q = (struct upstream_http){ .method = t->text.http.method,
				     .plain = t->text.http.port == KEEPER_PLAIN_PORT,
				     .upgrade = t->text.http.upgrade,
				     .has_body = t->text.http.has_body,
				     .body_length = t->text.http.body_length };
	return n >= (ssize_t)KEEPER_TEXT_HEAD && (size_t)n <= sizeof(t->text) &&
	       keeper_text_split(&t->text, (size_t)n - KEEPER_TEXT_HEAD, &q->target, &q->fields) &&
	       q->upgrade == t->upgrade;
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
			  const struct keeper_http *o, const struct http_decision *d,
			  const struct upstream_outcome *out)
{
	const char *host = serve_many_lines(j->serve, sb) ? "*" : o->host;
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
	audit_rd(&l, "host", rd_str(host));
	audit_u64(&l, "port", o->port);
	if (d->credential)
		audit_str(&l, "credential", d->credential);
	audit_u64(&l, "status", out->status);
	audit_u64(&l, "bytes_down", out->down);
	audit_u64(&l, "ms", deadline_now() - j->started);
	audit_rd(&l, "outcome", rd_str(out->detail));
	snprintf(key, sizeof(key), "%s|%s|%u|%s", sb->name, host, o->port, h.reason);
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

/* True: another may follow. */
static bool serve_one(struct job *j, struct talk *t, const struct view_sandbox *sb)
{
	const struct keeper_http *o = &t->text.http;
	struct hold hold = { j->view, sb, o, &t->http };
	struct upstream_request rq = { .holds = holds, .holds_of = &hold, .sandbox = sb->id, .host = o->host,
				       .http = &t->http, .body = -1, .room = &t->room,
				       .answer = j->in.fd[KEEPER_ANSWER],
				       .may_keep = !t->upgrade && serve_has_room(j->serve),
				       .private_ok = serve_private_ok(sb, o->host) };
	struct upstream_outcome out = { 0 };
	struct http_decision d = { 0 };
	struct credential *c = NULL;

	t->http.policy = sb->policy;
	t->http.body_max = policy_limits(sb->policy)->request_bytes;
	out.reason = decide(o, &t->http, &d);
	if (out.reason == REASON_NONE)
		out.reason = credential_of(j, &d, &t->http, &out, &c);
	rq.credential = c;
	if (out.reason == REASON_NONE)
		upstream_run(j->upstream, &rq, &out);
	else
		serve_http_refuse(j, out.reason);
	if (out.reason != REASON_NONE && !out.gone)
		audit_outcome(j, sb, o, &d, &out);
	credential_store_put(j->credentials, c);
	return out.kept;
}

/* One whose address has another owner by now, or of which netd cannot be asked, is nobody's. */
static bool serve_next(struct job *j, struct talk *t, const struct addr *peer, uint16_t sandbox)
{
	struct view_sandbox sb;
	bool kept = false;
	enum reason reason = serve_who(j->serve, peer, &sb);

	j->started = deadline_now();
	if (reason != REASON_NONE) {
		serve_http_refuse(j, reason);
		return false;
	}
	if (sb.id == sandbox)
		kept = serve_one(j, t, &sb);
	else
		serve_http_refuse(j, REASON_INTERNAL_ERROR);
	view_sandbox_done(&sb);
	return kept;
}

void serve_http(struct job *j, const struct addr *peer, uint16_t sandbox)
{
	AUTO(mem) struct talk *t = malloc(sizeof(*t));
	struct timeval limit = { .tv_sec = TALK_SECONDS };
	int answer = j->in.fd[KEEPER_ANSWER];

	if (!t)
		return;
	t->upgrade = ((const struct keeper_talk *)j->in.body)->upgrade;
	t->room = NULL;
	if (setsockopt(answer, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)) < 0)
		return;
	while (read_text(answer, t) && serve_next(j, t, peer, sandbox))
		;
	upstream_room_free(t->room);
}
