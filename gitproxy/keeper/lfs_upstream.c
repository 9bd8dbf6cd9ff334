/*
 * lfs_upstream.c - what is asked of upstream for Git LFS
 *
 * Theory of operation: the batch request goes to the repository's host with its credential. A step that
 * upstream names then goes to the host of its URL; the credential goes along only to the repository's own
 * host, when upstream names no authorization of its own, as git-lfs does it. Which addresses may be dialled
 * is asked of the policy for that host.
 */
#include "gitproxy/keeper/lfs_upstream.h"

#include <stdio.h>
#include <time.h>
#include <openssl/crypto.h>

#include "gitproxy/keeper/lfs_echo.h"

enum { URL_BYTES = 768, ANSWER_HEAD = 65536, ANSWER_ENTRY = 16384, TELL_BYTES = 192 };

/* What the request that is decided and one of its steps have in common. */
static struct upstream_request step_of(const struct lfs_way *w, const struct lfs_action *a,
				       const struct upstream_lfs *lfs)
{
	struct upstream_request rq = { .sandbox = w->rq->sandbox, .host = w->rq->host, .open = w->rq->open, .body = -1,
				       .answer = w->rq->answer, .lfs = lfs };

	if (a)
		rq.host = a->host;
	rq.private_ok = serve_private_ok(w->sandbox, rq.host);
	if (!a || (!strcmp(a->host, w->rq->host) && !*lfs_action_field(a, "authorization")))
		rq.credential = w->rq->credential;
	return rq;
}

struct text { uint8_t *p; size_t n; };	/* that may hold secrets */

static void text_free(struct text *t)
{
	if (t->p)
		OPENSSL_cleanse(t->p, t->n);
	free(t->p);
}

static void ask(const struct lfs_way *w, struct rd body, struct wr *answer, struct upstream_outcome *out)
{
	struct upstream_lfs q = { .step = UPSTREAM_LFS_ASK, .body = body, .collect = answer };
	struct upstream_request rq = step_of(w, NULL, &q);
	char url[URL_BYTES];

	snprintf(url, sizeof(url), "https://%s/%s.git/info/lfs/objects/batch", w->rq->host, w->rq->open->repo);
	q.url = url;
	upstream_run(w->upstream, &rq, out);
}

void lfs_upstream_ask(const struct lfs_way *w, bool upload, const struct lfs_object *o, size_t n,
		      struct lfs_found *ret, struct upstream_outcome *out)
{
	size_t body_n = LFS_ASK_HEAD + n * LFS_ASK_ENTRY, cap = ANSWER_HEAD + n * ANSWER_ENTRY;
	AUTO(mem) uint8_t *body = malloc(body_n);
	struct text text = { .p = malloc(cap) };
	struct wr q = wr_of(body, body ? body_n : 0), answer = wr_of(text.p, text.p ? cap : 0);

	*out = (struct upstream_outcome){ .reason = REASON_INTERNAL_ERROR };
	lfs_ask_write(&q, upload, o, n);
	if (wr_ok(&q) && text.p)
		ask(w, wr_rd(&q), &answer, out);
	text.n = answer.n;
	if (out->reason == REASON_NONE && lfs_answer_read(wr_rd(&answer), upload, o, n, time(NULL), ret) < 0) {
		out->reason = REASON_UPSTREAM_UNREACHABLE;
		snprintf(out->detail, sizeof(out->detail), "the answer is none of Git LFS");
	}
	text_free(&text);
}

static void tell(const struct lfs_way *w, const struct lfs_object *o, const struct lfs_action *a,
		 struct upstream_outcome *out)
{
	char text[TELL_BYTES];
	struct wr body = wr_of(text, sizeof(text));
	struct upstream_lfs q = { .step = UPSTREAM_LFS_TELL, .url = a->url, .action = a };
	struct upstream_request rq = step_of(w, a, &q);

	wr_str(&body, "{\"oid\":\"");
	wr_hex(&body, o->oid, LFS_OID);
	wr_fmt(&body, "\",\"size\":%ju}", (uintmax_t)o->size);
	q.body = wr_rd(&body);
	upstream_run(w->upstream, &rq, out);
}

void lfs_upstream_bring(const struct lfs_way *w, const struct lfs_object *o, const struct lfs_found *f, int file,
			struct upstream_outcome *out)
{
	struct upstream_lfs q = { .step = UPSTREAM_LFS_BRING, .url = f->action->url, .action = f->action,
				  .size = o->size };
	struct upstream_request rq = step_of(w, f->action, &q);

	rq.body = file;
	upstream_run(w->upstream, &rq, out);
	if (out->reason == REASON_NONE && f->verify)
		tell(w, o, f->verify, out);
}

void lfs_upstream_get(const struct lfs_way *w, const struct lfs_object *o, const struct lfs_action *a,
		      struct upstream_outcome *out)
{
	AUTO(echo) struct echo *echo = NULL;
	struct upstream_lfs q = { .step = UPSTREAM_LFS_GET, .url = a->url, .action = a, .oid = o->oid, .size = o->size };
	struct upstream_request rq = step_of(w, a, &q);

	*out = (struct upstream_outcome){ .reason = REASON_INTERNAL_ERROR };
	if (lfs_echo_new(a, &echo) < 0) {
		serve_refuse(rq.answer, out->reason);
		return;
	}
	q.echo[0] = w->rq->credential ? w->rq->credential->echo : NULL;
	q.echo[1] = echo;
	upstream_run(w->upstream, &rq, out);
}
