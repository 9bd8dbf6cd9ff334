/*
 * request_git.c - requests to git hosts
 *
 * Theory of operation: the target must match the grammar of git_path.c, the repository and service
 * the policy. What goes upstream is made from parsed fields alone (struct keeper_open); no byte of
 * a head is copied. Bodies of fetches are small: they are read and decoded whole first. Those of pushes are
 * passed on as they come, whatever their size, to who judges them.
 */
#include "gitproxy/front/body_file.h"
#include "gitproxy/front/relay.h"
#include "gitproxy/front/request_lfs.h"
#include "policy/push.h"

enum { SLOT_WAIT_MS = 15000,		/* for one of the sandbox's transfers to end */
       PUSH_SLACK = 32 << 20 };

/* ---- judging ---- */

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

/* A link opens nothing to others, but it is no business of a log either. */
static void hide_link(struct request *rq)
{
	struct rd target = rd_of(rq->target, rq->target_n), path;

	if (rd_until(&target, '?', &path))
		rq->target_n = path.n;
}

enum reason git_decide(const struct session *s, struct request *rq)
{
	struct repo_decision d;

	policy_decide_repo(rq->sandbox.policy, s->name, rq->path.repo, rq->path.service, &d);
	rq->rule = d.rule;
	msg_text_set(rq->path.repo, sizeof(rq->path.repo), d.repo);
	return d.allowed ? REASON_NONE : d.reason;
}

static enum reason judge(const struct session *s, struct request *rq)
{
	const struct policy *p = rq->sandbox.policy;
	const struct http_head *h = &rq->head;
	enum reason reason;

	if (http_has(h, HTTP_AUTHORIZATION))
		return REASON_CREDENTIAL_NOT_ALLOWED;
	if (h->method == HTTP_OTHER)
		return REASON_METHOD_NOT_ALLOWED;
	if (gp_path_parse(h->target, policy_git_nested(p, s->name), &rq->path, &reason) != PARSE_OK)
		return reason;
	if (gp_kind_is_lfs(rq->path.kind)) {
		hide_link(rq);
		return lfs_judge(s, rq);
	}
	if (!method_fits(rq))
		return REASON_METHOD_NOT_ALLOWED;
	reason = git_decide(s, rq);
	if (reason != REASON_NONE)
		return reason;
	return type_fits(rq) ? REASON_NONE : REASON_REQUEST_MALFORMED;
}

static uint8_t git_protocol(const struct http_head *h)
{
	struct rd v = h->field[HTTP_GIT_PROTOCOL];

	return rd_eq_str(v, "version=2") ? 2 : rd_eq_str(v, "version=1") ? 1 : 0;
}

/* Only fetches have one, whatever the header says. */
static bool has_version(const struct gp_path *p)
{
	return p->service == GIT_SERVICE_UPLOAD_PACK && !gp_kind_is_lfs(p->kind);
}

bool git_build(const struct session *s, const struct request *rq, struct keeper_open *o)
{
	*o = (struct keeper_open){ .kind = rq->path.kind, .service = rq->path.service,
				   .git_protocol = has_version(&rq->path) ? git_protocol(&rq->head) : 0 };
	memcpy(o->oid, rq->path.oid, sizeof(o->oid));
	memcpy(o->link, rq->path.link, sizeof(o->link));
	keeper_agent_set(rq->head.field[HTTP_USER_AGENT], o->user_agent);
	return msg_text_set(o->host, sizeof(o->host), s->name) &&
	       msg_text_set(o->repo, sizeof(o->repo), rq->path.repo);
}

/* ---- answering ---- */

/*
 * Clients that show nothing of a failed info/refs, by how they call themselves: JGit, and libgit2
 * (git/2.0 (libgit2 1.5.1); git itself has a third number). Whoever lies gets the same refusal.
 */
static bool shows_packets_only(struct rd agent)
{
	static const char *const names[] = { "JGit/", "git/2.0 (" };

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (rd_prefix(&agent, names[i]))
			return true;
	return false;
}

static enum refuse_form form(const struct request *rq)
{
	bool push = rq->path.service == GIT_SERVICE_RECEIVE_PACK;

