/*
 * serve.c - the keeper's side of the conversation with the front
 *
 * Theory of operation: each request is checked as a struct, then gets a thread of its own that
 * answers on the socket which came with it. The front is treated as taken over: for OPEN the
 * sandbox is found by the peer address of the client's connection, which the kernel verified, and
 * the policy decides again, and it is its spelling of the names that is dialled; SIGN is bounded by the
 * CA's constraints.
 * Limits: SERVE_JOBS_MAX requests, of which at most SERVE_TUNNELS_MAX are tunnels; sandboxes have shares
 * of both (shares.h), since what one holds for hours another one needs now. Certificates and what the
 * mirror asks for have places of their own; pushes over ssh share half of what their starter can start.
 * And per sandbox twice its git_transfers, its upgrades, and twice as many other conversations as it may
 * have connections: one that ends may overlap with the next (the front keeps the exact limits; ours only
 * has to hold when the front does not).
 */
#include "gitproxy/keeper/serve.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "base/thread.h"
#include "gitproxy/budget.h"
#include "gitproxy/crew.h"
#include "gitproxy/deadline.h"
#include "gitproxy/keeper/lfs_links.h"
#include "gitproxy/keeper/serve_job.h"
#include "gitproxy/mirror_ipc.h"
#include "gitproxy/shares.h"

enum { JOB_STACK = 1 << 20, JOB_THREADS_KEPT = 32, MIRROR_LINES_PER_SECOND = 50, SSH_PLACE_MS = 60000 };

/* Threads are counted by what they do: none waits for a place of those who may wait for it. */
enum places { PLACES_OPEN = 0, PLACES_SIGN, PLACES_ASK, PLACES_FETCH, PLACES_COUNT };
static const unsigned places_max[PLACES_COUNT] = {
	[PLACES_OPEN] = SERVE_THREADS_MAX,
	[PLACES_SIGN] = SERVE_SIGNS_MAX,
	[PLACES_ASK] = SERVE_ASKS_MAX,
	/* of the mirror, which may take long: its questions never wait for them */
	[PLACES_FETCH] = SERVE_FETCHES_MAX,
};

struct serve {
	const struct host_config *config;	/* borrowed, as are the others */
	struct ca *ca;
	struct upstream *upstream;
	struct credential_store *credentials;
	struct view *view;
	struct audit *audit;
	struct budget *lines;
	struct crew *crew;		/* job_main() */
	pthread_mutex_t lock;
	unsigned threads[PLACES_COUNT];
	struct lfs_links *links;
	struct shares jobs, tunnels, ssh_pushes;
	pthread_cond_t pushed;
	uint16_t git[UINT16_MAX + 1], http[UINT16_MAX + 1], tunnel[UINT16_MAX + 1];	/* by sandbox */
};

int serve_new(const struct host_config *config, struct ca *ca, struct upstream *u,
	      struct credential_store *c, struct view *v, struct audit *a, struct serve **ret)
{
	struct serve *s = calloc(1, sizeof(*s));
	int r;

	if (!s)
		return -ENOMEM;
	s->config = config;
	s->ca = ca;
	s->upstream = u;
	s->credentials = c;
	s->view = v;
	s->audit = a;
	s->jobs.max = SERVE_JOBS_MAX;
	s->tunnels.max = SERVE_TUNNELS_MAX;
	s->ssh_pushes.max = SERVE_SSH_PUSHES_MAX;
	pthread_mutex_init(&s->lock, NULL);
	*ret = s;
	r = thread_cond_init(&s->pushed);
	if (!r)
		r = crew_new(JOB_STACK, JOB_THREADS_KEPT, &s->crew);
	if (!r)
		r = lfs_links_new(&s->links);
	return r < 0 ? r : budget_new(&s->lines);
}

/* ---- SIGN ---- */

static void run_sign(struct job *j)
{
	const struct keeper_sign *q = (const struct keeper_sign *)j->in.body;
	struct keeper_cert c = { 0 };
	AUTO(fd) int key = -1;
	struct ca_leaf leaf;

	c.result = ca_sign(j->serve->ca, q->name, &leaf);
	if (!c.result && leaf.der_len > sizeof(c.der))
		c.result = -EMSGSIZE;
	if (!c.result) {
		memcpy(c.der, leaf.der, leaf.der_len);
		c.der_len = (uint32_t)leaf.der_len;
		key = ipc_memfd("leaf-key", leaf.key, leaf.key_len);
		c.result = key < 0 ? key : 0;
	}
	ca_leaf_done(&leaf);
	if (!deadline_wait(j->in.fd[0], POLLOUT, deadline_in(SERVE_ANSWER_MS)))
		ipc_send(j->in.fd[0], MSG_CERT, 0, &c, sizeof(c), &key, c.result ? 0 : 1);
}

