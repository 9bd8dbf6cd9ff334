/*
 * serve_mirror.c - the keeper and cordon-mirror
 *
 * Theory of operation: a request that was decided here goes to the mirror with the security domain,
 * the hash of host, repository and credential: whoever may read with one credential shares what was
 * read with it, and nobody else does. This thread then waits for the mirror's verdict, so that limits,
 * the audit and the way back to upstream stay where they are. What the mirror asks of upstream it asks
 * for a domain; it is believed when the domain is ours and some profile grants the repository. The
 * mirror holds no secret, and nothing that it says makes the keeper send one elsewhere.
 */
#include <poll.h>
#include <stdio.h>
#include <openssl/evp.h>

#include "gitproxy/deadline.h"
#include "gitproxy/keeper/serve_job.h"
#include "gitproxy/mirror_ipc.h"
#include "policy/mark.h"

enum { VERDICT_MORE_MS = 30000 };	/* beyond the time that upstream has */

static bool domain_of(const char *host, const char *repo, const struct credential *c,
		      struct mirror_domain *ret)
{
	char text[MSG_NAME + GP_REPO_MAX + POLICY_NAME_MAX + GP_REPO_MAX + 8];
	const char *name = c ? c->of->name : "";
	struct wr w = wr_of(text, sizeof(text));
	unsigned n = 0;

	wr_fmt(&w, "%s\n%s\n%c%s\n", host, repo, c ? '+' : '-', name);
	msg_plain_set(ret->credential, sizeof(ret->credential), name);
	return wr_ok(&w) && EVP_Digest(w.p, w.n, ret->id, &n, EVP_sha256(), NULL) == 1 && n == sizeof(ret->id);
}

bool serve_by_mirror(const struct view_sandbox *sb, const struct keeper_open *o)
{
	return !gp_kind_is_lfs(o->kind) && policy_git_source(sb->policy) == GIT_SOURCE_HOST_MIRROR && o->git_protocol == 2 &&
	       o->service == GIT_SERVICE_UPLOAD_PACK;
}

bool serve_is_push(const struct keeper_open *o)
{
	return o->service == GIT_SERVICE_RECEIVE_PACK;
}

bool serve_only_mirror(const struct credential *c)
{
	return c && c->of->kind == CREDENTIAL_SSH;
}

void serve_mirror_verdict(const struct mirror_verdict *v, struct upstream_outcome *ret)
{
	*ret = (struct upstream_outcome){ .reason = (enum reason)v->reason, .status = v->status,
					  .gone = v->gone, .down = v->down };
	snprintf(ret->detail, sizeof(ret->detail), "%.*s", (int)sizeof(ret->detail) - 1, v->detail);
}

/* The mirror's word, or why there is none. */
static enum mirror_how verdict(const struct job *j, int from, struct upstream_outcome *ret)
{
	const struct mirror_verdict *v;
	struct ipc_in in;
	enum mirror_how how = MIRROR_FAILED;

	if (deadline_wait(from, POLLIN, deadline_in((uint64_t)j->config->total_ms + VERDICT_MORE_MS)) < 0 ||
	    ipc_recv(from, &in) < 0)
		return how;
	v = (const struct mirror_verdict *)in.body;
	if (in.head.type == MSG_MIRROR_VERDICT && in.head.length == sizeof(*v) && mirror_verdict_ok(v)) {
		how = (enum mirror_how)v->how;
		serve_mirror_verdict(v, ret);
	}
	ipc_in_done(&in);
	return how;
}

bool serve_mirror_begin(const struct view_sandbox *sb, const struct upstream_request *rq, struct mirror_serve *ret)
{
	*ret = (struct mirror_serve){ .sandbox = sb->id, .stale_ok = policy_git_stale_ok(sb->policy),
				      .only = serve_only_mirror(rq->credential) || serve_is_push(rq->open),
				      .open = *rq->open };
	return domain_of(rq->host, rq->open->repo, rq->credential, &ret->domain);
}

int serve_mirror_hand_over(const struct mirror_serve *q, int answer, const int *more, size_t n, int *ret_verdict)
{
	AUTO(fd) int ours = -1;
	AUTO(fd) int theirs = -1;
	int fds[IPC_FDS_MAX], r = ipc_pair(&ours, &theirs);

	if (r < 0)
		return r;
	fds[MIRROR_ANSWER] = answer;
	fds[MIRROR_VERDICT_TO] = theirs;
	if (n)
		memcpy(fds + MIRROR_BODY, more, n * sizeof(*more));
	r = ipc_send(MIRROR_PAIR_FD, MSG_MIRROR_SERVE, 0, q, sizeof(*q), fds, MIRROR_BODY + n);
	if (!r)
		*ret_verdict = STEAL_FD(ours);
	return r;
}

bool serve_mirror(struct job *j, const struct view_sandbox *sb, const struct upstream_request *rq,
		  struct upstream_outcome *ret)
{
	AUTO(fd) int from = -1;
	enum mirror_how how = MIRROR_FAILED;
	struct mirror_serve q;

