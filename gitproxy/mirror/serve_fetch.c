/*
 * serve_fetch.c - objects, from the mirror
 *
 * Theory of operation: only for a domain that upstream let in lately, and when a list of references of the
 * last minute shows that the mirror is of what upstream has; else a small question finds out.
 * A cold repository is filled in the background while this request goes upstream. What is wanted and not
 * there is fetched first, once for all who wait for it. The answer is produced into the spool, once for
 * all who ask the same, and this thread tells the front how far it may send. Until the first byte is
 * out every failure here is left to upstream; after it the answer is broken, never ended.
 */
#include "gitproxy/mirror/serve_fill.h"

#include <errno.h>
#include <poll.h>

#include "gitproxy/deadline.h"
#include "gitproxy/pkt.h"

enum { QUESTION = 256, LOOK_MS = 1000, RETRY_MS = PRODUCE_WAIT_MS / 2 };

/* ---- may it ---- */

static bool question(struct wr *w, enum object_format format)
{
	return pkt_line(w, "command=ls-refs") && pkt_line(w, "object-format=%s", object_format_name(format)) &&
	       pkt_delim(w) && pkt_line(w, "ref-prefix HEAD") && pkt_flush(w);
}

/* True: go on; *ret_stale: though upstream is away. False: the job is over, or upstream's. */
static bool let_in(struct job *j, const struct fetch_request *q, bool *ret_stale)
{
	unsigned window = j->depot->config->mirrors.window_ms;
	uint8_t text[QUESTION];
	struct wr w = wr_of(text, sizeof(text));
	struct flight_answer a;
	struct ask ask;

	*ret_stale = false;
	if (repo_is_allowed(j->repo, JOB_RIGHT_MS) && repo_is_shown(j->repo, JOB_RIGHT_MS))
		return true;
	if (!question(&w, q->format))
		return false;
	ask = refresh_ask(&j->depot->refresh, j->repo, wr_rd(&w));
	if (refresh_take(&j->depot->refresh, j->repo, wr_rd(&w), window, &ask, &a) < 0)
		return false;
	if (a.outcome.reason == REASON_NONE)
		job_let_in(j, &a);
	else if (job_may_be_stale(j, &a.outcome))
		*ret_stale = true;
	else
		job_refused(j, &a.outcome);
	flight_done(&a);
	return *ret_stale || repo_is_allowed(j->repo, JOB_RIGHT_MS);
}

/* ---- are they there ---- */

/* And is it of what upstream has now, as far as can be known? */
static bool all_there(struct job *j, const struct fetch_request *q, bool stale)
{
	const struct fetch_ids_list *wants = &q->ids[FETCH_WANTS];

	return (stale || repo_is_shown(j->repo, JOB_RIGHT_MS)) && repo_has(j->repo, wants->oid, wants->n);
}

/* A cold one. True: it is warm now. False: upstream answers, or the job is over. */
static bool fill(struct job *j, const struct fetch_request *q)
{
	if (j->q->only)
		return fill_wait(j, q);
	behind_start(j->depot->behind, j->repo, j->q->sandbox);
	return false;
}

/*
 * True: all that is wanted is there. False: upstream answers. So it does when references by name cut the
 * history: ours may be older than those that the client was shown.
 */
static bool ready(struct job *j, const struct fetch_request *q, bool stale)
{
	const struct fetch_ids_list *wants = &q->ids[FETCH_WANTS];
	uint8_t generation[REPO_GENERATION];
	enum object_format format;
	enum reason reason = REASON_NONE;

	if (!repo_is_warm(j->repo, &format, generation)) {
		if (stale || !repo_fits(j->repo, q->format) || !fill(j, q))
			return false;
		repo_is_warm(j->repo, &format, generation);
	}
	if (format != q->format || (q->texts[FETCH_NOTS].n && !j->q->only))
		return false;
	if (!q->texts[FETCH_NOTS].n && all_there(j, q, stale))
		return true;
	if (stale)
		return false;
	if (refresh_run(&j->depot->refresh, j->repo, wants->oid, wants->n, &reason) == REFRESH_DONE &&
	    all_there(j, q, false))
		return true;
	if (j->q->only)
		job_refuse(j, reason == REASON_NONE ? REASON_UPSTREAM_DENIED : reason, "what is wanted cannot be had");
	return false;
}