/* ---- OPEN ---- */

static bool peer_of(int client, struct addr *ret)
{
	struct sockaddr_storage ss;
	socklen_t n = sizeof(ss);
	uint16_t port;

	return !getpeername(client, (struct sockaddr *)&ss, &n) &&
	       addr_from_sockaddr(&ss, ret, &port);
}

/* When netd was started anew the front may be in step with it before we are: the request waits then. */
enum reason serve_who(struct serve *s, const struct addr *peer, struct view_sandbox *ret)
{
	switch (view_sandbox_wait(s->view, peer, KEEPER_PICTURE_MS, ret)) {
	case 0:
		return REASON_NONE;
	case -ETIMEDOUT:
		return REASON_UNAVAILABLE;
	}
	return REASON_INTERNAL_ERROR;		/* nobody's */
}

bool serve_body_ok(const struct keeper_open *o, int body)
{
	struct stat st;

	/* a push's comes later */
	if (o->kind != GP_LFS_BATCH && (o->kind != GP_RPC || o->service == GIT_SERVICE_RECEIVE_PACK))
		return body < 0;
	return body >= 0 && !fstat(body, &st) && S_ISREG(st.st_mode) &&
	       (uint64_t)st.st_size == o->body_length;
}

static bool enter(struct serve *s, uint16_t *count, uint32_t limit)
{
	bool ok;

	pthread_mutex_lock(&s->lock);
	ok = *count < limit;
	*count += ok;
	pthread_mutex_unlock(&s->lock);
	return ok;
}

static void leave(struct serve *s, uint16_t *count)
{
	pthread_mutex_lock(&s->lock);
	(*count)--;
	pthread_mutex_unlock(&s->lock);
}

static bool share_take(struct serve *s, struct shares *of, uint16_t sandbox)
{
	bool ok;

	pthread_mutex_lock(&s->lock);
	ok = shares_take(of, sandbox);
	pthread_mutex_unlock(&s->lock);
	return ok;
}

static void share_give(struct serve *s, struct shares *of, uint16_t sandbox)
{
	pthread_mutex_lock(&s->lock);
	shares_give(of, sandbox);
	pthread_mutex_unlock(&s->lock);
}

bool serve_ssh_push_begin(struct serve *s, uint16_t sandbox)
{
	uint64_t until = deadline_in(SSH_PLACE_MS);
	bool ok;
	int r = 0;

	pthread_mutex_lock(&s->lock);
	while (!(ok = shares_take(&s->ssh_pushes, sandbox)) && !r)
		r = thread_cond_wait(&s->pushed, &s->lock, until);
	pthread_mutex_unlock(&s->lock);
	return ok;
}

void serve_ssh_push_end(struct serve *s, uint16_t sandbox)
{
	pthread_mutex_lock(&s->lock);
	shares_give(&s->ssh_pushes, sandbox);
	pthread_cond_broadcast(&s->pushed);
	pthread_mutex_unlock(&s->lock);
}

bool serve_many_lines(struct serve *s, const struct view_sandbox *sb)
{
	return !budget_take(s->lines, sb ? sb->id : 0,
			    sb ? policy_limits(sb->policy)->audit_lines_per_second : MIRROR_LINES_PER_SECOND);
}

/* What did not work upstream, or what the front should not have asked. Success is the front's to
 * log. */