	if (gp_kind_is_lfs(rq->path.kind))
		return REFUSE_LFS;
	if (rq->reason == REASON_REQUEST_MALFORMED || !rq->path.service || !method_fits(rq))
		return REFUSE_TEXT;
	if (rq->path.kind == GP_RPC)
		return push ? REFUSE_PUSH_PACKET : REFUSE_FETCH_PACKET;
	if (!shows_packets_only(rq->head.field[HTTP_USER_AGENT]))
		return REFUSE_TEXT;
	return push ? REFUSE_PUSH_REFS : REFUSE_FETCH_REFS;
}

/* body, or up, or neither. */
static enum relay_result ask_keeper(struct session *s, const struct request *rq, const struct keeper_open *o, int body,
				    struct upload *up, struct relay *ret)
{
	const struct host_config *c = s->env->config;
	AUTO(fd) int frames = keeper_open(s->env->keeper, o, s->stream.fd, body);
	AUTO(mem) struct git_answer *git = malloc(sizeof(*git));
	struct relay_spec spec = { .stream = &s->stream, .room = &s->room, .close = rq->close, .git = git,
				   .total_ms = c->total_ms, .idle_ms = c->idle_ms };

	*ret = (struct relay){ .reason = REASON_INTERNAL_ERROR };
	if (frames < 0 || !git)
		return RELAY_REFUSED;
	git_answer_init(git, o->git_protocol == 2, o->kind == GP_INFO_REFS);
	spec.frames = frames;
	spec.upload = up;
	if (up && !request_go_on(s, &rq->head)) {
		ret->reason = REASON_NONE;
		return RELAY_BROKEN;
	}
	return relay_run(&spec, ret);
}

/*
 * A renamed repository: true when the policy grants it under its new name too; io asks for that
 * one then. The keeper decides again, and chooses the credential by the new name.
 */
static bool may_follow(const struct session *s, struct request *rq, const struct relay *relay,
		       struct keeper_open *io)
{
	const struct policy *p = rq->sandbox.policy;
	struct repo_decision d;

	if (!relay->moved[0] || !gp_repo_valid(rd_str(relay->moved), policy_git_nested(p, s->name)))
		return false;
	policy_decide_repo(p, s->name, relay->moved, rq->path.service, &d);
	msg_text_set(rq->moved, sizeof(rq->moved), d.repo);
	return d.allowed && strcmp(d.repo, io->repo) && msg_text_set(io->repo, sizeof(io->repo), d.repo);
}

static enum step forward(struct session *s, struct request *rq, const struct keeper_open *o, int body,
			 struct upload *up)
{
	struct keeper_open again = *o;
	struct relay relay;
	enum relay_result r = ask_keeper(s, rq, o, body, up, &relay);

	if (r == RELAY_REFUSED && !up && may_follow(s, rq, &relay, &again))	/* once: no loop */
		r = ask_keeper(s, rq, &again, body, NULL, &relay);
	if (up) {
		rq->up = up->seen;
		rq->close |= relay.close;
		if (relay.reason == REASON_BODY_TOO_LARGE)
			relay.reason = REASON_PACK_LIMIT_EXCEEDED;
	}
	rq->down = relay.down;
	rq->reason = relay.reason;
	rq->source = r == RELAY_REFUSED ? NULL : keeper_source_text(relay.source);
	rq->coalesced = relay.coalesced;
	switch (r) {
	case RELAY_REFUSED:
		return request_refuse(s, rq, up && !upload_is_read(up));
	case RELAY_DONE:
		rq->status = 200;
		return rq->close ? STEP_CLOSE : STEP_NEXT;
	case RELAY_TOLD:
	case RELAY_UPGRADED:			/* never asked for here */
	case RELAY_BROKEN:
		rq->status = relay.status;
		rq->cut = rq->down;
		break;
	}
	return r == RELAY_TOLD ? STEP_CLOSE : STEP_RESET;
}

static enum step transfer(struct session *s, struct request *rq, const struct keeper_open *o, int body,
			  struct upload *up)
{
	uint32_t limit = policy_limits(rq->sandbox.policy)->git_transfers;
	enum step step;