/* ---- the answer ---- */

static int key_of(const struct job *j, const struct fetch_request *q, struct spool_key *ret)
{
	uint8_t generation[REPO_GENERATION];
	enum object_format format;

	repo_is_warm(j->repo, &format, generation);
	memcpy(ret->domain, j->q->domain.id, sizeof(ret->domain));
	return fetch_request_key(q, j->q->domain.id, generation, ret->request);
}

/* If this caller is to see to it, it is produced now. */
static void see_to_it(struct job *j, const struct fetch_request *q, struct spool_writer *w)
{
	if (w)
		/* a failure is the readers' to see */
		produce_start(j->depot->producers, j->repo, j->q->sandbox, q, w);
}

/* More bytes, or the end; meanwhile the front must be there. */
static int wait_more(const struct job *j, struct spool_reader *r, uint64_t have, struct spool_progress *ret)
{
	uint64_t end = deadline_in(j->depot->config->total_ms);

	for (;;) {
		struct pollfd p = { .fd = j->to };
		int e = spool_wait(r, have, deadline_in(LOOK_MS), ret);

		if (e != -ETIMEDOUT)
			return e;
		if (poll(&p, 1, 0) > 0)
			return -EPIPE;
		if (deadline_now() > end)
			return -ETIMEDOUT;
	}
}

static struct answer_head head_of(const struct spool_reader *r, const struct spool_progress *now, bool stale)
{
	enum spool_source s = spool_reader_source(r);

	return (struct answer_head){
		.kind = GP_RPC, .length = now->complete ? now->size : KEEPER_UNKNOWN, .coalesced = s == SPOOL_COALESCED,
		.source = stale ? KEEPER_FROM_STALE : s == SPOOL_HIT ? KEEPER_FROM_SPOOL : KEEPER_FROM_MIRROR,
	};
}

/* From the first byte on. */
static void pass(struct job *j, struct spool_reader *r, struct spool_progress now, bool stale)
{
	struct answer_head h = head_of(r, &now, stale);
	uint64_t told = 0;
	int e;

	if (now.complete) {
		job_sent(j, answer_file(j->to, &h, spool_reader_fd(r)), now.size);
		return;
	}
	e = answer_begin(j->to, &h, spool_reader_fd(r));
	while (!e) {
		if (now.size > told)
			e = answer_grown(j->to, now.size);
		told = now.size;
		if (e || now.complete)
			break;
		e = wait_more(j, r, told, &now);
	}
	if (!e)
		e = answer_end(j->to, REASON_NONE);
	else if (e != -EPIPE)
		answer_end(j->to, REASON_INTERNAL_ERROR);
	job_sent(j, e, told);
}

static void read_answer(struct job *j, const struct fetch_request *q, struct spool_reader **io, bool stale)
{
	struct spool_writer *w = NULL;
	struct spool_progress now;
	uint64_t soon = deadline_in(RETRY_MS);
	int e = wait_more(j, *io, 0, &now);

	/* Who has waited already does not wait in the queue once more. */
	if (e == -EIO && deadline_now() < soon && spool_retry(io, &w) == 0) {
		see_to_it(j, q, w);
		e = wait_more(j, *io, 0, &now);
	}
	if (!e && j->told)
		fill_pass(j, *io, now, wait_more);
	else if (!e)
		pass(j, *io, now, stale);
	else if (e == -EPIPE)
		job_sent(j, e, 0);
	repo_sent(j->repo, j->verdict.how == MIRROR_SERVED ? j->verdict.down : 0);
}

static void serve(struct job *j, const struct fetch_request *q)
{
	AUTO(spool_reader) struct spool_reader *r = NULL;
	struct spool_writer *w = NULL;
	struct spool_key key;
	bool stale;

	if (!let_in(j, q, &stale) || !ready(j, q, stale) || key_of(j, q, &key) < 0)
		return;
	if (spool_get(j->depot->spool, &key, q->format, &r, &w) < 0)
		return;
	see_to_it(j, q, w);
	read_answer(j, q, &r, stale);
}

void serve_fetch(struct job *j, const struct fetch_request *q)
{
	serve(j, q);
	if (j->told && j->verdict.how == MIRROR_UPSTREAM)	/* what was begun must end */
		job_refuse(j, REASON_INTERNAL_ERROR, "the first copy is there, and no answer of it");
}