static void audit_outcome(const struct job *j, const struct view_sandbox *sb,
			  const struct repo_decision *d, const struct upstream_outcome *out)
{
	const struct keeper_open *o = (const struct keeper_open *)j->in.body;
	bool many = serve_many_lines(j->serve, sb);
	const char *repo = many ? "*" : o->repo;
	struct audit_head h = { .event = "upstream",
				.sandbox = sb->name,
				.profile = policy_name(sb->policy),
				.decision = d->allowed ? "" : "deny",
				.reason = reason_text(out->reason),
				.rule = d->rule,
				.policy = policy_sha256(sb->policy) };
	char key[MSG_LABEL + MSG_NAME + GP_REPO_MAX + 64];
	struct audit_line l;

	audit_begin(&l, &h);
	audit_rd(&l, "host", rd_str(o->host));
	audit_rd(&l, "repo", rd_str(repo));
	audit_u64(&l, "status", out->status);
	audit_u64(&l, "bytes_down", out->down);
	audit_u64(&l, "ms", deadline_now() - j->started);
	audit_rd(&l, "outcome", rd_str(out->detail));
	snprintf(key, sizeof(key), "%s|%s|%s|%s|%u", sb->name, o->host, repo, h.reason,
		 many ? 0 : out->status);
	audit_aggregate(j->serve->audit, key, &l);
}

void serve_refuse(int answer, enum reason reason)
{
	struct keeper_status st = { .kind = KEEPER_STATUS, .reason = reason };

	upstream_send(answer, &st, sizeof(st), NULL, 0, deadline_in(SERVE_ANSWER_MS));
}

static void refuse(const struct job *j, enum reason reason)
{
	serve_refuse(j->in.fd[KEEPER_ANSWER], reason);
}

bool serve_private_ok(const struct view_sandbox *sb, const char *host)
{
	struct name_decision d;

	policy_decide_name(sb->policy, host, &d);
	return d.allowed && d.private_ok;
}

/* What only the mirror can answer, and it did not. */
static void refuse_unmirrored(struct job *j, const struct view_sandbox *sb, const struct keeper_open *o,
			      struct upstream_outcome *out)
{
	bool old = policy_git_source(sb->policy) == GIT_SOURCE_HOST_MIRROR && o->git_protocol != 2;

	*out = (struct upstream_outcome){ .reason = old ? REASON_PROTOCOL_TOO_OLD : REASON_INTERNAL_ERROR };
	snprintf(out->detail, sizeof(out->detail), "%s",
		 old ? "the client does not speak protocol version 2" : "only a mirror can answer for an upstream by ssh");
	refuse(j, out->reason);
}

/* The policy allows it; only now may a secret be touched. */
static void perform(struct job *j, const struct view_sandbox *sb, const struct repo_decision *d,
		    struct upstream_request *rq, struct upstream_outcome *out)
{
	struct credential_store *store = j->credentials;
	struct credential *c;

	if (credential_store_get(store, rq->open->host, rq->open->repo, &c) == CREDENTIAL_UNUSABLE) {
		out->reason = REASON_UPSTREAM_DENIED;
		snprintf(out->detail, sizeof(out->detail), "its credential cannot be used");
		refuse(j, out->reason);
		return;
	}
	rq->credential = c;
	if (gp_kind_is_lfs(rq->open->kind))
		serve_lfs(j, sb, rq, out);
	else if (serve_is_push(rq->open))
		serve_push(j, sb, d, rq, out);
	else if (serve_by_mirror(sb, rq->open) && serve_mirror(j, sb, rq, out))
		;				/* answered */
	else if (serve_only_mirror(c))
		refuse_unmirrored(j, sb, rq->open, out);
	else
		upstream_run(j->serve->upstream, rq, out);
	credential_store_put(store, c);
}

static void open_for(struct job *j, const struct view_sandbox *sb)
{
	struct keeper_open *o = (struct keeper_open *)j->in.body;
	struct upstream_request rq = { .sandbox = sb->id, .host = o->host, .open = o,
				       .body = j->in.fd[KEEPER_BODY],
				       .answer = j->in.fd[KEEPER_ANSWER],
				       .private_ok = serve_private_ok(sb, o->host) };
	struct upstream_outcome out = { 0 };
	struct repo_decision d;

	policy_decide_repo(sb->policy, o->host, o->repo, (enum git_service)o->service, &d);
	msg_text_set(o->repo, sizeof(o->repo), d.repo);	/* whoever spelled it how: nothing else is seen from here on */
	if (gp_kind_is_lfs(o->kind) && !policy_git_lfs(sb->policy))
		d = (struct repo_decision){ .reason = REASON_LFS_NOT_ALLOWED, .rule = "default" };
	if (!policy_git_nested(sb->policy, o->host) && !gp_repo_valid(rd_str(o->repo), false))
		d = (struct repo_decision){ .reason = REASON_NOT_GIT, .rule = "default" };
	if (!d.allowed || !serve_body_ok(o, rq.body)) {
		out.reason = d.allowed ? REASON_INTERNAL_ERROR : d.reason;
		refuse(j, out.reason);
	} else {
		perform(j, sb, &d, &rq, &out);
	}
	if (out.reason != REASON_NONE && !out.gone)
		audit_outcome(j, sb, &d, &out);
}

