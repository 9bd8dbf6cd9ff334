/*
 * serve.c - one request for a mirrored repository
 *
 * Theory of operation: what is asked decides how: the advertisement and references are upstream's own
 * answers, asked for once for all who ask within a second, so that nothing stale is ever shown; objects
 * are the mirror's (serve_fetch.c). Whatever cannot be answered from here is left to upstream, which is
 * always right and only slower. What upstream refuses is refused, and what was kept of it is forgotten:
 * a credential that lost its right loses the mirror too.
 */
#include "gitproxy/mirror/job.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>

#include "gitproxy/deadline.h"
#include "gitproxy/mirror/advert.h"
#include "gitproxy/mirror/ls_refs.h"
#include "gitproxy/pkt.h"

enum { BODY_MAX = 64 << 20,		/* one request */
       FIRST_LINE = 4096 };

/* ---- how a job ends ---- */

/* Nothing is out yet, and upstream is to be asked by the keeper. */
static void leave_to_upstream(struct job *j)
{
	j->verdict = (struct mirror_verdict){ .how = MIRROR_UPSTREAM };
}

void job_sent(struct job *j, int result, uint64_t down)
{
	j->verdict.how = MIRROR_SERVED;
	j->verdict.reason = result == 0 ? REASON_NONE : REASON_INTERNAL_ERROR;
	j->verdict.gone = result == -EPIPE || result == -ETIMEDOUT;
	j->verdict.down = down;
}

bool job_may_be_stale(struct job *j, const struct ask_outcome *o)
{
	uint8_t generation[REPO_GENERATION];
	enum object_format format;

	return j->q->stale_ok && ask_no(o) == ASK_AWAY && repo_is_warm(j->repo, &format, generation) &&
	       !repo_is_refused(j->repo);
}

/* Nothing would answer the same question now. */
static bool is_away(const struct ask_outcome *o)
{
	return o->reason == REASON_UPSTREAM_UNREACHABLE || o->reason == REASON_DEADLINE_EXCEEDED;
}

void job_refused(struct job *j, const struct ask_outcome *o)
{
	bool denied = ask_no(o) == ASK_DENIED;

	if (denied)
		refresh_denied(&j->depot->refresh, j->repo, o);
	/* It may have moved: the front can follow. And what concerns one question alone is asked in earnest. */
	if (o->reason == REASON_REDIRECT_NOT_ALLOWED || (!denied && !is_away(o))) {
		leave_to_upstream(j);
		return;
	}
	answer_refuse(j->to, o->reason, o->status);
	j->verdict = (struct mirror_verdict){ .how = MIRROR_SERVED, .reason = o->reason, .status = o->status };
	msg_plain_set(j->verdict.detail, sizeof(j->verdict.detail), "as upstream said for the mirror");
}

void job_refuse(struct job *j, enum reason reason, const char *why)
{
	if (j->told)
		answer_end(j->to, reason);
	else
		answer_refuse(j->to, reason, 0);
	j->verdict = (struct mirror_verdict){ .how = MIRROR_SERVED, .reason = reason };
	msg_plain_set(j->verdict.detail, sizeof(j->verdict.detail), why);
}

/* Refuse what the client sent. */
static void malformed(struct job *j, const char *why)
{
	job_refuse(j, REASON_REQUEST_MALFORMED, why);
}

/* Bytes that were never a file. */
static void send_bytes(struct job *j, enum gp_kind kind, enum keeper_source source, struct rd bytes)
{
	AUTO(fd) int file = ipc_memfd("answer", bytes.p, bytes.n);
	struct answer_head h = { .kind = kind, .source = source, .length = bytes.n };

	if (file < 0)
		leave_to_upstream(j);
	else
		job_sent(j, answer_file(j->to, &h, file), bytes.n);
}

/* ---- the advertisement ---- */

static void send_advert(struct job *j, const struct advert *a, enum keeper_source source)
{
	uint8_t text[ADVERT_MAX];
	struct wr w = wr_of(text, sizeof(text));

	if (advert_write(&w, a))
		send_bytes(j, GP_INFO_REFS, source, wr_rd(&w));
	else
		leave_to_upstream(j);
}

static void pass_advert(struct job *j, struct flight_answer *a)
{
	struct advert theirs, common;
	struct rd text;

	if (flight_map(a, &text) < 0 || advert_parse(text, &theirs) != PARSE_OK) {
		leave_to_upstream(j);	/* an older protocol, which is upstream's to speak */
		return;
	}
	repo_allowed(j->repo, a->outcome.asked);
	common = advert_common(&theirs);
	send_advert(j, &common, KEEPER_FROM_UPSTREAM);
}

/*
 * It says nothing of what the repository holds, and what comes next is asked of upstream anyway: while
 * the credential is known to be let in, it may be a minute old.
 */
static void serve_advert(struct job *j)
{
	struct ask q = refresh_ask(&j->depot->refresh, j->repo, rd_of(NULL, 0));
	unsigned window = repo_is_allowed(j->repo, JOB_RIGHT_MS) ? JOB_RIGHT_MS : j->depot->config->mirrors.window_ms;
	struct flight_answer a;

	if (refresh_take(&j->depot->refresh, j->repo, rd_str("advertisement"), window, &q, &a) < 0) {
		leave_to_upstream(j);
		return;
	}
	if (a.outcome.reason == REASON_NONE) {
		pass_advert(j, &a);
	} else if (job_may_be_stale(j, &a.outcome)) {
		struct advert own = advert_own(j->repo->format);

		send_advert(j, &own, KEEPER_FROM_STALE);
	} else {
		job_refused(j, &a.outcome);
	}
	flight_done(&a);
}