	if (!conns_transfer_begin(s->env->conns, rq->sandbox.id, limit, SLOT_WAIT_MS)) {
		rq->reason = REASON_TOO_MANY_CONNECTIONS;
		return request_refuse(s, rq, up && !upload_is_read(up));
	}
	step = forward(s, rq, o, body, up);
	conns_transfer_end(s->env->conns, rq->sandbox.id);
	return step;
}

/* ---- pushes ---- */

/* What a push may send before it is cut: its pack, and commands as many as there may be. */
static uint64_t push_max(const struct session *s, const struct request *rq)
{
	AUTO(mem) struct push_rules *rules = malloc(sizeof(*rules));

	if (!rules)
		return 0;
	policy_push_rules(rq->sandbox.policy, s->name, rq->path.repo, rules);
	return rules->max_pack_bytes + PUSH_SLACK;
}

static enum reason encoding(const struct request *rq, struct upload_gzip **ret)
{
	struct rd value = rq->head.field[HTTP_CONTENT_ENCODING];

	if (!http_has(&rq->head, HTTP_CONTENT_ENCODING))
		return REASON_NONE;
	if (!rd_eq_nocase(value, "gzip") && !rd_eq_nocase(value, "x-gzip"))
		return REASON_REQUEST_MALFORMED;
	*ret = upload_gzip_new();
	return *ret ? REASON_NONE : REASON_INTERNAL_ERROR;
}

static enum step push(struct session *s, struct input *in, struct request *rq, struct keeper_open *o)
{
	AUTO(upload_gzip) struct upload_gzip *gzip = NULL;
	struct upload up;

	rq->reason = encoding(rq, &gzip);
	upload_init(&up, in, &rq->head, push_max(s, rq));
	up.gzip = gzip;
	up.done = false;			/* the end is told, whatever there was */
	if (rq->reason != REASON_NONE)
		return request_refuse(s, rq, !upload_is_read(&up));
	o->body_length = KEEPER_UNKNOWN;
	return transfer(s, rq, o, -1, &up);
}

/* The body first, then upstream. */
static enum step perform(struct session *s, struct input *in, struct request *rq)
{
	uint64_t max = policy_limits(rq->sandbox.policy)->request_bytes;
	struct keeper_open o;
	struct body_error e;
	AUTO(fd) int body = -1;

	if (gp_kind_is_lfs(rq->path.kind))
		return lfs_perform(s, in, rq);
	if (!git_build(s, rq, &o)) {
		rq->reason = REASON_INTERNAL_ERROR;
		return request_refuse(s, rq, rq->head.framing != HTTP_NO_BODY);
	}
	if (rq->path.kind == GP_INFO_REFS)
		return transfer(s, rq, &o, -1, NULL);
	if (rq->path.service == GIT_SERVICE_RECEIVE_PACK)
		return push(s, in, rq, &o);
	if (!body_file_read(in, &rq->head, max, &body, &rq->up, &e)) {
		o.body_length = rq->up;
		return transfer(s, rq, &o, body, NULL);
	}
	rq->reason = e.reason;
	rq->status = e.status;
	return e.gone ? STEP_RESET : request_refuse(s, rq, true);
}

/* ---- the audit ---- */

static const char *service_text(enum git_service v)
{
	return v == GIT_SERVICE_RECEIVE_PACK ? "git-receive-pack" :
	       v == GIT_SERVICE_UPLOAD_PACK ? "git-upload-pack" : "";
}

static void describe(const struct request *rq, bool many, struct audit_line *l, struct wr *key)
{
	const char *repo = many ? "*" : rq->path.repo;

	audit_str(l, "repo", repo);
	if (!gp_kind_is_lfs(rq->path.kind))
		audit_str(l, "service", service_text(rq->path.service));
	if (rq->source)
		audit_str(l, "source", rq->source);
	if (rq->coalesced)
		audit_u64(l, "coalesced", rq->coalesced);
	if (rq->moved[0] && !many)
		audit_str(l, "moved", rq->moved);
	wr_fmt(key, "|%s|%s", repo, service_text(rq->path.service));
	if (gp_kind_is_lfs(rq->path.kind))
		lfs_describe(rq, many, l, key);
}

const struct request_kind request_git = {
	.event = "git", .shows_query = true, .judge = judge, .perform = perform, .form = form, .describe = describe,
};