static void open_git(struct job *j, const struct view_sandbox *sb)
{
	uint16_t *count = &j->serve->git[sb->id];

	if (enter(j->serve, count, 2 * policy_limits(sb->policy)->git_transfers)) {
		open_for(j, sb);
		leave(j->serve, count);
	} else {
		refuse(j, REASON_TOO_MANY_CONNECTIONS);
	}
}

/* They stay, so they have limits of their own. */
static void open_tunnel(struct job *j, const struct addr *peer, const struct view_sandbox *sb)
{
	struct serve *s = j->serve;
	uint16_t *count = &s->tunnel[sb->id];

	if (!share_take(s, &s->tunnels, sb->id)) {
		serve_http_refuse(j, REASON_UNAVAILABLE);
		return;
	}
	if (enter(s, count, policy_limits(sb->policy)->upgrades)) {
		serve_http(j, peer, sb->id);
		leave(s, count);
	} else {
		serve_http_refuse(j, REASON_TOO_MANY_CONNECTIONS);
	}
	share_give(s, &s->tunnels, sb->id);
}

static void open_http(struct job *j, const struct addr *peer, const struct view_sandbox *sb)
{
	uint16_t *count = &j->serve->http[sb->id];

	if (((const struct keeper_talk *)j->in.body)->upgrade) {
		open_tunnel(j, peer, sb);
	} else if (enter(j->serve, count, 2 * policy_limits(sb->policy)->connections)) {
		serve_http(j, peer, sb->id);
		leave(j->serve, count);
	} else {
		serve_http_refuse(j, REASON_TOO_MANY_CONNECTIONS);
	}
}

/* In the form of what was asked. */
static void refuse_open(const struct job *j, enum reason reason)
{
	if (j->in.head.type == MSG_OPEN_HTTP)
		serve_http_refuse(j, reason);
	else
		refuse(j, reason);
}

static void open_shared(struct job *j, const struct addr *peer, const struct view_sandbox *sb)
{
	struct serve *s = j->serve;

	if (!share_take(s, &s->jobs, sb->id)) {
		refuse_open(j, REASON_UNAVAILABLE);
		return;
	}
	if (j->in.head.type == MSG_OPEN_HTTP)
		open_http(j, peer, sb);
	else
		open_git(j, sb);
	share_give(s, &s->jobs, sb->id);
}

static void run_open(struct job *j)
{
	struct view_sandbox sb;
	struct addr peer;
	enum reason reason = REASON_INTERNAL_ERROR;

	if (peer_of(j->in.fd[KEEPER_CLIENT], &peer))
		reason = serve_who(j->serve, &peer, &sb);
	if (reason != REASON_NONE) {
		refuse_open(j, reason);
		return;
	}
	close(j->in.fd[KEEPER_CLIENT]); /* it has told who asks; nothing is read from it */
	j->in.fd[KEEPER_CLIENT] = -1;
	open_shared(j, &peer, &sb);
	view_sandbox_done(&sb);
}

/* ---- requests ---- */

static void job_free(struct job *j)
{
	ipc_in_done(&j->in);
	free(j);
}
DEFINE_AUTO(job, struct job *, job_free)

static enum places places_of(const struct job *j)
{
	switch (j->in.head.type) {
	case MSG_SIGN:
		return PLACES_SIGN;
	case MSG_MIRROR_ASK:
		return ((const struct mirror_ask *)j->in.body)->large ? PLACES_FETCH : PLACES_ASK;
	case MSG_MIRROR_WHOSE:
		return PLACES_ASK;
	}
	return PLACES_OPEN;
}

static void job_leave(struct job *j)
{
	struct serve *s = j->serve;

	pthread_mutex_lock(&s->lock);
	s->threads[places_of(j)]--;
	pthread_mutex_unlock(&s->lock);
}