	*ret = (struct upstream_outcome){ .reason = REASON_INTERNAL_ERROR };
	if (serve_mirror_begin(sb, rq, &q) &&
	    !serve_mirror_hand_over(&q, rq->answer, &rq->body, rq->body < 0 ? 0 : 1, &from))
		how = verdict(j, from, ret);
	if (how == MIRROR_FAILED)
		serve_refuse(rq->answer, REASON_INTERNAL_ERROR); /* what is out already makes it a broken answer */
	return how != MIRROR_UPSTREAM;
}

/* ---- what the mirror asks for ---- */

bool serve_mirror_ok(const struct ipc_in *in)
{
	switch (in->head.type) {
	case MSG_MIRROR_ASK:
		return in->head.length == sizeof(struct mirror_ask) && in->fd[MIRROR_ASK_ANSWER] >= 0 &&
		       mirror_ask_ok((const struct mirror_ask *)in->body);
	case MSG_MIRROR_WHOSE:
		return in->head.length == sizeof(struct mirror_whose) && in->fd[MIRROR_ASK_ANSWER] >= 0 &&
		       mirror_whose_ok((const struct mirror_whose *)in->body);
	case MSG_MIRROR_EVENT:
		return in->head.length == sizeof(struct mirror_event) &&
		       mirror_event_ok((const struct mirror_event *)in->body);
	}
	return false;
}

static bool grants(const struct policy *p, const char *host, const char *repo, enum git_service service,
		   struct repo_decision *ret)
{
	policy_decide_repo(p, host, repo, service, ret);
	return ret->allowed && (policy_git_nested(p, host) || gp_repo_valid(rd_str(repo), false));
}

/* Who may push has the gate read what is there, wherever fetches go. *ret: how this profile spells it. */
static bool has_mirror(const struct policy *p, const char *host, const char *repo, enum git_service service,
		       struct repo_decision *ret)
{
	if (grants(p, host, repo, GIT_SERVICE_RECEIVE_PACK, ret))
		return true;
	return service == GIT_SERVICE_UPLOAD_PACK && policy_git_source(p) == GIT_SOURCE_HOST_MIRROR &&
	       grants(p, host, repo, service, ret);
}

/*
 * Does a profile grant it, so spelled, or the administrator want it prewarmed (to read it)? ret_private: and a profile
 * lets it have private addresses.
 */
static bool granted(struct job *j, const char *host, const char *repo, enum git_service service, bool *ret_private)
{
	bool listed = service == GIT_SERVICE_UPLOAD_PACK && host_mirrors_prewarms(&j->config->mirrors, host, repo);
	bool any = listed;

	for (uint16_t id = 1; id <= MARK_PROFILE_MAX; id++) {
		AUTO(policy) struct policy *p = view_policy_of(j->view, id);
		struct name_decision n = { 0 };
		struct repo_decision d;

		if (!p || !((has_mirror(p, host, repo, service, &d) && !strcmp(d.repo, repo)) ||
			    (listed && policy_git_source(p) == GIT_SOURCE_HOST_MIRROR)))
			continue;
		any = true;
		policy_decide_name(p, host, &n);
		*ret_private |= n.allowed && n.private_ok;
	}
	return any;
}

static void audit_ask(const struct job *j, const struct upstream_outcome *out)
{
	const struct mirror_ask *q = (const struct mirror_ask *)j->in.body;
	struct audit_head h = { .event = "upstream", .reason = reason_text(out->reason) };
	bool many = serve_many_lines(j->serve, NULL);
	const char *repo = many ? "*" : q->open.repo;
	char key[MSG_NAME + GP_REPO_MAX + 64];
	struct audit_line l;

	audit_begin(&l, &h);
	audit_rd(&l, "host", rd_str(q->open.host));
	audit_rd(&l, "repo", rd_str(repo));
	audit_str(&l, "for", "mirror");
	audit_u64(&l, "status", out->status);
	audit_u64(&l, "bytes_down", out->down);
	audit_u64(&l, "ms", deadline_now() - j->started);
	audit_rd(&l, "outcome", rd_str(out->detail));
	snprintf(key, sizeof(key), "mirror|%s|%s|%s|%u", q->open.host, repo, h.reason,
		 many ? 0 : out->status);
	audit_aggregate(j->audit, key, &l);
}

static void ask_upstream(struct job *j, struct upstream_request *rq, struct upstream_outcome *out)
{
	const struct mirror_ask *q = (const struct mirror_ask *)j->in.body;
	struct mirror_domain domain;
	struct credential *c;

	if (credential_store_get(j->credentials, rq->host, rq->open->repo, &c) == CREDENTIAL_UNUSABLE) {
		out->reason = REASON_UPSTREAM_DENIED;
		snprintf(out->detail, sizeof(out->detail), "its credential cannot be used");
		serve_refuse(rq->answer, out->reason);
		return;
	}
	rq->credential = c;
	if (domain_of(rq->host, rq->open->repo, c, &domain) && !memcmp(domain.id, q->domain.id, sizeof(domain.id))) {
		upstream_run(j->upstream, rq, out);
	} else {		/* its credential has changed: the old domain has no right any more */
		out->reason = REASON_UPSTREAM_DENIED;
		snprintf(out->detail, sizeof(out->detail), "not the domain of this repository's credential");
		serve_refuse(rq->answer, out->reason);
	}
	credential_store_put(j->credentials, c);
}

