/*
 * lfs_put.c - an object of Git LFS that a sandbox brings
 *
 * Theory of operation: it comes in frames of the front, of the size that the keeper's link says, and is
 * written as it comes. Whole and of the right hash, cordon-scan reads it; found clean, it is held. All else is
 * refused and gone. It goes upstream with a push that needs it, not before: an upload that nothing refers to
 * would be a way out that no rule for references sees.
 */
#include <errno.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>

#include "gitproxy/deadline.h"
#include "gitproxy/keeper_client.h"
#include "gitproxy/mirror/job.h"
#include "gitproxy/mirror/judge.h"
#include "gitproxy/mirror/lfs_store.h"

struct put {
	struct job *job;
	struct lfs_object object;
	int fd;				/* of the store */
	EVP_MD_CTX *hash;
	uint64_t n;
	enum reason reason;
	char finding[KEEPER_VALUE];	/* for people: the first */
	unsigned findings;
};

/* ---- receiving ---- */

static int write_all(int fd, struct rd bytes)
{
	while (rd_left(&bytes)) {
		ssize_t n = write(fd, bytes.p, bytes.n);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0 || !rd_skip(&bytes, (size_t)n))
			return n < 0 ? -errno : -EIO;
	}
	return 0;
}

/* 1: it is refused. */
static int on_data(struct put *p, struct rd data)
{
	p->n += data.n;
	if (p->n > p->object.size)
		p->reason = REASON_LFS_OBJECT_MISMATCH;
	else if (EVP_DigestUpdate(p->hash, data.p, data.n) != 1)
		p->reason = REASON_INTERNAL_ERROR;
	else if (write_all(p->fd, data) < 0)
		p->reason = REASON_UNAVAILABLE;	/* no room, as a rule */
	return p->reason != REASON_NONE;
}

static int receive(struct put *p, union keeper_in *f)
{
	const struct host_config *c = p->job->depot->config;
	uint64_t end = deadline_in(c->total_ms), idle;
	size_t n;

	for (;;) {
		AUTO(fd) int file = -1;
		enum keeper_frame_kind kind;
		int error = 0, r;

		idle = deadline_in(c->idle_ms);
		kind = keeper_next(p->job->to, -1, idle < end ? idle : end, f, &n, &file, &error);

		if (kind == KEEPER_END)
			return 0;
		if (kind != KEEPER_DATA)
			return error ? error : -EPROTO;
		r = on_data(p, rd_of(f->data.data, n));
		if (r)
			return 0;
	}
}

static void check_hash(struct put *p)
{
	uint8_t got[EVP_MAX_MD_SIZE];
	unsigned n = 0;

	if (EVP_DigestFinal_ex(p->hash, got, &n) != 1)
		p->reason = REASON_INTERNAL_ERROR;
	else if (p->n != p->object.size || n != LFS_OID || memcmp(got, p->object.oid, n))
		p->reason = REASON_LFS_OBJECT_MISMATCH;
}

/* ---- scanning ---- */

static void on_finding(void *owner, const struct gate_finding *f)
{
	struct put *p = owner;

	if (f->weight != GATE_HELD || p->findings++)
		return;
	snprintf(p->finding, sizeof(p->finding), "%.40s in line %ju, fingerprint %.*s", f->rule, (uintmax_t)f->line,
		 (int)sizeof(p->finding) - 80, f->fingerprint);
}

static void scan(struct put *p)
{
	struct job *j = p->job;
	const int *fd = j->in.fd;
	struct gate_scanfile q = { .size = p->object.size, .sandbox = j->q->sandbox, .has_exceptions = fd[MIRROR_EXCEPTIONS] >= 0 };
	const struct judge_ask a = { .file = &q, .pack = p->fd, .rules = fd[MIRROR_RULES], .exceptions = fd[MIRROR_EXCEPTIONS],
				     .client = j->to, .deadline = deadline_in(j->depot->config->total_ms),
				     .on_finding = on_finding, .owner = p };
	struct gate_judged judged;

	memcpy(q.sha256, p->object.oid, sizeof(q.sha256));
	judge_run(j->depot->judge, &a, &judged);
	if (judged.verdict != JUDGE_CLEAN)
		p->reason = judged.reason != REASON_NONE ? (enum reason)judged.reason : REASON_SCAN_FAILED;
}

/* ---- one ---- */

static void bring(struct put *p)
{
	AUTO(mem) union keeper_in *f = malloc(sizeof(*f));
	int r = -ENOMEM;

	p->hash = EVP_MD_CTX_new();
	if (f && p->hash && EVP_DigestInit_ex(p->hash, EVP_sha256(), NULL) == 1)
		r = receive(p, f);
	if (r < 0)
		p->reason = r == -ETIMEDOUT ? REASON_DEADLINE_EXCEEDED : REASON_INTERNAL_ERROR;
	if (p->reason == REASON_NONE)
		check_hash(p);
	if (p->reason == REASON_NONE)
		scan(p);
	EVP_MD_CTX_free(p->hash);
}

static void answer(struct put *p)
{
	struct job *j = p->job;
	int r = p->reason == REASON_NONE ? answer_nothing(j->to) : answer_found(j->to, p->reason, p->finding);

	j->verdict = (struct mirror_verdict){ .how = MIRROR_SERVED, .reason = p->reason,
					      .gone = r < 0 && p->reason == REASON_NONE };
	msg_plain_set(j->verdict.detail, sizeof(j->verdict.detail), p->finding);
}

void serve_lfs_put(struct job *j)
{
	const struct lfs_owner owner = { j->q->sandbox, &j->q->domain };
	struct put p = { .job = j, .object = { .size = j->q->lfs_size }, .fd = -1 };
	struct lfs_store *store = j->depot->lfs;
	struct lfs_coming *coming = NULL;
	int r;

	memcpy(p.object.oid, j->q->open.oid, LFS_OID);
	r = j->in.fd[MIRROR_RULES] < 0 ? -EPROTO : lfs_store_begin(store, &owner, &p.object, &coming, &p.fd);
	if (!r)
		bring(&p);
	else
		p.reason = r == -ENOSPC ? REASON_BODY_TOO_LARGE : REASON_INTERNAL_ERROR;
	if (p.reason == REASON_NONE)
		lfs_store_keep(store, STEAL(coming));	/* before the client hears of it */
	lfs_store_drop(store, coming);
	answer(&p);
}