static void job_main(void *arg)
{
	AUTO(job) struct job *j = arg;

	if (j->in.head.type == MSG_SIGN)
		run_sign(j);
	else if (j->in.head.type == MSG_MIRROR_ASK)
		serve_mirror_ask(j);
	else if (j->in.head.type == MSG_MIRROR_WHOSE)
		serve_mirror_whose(j);
	else
		run_open(j);
	job_leave(j);
}

static bool request_ok(const struct ipc_in *in)
{
	if (in->head.type == MSG_SIGN)
		return in->head.length == sizeof(struct keeper_sign) && in->fd[0] >= 0 &&
		       in->fd[1] < 0 && keeper_sign_ok((const struct keeper_sign *)in->body);
	if (in->head.type == MSG_OPEN_HTTP)
		return in->head.length == sizeof(struct keeper_talk) && in->fd[KEEPER_CLIENT] >= 0 &&
		       ((const struct keeper_talk *)in->body)->upgrade <= 1 &&
		       in->fd[KEEPER_ANSWER] >= 0 && in->fd[KEEPER_BODY] < 0;
	if (in->head.type == MSG_OPEN)
		return in->head.length == sizeof(struct keeper_open) &&
		       in->fd[KEEPER_CLIENT] >= 0 && in->fd[KEEPER_ANSWER] >= 0 &&
		       keeper_open_ok((const struct keeper_open *)in->body);
	return false;
}

bool serve_has_room(struct serve *s)
{
	bool ok;

	pthread_mutex_lock(&s->lock);
	ok = s->jobs.taken < SERVE_JOBS_MAX / 2;
	pthread_mutex_unlock(&s->lock);
	return ok;
}

/*
 * Too many. The front writes the audit. It must not hold this thread up: what does not fit into the socket
 * at once is not said. What asks otherwise finds its socket closed, which is taken for a failure.
 */
static void turn_away(const struct job *j)
{
	struct keeper_status status = { .kind = KEEPER_STATUS, .reason = REASON_UNAVAILABLE };
	struct keeper_head head;

	memset(&head, 0, KEEPER_HEAD_HEAD);
	head.kind = KEEPER_HEAD;
	head.reason = REASON_UNAVAILABLE;
	if (j->in.head.type == MSG_OPEN)
		send(j->in.fd[KEEPER_ANSWER], &status, sizeof(status), MSG_DONTWAIT | MSG_NOSIGNAL);
	else if (j->in.head.type == MSG_OPEN_HTTP)
		send(j->in.fd[KEEPER_ANSWER], &head, KEEPER_HEAD_HEAD, MSG_DONTWAIT | MSG_NOSIGNAL);
}

static bool job_admit(struct job *j)
{
	struct serve *s = j->serve;
	enum places of = places_of(j);
	bool ok;

	pthread_mutex_lock(&s->lock);
	ok = s->threads[of] < places_max[of];
	s->threads[of] += ok;
	pthread_mutex_unlock(&s->lock);
	return ok;
}

static int job_start(struct job *j /* takes */)
{
	int r;

	r = crew_run(j->serve->crew, job_main, j);
	if (!r)
		return 0;
	turn_away(j);
	job_leave(j);
	job_free(j);
	return 0;				/* this request fails; the keeper goes on */
}

static int take(struct serve *s, int from, bool (*ok)(const struct ipc_in *in))
{
	AUTO(job) struct job *j = calloc(1, sizeof(*j));
	int r;

	if (!j)
		return -ENOMEM;
	r = ipc_recv(from, &j->in);
	if (r < 0)
		return r;
	j->serve = s;
	j->config = s->config;
	j->upstream = s->upstream;
	j->credentials = s->credentials;
	j->view = s->view;
	j->audit = s->audit;
	j->links = s->links;
	j->started = deadline_now();
	if (!ok(&j->in))
		return -EPROTO;
	if (j->in.head.type == MSG_MIRROR_EVENT) {
		serve_mirror_event(j);
		return 0;
	}
	if (job_admit(j))
		return job_start(STEAL(j));
	turn_away(j);
	return 0;
}

int serve_request(struct serve *s, int front)
{
	return take(s, front, request_ok);
}

int serve_ask(struct serve *s, int mirror)
{
	return take(s, mirror, serve_mirror_ok);
}