/* ---- references ---- */

static void stale_refs(struct job *j, const struct fetch_request *q)
{
	AUTO(fd) int file = memfd_create("answer", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	struct answer_head h = { .kind = GP_RPC, .source = KEEPER_FROM_STALE };

	/* The front is given it: for reading alone. */
	if (file < 0 || produce_now(j->repo, q, file, &h.length) < 0 ||
	    fcntl(file, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)
		leave_to_upstream(j);
	else
		job_sent(j, answer_file(j->to, &h, file), h.length);
}

/* Upstream may say no with a good status: then nobody was let in. */
void job_let_in(struct job *j, const struct flight_answer *a)
{
	char begin[FIRST_LINE];
	ssize_t n = pread(a->file, begin, sizeof(begin), 0);
	struct rd text = rd_of(begin, n > 0 ? (size_t)n : 0), line = text;
	struct ls_ref first;

	if (rd_skip(&line, PKT_HEAD) && rd_prefix(&line, "ERR ")) {
		refresh_denied(&j->depot->refresh, j->repo, &a->outcome);
		return;
	}
	repo_allowed(j->repo, a->outcome.asked);
	if (ls_refs_first(text, j->repo->format, &first) == PARSE_OK)
		repo_shown(j->repo, &first, a->outcome.asked);
	else
		repo_shown(j->repo, NULL, a->outcome.asked);
}

static void serve_refs(struct job *j, const struct fetch_request *q)
{
	size_t cap = fetch_request_bound(q);
	AUTO(mem) uint8_t *text = malloc(cap);
	struct wr w = wr_of(text, text ? cap : 0);
	struct answer_head h = { .kind = GP_RPC, .source = KEEPER_FROM_UPSTREAM };
	unsigned window = j->depot->config->mirrors.window_ms;
	struct flight_answer a;
	struct ask ask;

	leave_to_upstream(j);
	if (!text || !fetch_request_write(q, &w))
		return;
	ask = refresh_ask(&j->depot->refresh, j->repo, wr_rd(&w));
	if (refresh_take(&j->depot->refresh, j->repo, wr_rd(&w), window, &ask, &a) < 0)
		return;
	if (a.outcome.reason == REASON_NONE) {
		job_let_in(j, &a);
		h.length = a.n;
		h.coalesced = a.shared;
		job_sent(j, answer_file(j->to, &h, a.file), a.n);
	} else if (job_may_be_stale(j, &a.outcome)) {
		stale_refs(j, q);
	} else {
		job_refused(j, &a.outcome);
	}
	flight_done(&a);
}

/* ---- what is it ---- */

static int read_body(const struct job *j, uint8_t **ret)
{
	uint64_t n = j->q->open.body_length, got = 0;
	AUTO(mem) uint8_t *p = malloc(n ? n : 1);

	if (!p || j->in.fd[MIRROR_BODY] < 0)
		return -ENOMEM;
	while (got < n) {
		ssize_t r = pread(j->in.fd[MIRROR_BODY], p + got, n - got, (off_t)got);

		if (r <= 0)
			return -EIO;
		got += (uint64_t)r;
	}
	*ret = STEAL(p);
	return 0;
}

static void serve_body(struct job *j)
{
	AUTO(mem) uint8_t *body = NULL;
	struct fetch_request q;
	struct fetch_error error;
	int r = read_body(j, &body);

	if (!r)
		r = fetch_request_parse(rd_of(body, j->q->open.body_length), &q, &error);
	if (r == -EBADMSG)
		malformed(j, error.text);
	if (r < 0)
		return;
	if (q.command == FETCH_LS_REFS)
		serve_refs(j, &q);
	else if (q.command == FETCH_OBJECTS)
		serve_fetch(j, &q);
	fetch_request_done(&q);
}

/* What does not fit into memory beside the others is upstream's: that is not without end. */
static void serve_rpc(struct job *j)
{
	uint64_t n = j->q->open.body_length;

	if (n > BODY_MAX || !room_take(j->depot->bodies, j->q->sandbox, n))
		return;
	serve_body(j);
	room_give(j->depot->bodies, j->q->sandbox, n);
}

void job_run(struct job *j)
{
	const struct keeper_open *o = &j->q->open;

	leave_to_upstream(j);
	j->to = j->in.fd[MIRROR_ANSWER];
	if (o->kind == GP_LFS_OBJECT) {
		serve_lfs_put(j);
		return;
	}
	j->repo = repo_get(j->depot->repos, &j->q->domain, o->host, o->repo);
	if (!j->repo && o->service == GIT_SERVICE_RECEIVE_PACK)
		job_refuse(j, REASON_UNAVAILABLE,
			   "it is mirrored in many other spellings of its name, or there is no memory for it");
	if (!j->repo)
		return;
	repo_used(j->depot->repos, j->repo);
	if (o->service == GIT_SERVICE_RECEIVE_PACK)
		(o->kind == GP_INFO_REFS ? serve_push_advert : serve_push)(j);
	else if (o->kind == GP_INFO_REFS)
		serve_advert(j);
	else
		serve_rpc(j);
	repo_put(j->depot->repos, j->repo);
}