void serve_mirror_ask(struct job *j)
{
	const struct mirror_ask *q = (const struct mirror_ask *)j->in.body;
	struct upstream_request rq = { .host = q->open.host, .open = &q->open,
				       .body = j->in.fd[MIRROR_ASK_BODY], .answer = j->in.fd[MIRROR_ASK_ANSWER] };
	struct upstream_outcome out = { 0 };

	if (!granted(j, q->open.host, q->open.repo, (enum git_service)q->open.service, &rq.private_ok)) {
		out.reason = serve_is_push(&q->open) ? REASON_PUSH_NOT_ALLOWED : REASON_REPOSITORY_NOT_ALLOWED;
		serve_refuse(rq.answer, out.reason);
	} else if (!serve_body_ok(&q->open, rq.body)) {
		out.reason = REASON_INTERNAL_ERROR;
		serve_refuse(rq.answer, out.reason);
	} else {
		ask_upstream(j, &rq, &out);
	}
	if (out.reason != REASON_NONE && !out.gone)
		audit_ask(j, &out);
}

/* ---- whose it is ---- */

/*
 * An administrator may spell it in any way. Prewarmed, or granted as it is spelled, it is that; else it is what the
 * first of the profiles that grant it makes of it.
 */
static bool find_spelling(struct job *j, const struct mirror_whose *q, char ret_repo[GP_REPO_MAX + 1])
{
	bool private_ok = false, found = granted(j, q->host, q->repo, GIT_SERVICE_UPLOAD_PACK, &private_ok);
	struct repo_decision d;

	msg_text_set(ret_repo, GP_REPO_MAX + 1, q->repo);
	for (uint16_t id = 1; id <= MARK_PROFILE_MAX && !found; id++) {
		AUTO(policy) struct policy *p = view_policy_of(j->view, id);

		found = p && has_mirror(p, q->host, q->repo, GIT_SERVICE_UPLOAD_PACK, &d) &&
			msg_text_set(ret_repo, GP_REPO_MAX + 1, d.repo);
	}
	return found;
}

static enum reason find_domain(struct job *j, const struct mirror_whose *q, struct mirror_domain_of *ret)
{
	struct credential *c;
	bool ok;

	if (view_wait_ready(j->view, KEEPER_PICTURE_MS) < 0)
		return REASON_UNAVAILABLE;
	if (!find_spelling(j, q, ret->repo))
		return REASON_REPOSITORY_NOT_ALLOWED;
	if (credential_store_get(j->credentials, q->host, ret->repo, &c) == CREDENTIAL_UNUSABLE)
		return REASON_UPSTREAM_DENIED;
	ok = domain_of(q->host, ret->repo, c, &ret->domain);
	credential_store_put(j->credentials, c);
	return ok ? REASON_NONE : REASON_INTERNAL_ERROR;
}

void serve_mirror_whose(struct job *j)
{
	const struct mirror_whose *q = (const struct mirror_whose *)j->in.body;
	struct mirror_domain_of d = { 0 };
	int to = j->in.fd[MIRROR_ASK_ANSWER];

	d.reason = find_domain(j, q, &d);
	if (d.reason != REASON_NONE)
		d.repo[0] = '\0';
	if (!deadline_wait(to, POLLOUT, deadline_in(SERVE_ANSWER_MS)))
		ipc_send(to, MSG_MIRROR_DOMAIN, 0, &d, sizeof(d), NULL, 0);
}

/* ---- what it tells ---- */

void serve_mirror_event(const struct job *j)
{
	const struct mirror_event *e = (const struct mirror_event *)j->in.body;
	const char *what = mirror_what_text((enum mirror_what)e->what);
	struct audit_head h = { .event = "mirror" };
	const char *repo = serve_many_lines(j->serve, NULL) ? "*" : e->repo;
	char key[MSG_NAME + GP_REPO_MAX + MIRROR_CREDENTIAL + 64];
	struct audit_line l;

	audit_begin(&l, &h);
	audit_str(&l, "what", what);
	audit_rd(&l, "host", rd_str(e->host));
	audit_rd(&l, "repo", rd_str(repo));
	audit_rd(&l, "credential", rd_str(e->credential));
	audit_u64(&l, "objects", e->objects);
	audit_u64(&l, "bytes", e->bytes);
	audit_u64(&l, "ms", e->ms);
	snprintf(key, sizeof(key), "mirror|%s|%s|%s|%s", what, e->host, repo, e->credential);
	audit_aggregate(j->audit, key, &l);
}
