/*
 * serve_lfs.c - the keeper's side of Git LFS
 *
 * Theory of operation: a batch request comes as fixed structs. Upstream is asked here, with the repository's
 * credential, and what it names (URLs, header fields) stays here: the sandbox gets links of ours, each good
 * for itself, this repository, object, size and direction, for minutes. A link that is used is looked up by
 * all of that, after the policy has decided again. What is brought is not sent on: cordon-mirror holds it
 * until a push that needs it is judged clean. Whether an object is upstream already is asked as for a
 * download: nobody who may only push learns more than a push tells.
 */
#include "gitproxy/keeper/lfs_links.h"
#include "gitproxy/keeper/lfs_upstream.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <sys/stat.h>

#include "gitproxy/deadline.h"
#include "gitproxy/mirror_ipc.h"

enum { PUT_MORE_MS = 60000 };		/* beyond the time that a transfer has */

struct batch {
	struct lfs_object *object;
	struct lfs_found *found;
	struct lfs_offer *offer;
	size_t n;
};

static void fail(const struct upstream_request *rq, enum reason reason, const char *why, struct upstream_outcome *ret)
{
	*ret = (struct upstream_outcome){ .reason = reason };
	snprintf(ret->detail, sizeof(ret->detail), "%s", why);
	serve_refuse(rq->answer, reason);
}

/* ---- batch requests ---- */

/* What the front counted: serve_body_ok() has seen the file's length. */
static bool read_objects(const struct upstream_request *rq, struct batch *b)
{
	size_t bytes = (size_t)rq->open->body_length;

	b->n = bytes / sizeof(*b->object);
	b->object = malloc(bytes);
	b->found = calloc(b->n, sizeof(*b->found));
	b->offer = calloc(b->n, sizeof(*b->offer));
	if (!b->object || !b->found || !b->offer || pread(rq->body, b->object, bytes, 0) != (ssize_t)bytes)
		return false;
	for (size_t i = 0; i < b->n; i++)
		if (b->object[i].size > LFS_SIZE_MAX)
			return false;
	return true;
}

static void batch_done(struct batch *b)
{
	if (b->found)
		lfs_found_done(b->found, b->n);
	free(b->found);
	free(b->object);
	free(b->offer);
}

static struct lfs_link_key key_of(const struct view_sandbox *sb, const struct upstream_request *rq, const uint8_t *link,
				  const uint8_t *oid)
{
	return (struct lfs_link_key){ .sandbox = sb->id, .service = (enum git_service)rq->open->service,
				      .host = rq->open->host, .repo = rq->open->repo, .link = link, .oid = oid };
}

static void link_one(struct job *j, const struct view_sandbox *sb, const struct upstream_request *rq, struct batch *b,
		     size_t i, uint32_t life_s)
{
	struct lfs_offer *o = &b->offer[i];
	struct lfs_link_key k = key_of(sb, rq, o->link, b->object[i].oid);
	int r = lfs_links_add(j->links, &k, b->object[i].size, STEAL(b->found[i].action), life_s, o->link);

	o->result = !r ? LFS_LINKED : r == -ENOSPC ? LFS_TOO_LARGE : LFS_NONE;
	o->life_s = life_s;
}

static void offer_download(struct job *j, const struct view_sandbox *sb, const struct upstream_request *rq,
			   struct batch *b)
{
	for (size_t i = 0; i < b->n; i++) {
		b->offer[i].object = b->object[i];
		b->offer[i].result = b->found[i].result;
		if (b->found[i].result == LFS_LINKED)
			link_one(j, sb, rq, b, i, b->found[i].action->life_s);
	}
}

/* What upstream has need not be brought. */
static void offer_upload(struct job *j, const struct view_sandbox *sb, const struct upstream_request *rq,
			 struct batch *b, uint64_t max)
{
	for (size_t i = 0; i < b->n; i++) {
		struct lfs_offer *o = &b->offer[i];

		o->object = b->object[i];
		o->result = b->found[i].result;
		if (b->found[i].result == LFS_LINKED)
			o->result = LFS_THERE;
		else if (b->found[i].result == LFS_MISSING && o->object.size > max)
			o->result = LFS_TOO_LARGE;
		else if (b->found[i].result == LFS_MISSING)
			link_one(j, sb, rq, b, i, LFS_LIFE_S);
	}
}

static bool send_frame(int answer, const void *head, size_t head_n, const void *data, size_t n)
{
	return !upstream_send(answer, head, head_n, data, n, deadline_in(SERVE_ANSWER_MS));
}

static void send_offers(const struct upstream_request *rq, const struct batch *b, struct upstream_outcome *ret)
{
	enum { EACH = KEEPER_DATA_MAX / sizeof(struct lfs_offer) };
	struct keeper_status st = { .kind = KEEPER_STATUS, .upstream_status = ret->status,
				    .length = b->n * sizeof(*b->offer) };
	struct keeper_frame data = { KEEPER_DATA };
	struct keeper_end end = { .kind = KEEPER_END };
	bool ok = send_frame(rq->answer, &st, sizeof(st), NULL, 0);

	for (size_t i = 0; ok && i < b->n; i += EACH)
		ok = send_frame(rq->answer, &data, sizeof(data), &b->offer[i],
				(b->n - i < EACH ? b->n - i : EACH) * sizeof(*b->offer));
	ret->gone = !(ok && send_frame(rq->answer, &end, sizeof(end), NULL, 0));
}

static void ask_and_offer(struct job *j, const struct view_sandbox *sb, const struct upstream_request *rq,
			  struct batch *b, struct upstream_outcome *ret)
{
	const struct lfs_way w = { j->upstream, sb, rq };
	AUTO(mem) struct push_rules *rules = malloc(sizeof(*rules));

	if (!rules) {
		fail(rq, REASON_INTERNAL_ERROR, "no memory", ret);
		return;
	}
	lfs_upstream_ask(&w, false, b->object, b->n, b->found, ret);
	if (ret->reason != REASON_NONE) {
		serve_refuse(rq->answer, ret->reason);
		return;
	}
	policy_push_rules(sb->policy, rq->open->host, rq->open->repo, rules);
	if (rq->open->service == GIT_SERVICE_RECEIVE_PACK)
		offer_upload(j, sb, rq, b, rules->allowed ? rules->max_pack_bytes : 0);
	else
		offer_download(j, sb, rq, b);
	send_offers(rq, b, ret);
}

static void serve_batch(struct job *j, const struct view_sandbox *sb, const struct upstream_request *rq,
			struct upstream_outcome *ret)
{
	struct batch b = { 0 };

	if (read_objects(rq, &b))
		ask_and_offer(j, sb, rq, &b, ret);
	else
		fail(rq, REASON_INTERNAL_ERROR, "a batch request that cannot be read", ret);
	batch_done(&b);
}

/* ---- objects ---- */

static void serve_get(struct job *j, const struct view_sandbox *sb, const struct upstream_request *rq,
		      struct lfs_link *l, struct upstream_outcome *ret)
{
	const struct lfs_way w = { j->upstream, sb, rq };

	lfs_upstream_get(&w, &l->object, l->action, ret);
	if (ret->reason == REASON_NONE)
		lfs_links_end(j->links, l);
}

/* A client verifies as soon as it has its answer, which may be before the mirror's word has come here. */
static void serve_verify(struct job *j, const struct upstream_request *rq, struct lfs_link *l,
			 struct upstream_outcome *ret)
{
	struct keeper_status st = { .kind = KEEPER_STATUS };
	struct keeper_end end = { .kind = KEEPER_END };

	if (!lfs_links_passed(j->links, l, deadline_in(SERVE_ANSWER_MS))) {
		fail(rq, REASON_LFS_OBJECT_MISSING, "it was not brought, or was refused", ret);
		return;
	}
	if (send_frame(rq->answer, &st, sizeof(st), NULL, 0))
		send_frame(rq->answer, &end, sizeof(end), NULL, 0);
}

static enum reason put_reason(const struct mirror_verdict *v, struct upstream_outcome *ret)
{
	serve_mirror_verdict(v, ret);
	return v->how == MIRROR_SERVED ? (enum reason)v->reason : REASON_INTERNAL_ERROR;
}

/* The mirror's word, or why there is none. */
static void hear(const struct job *j, int from, struct upstream_outcome *ret)
{
	const struct mirror_verdict *v;
	struct ipc_in in;

	ret->reason = REASON_INTERNAL_ERROR;
	if (deadline_wait(from, POLLIN, deadline_in((uint64_t)j->config->total_ms + PUT_MORE_MS)) < 0 ||
	    ipc_recv(from, &in) < 0)
		return;
	v = (const struct mirror_verdict *)in.body;
	if (in.head.type == MSG_MIRROR_VERDICT && in.head.length == sizeof(*v) && mirror_verdict_ok(v))
		ret->reason = put_reason(v, ret);
	ipc_in_done(&in);
}

static void take_in(struct job *j, const struct view_sandbox *sb, const struct upstream_request *rq,
		    const struct lfs_link *l, struct upstream_outcome *ret)
{
	AUTO(fd) int from = -1;
	struct mirror_serve q;

	if (!serve_mirror_begin(sb, rq, &q)) {
		fail(rq, REASON_INTERNAL_ERROR, "no domain", ret);
		return;
	}
	q.lfs_size = l->object.size;
	if (serve_push_hand_over(j, sb, rq, &q, &from) < 0) {
		fail(rq, REASON_INTERNAL_ERROR, "it could not be handed over", ret);
		return;
	}
	hear(j, from, ret);
	if (ret->reason == REASON_INTERNAL_ERROR)
		serve_refuse(rq->answer, ret->reason);	/* what is out already makes it a broken answer */
}

static void serve_put(struct job *j, const struct view_sandbox *sb, const struct upstream_request *rq,
		      struct lfs_link *l, struct upstream_outcome *ret)
{
	lfs_links_bring(j->links, l);
	take_in(j, sb, rq, l, ret);
	lfs_links_brought(j->links, l, ret->reason == REASON_NONE);
}

static void serve_link(struct job *j, const struct view_sandbox *sb, const struct upstream_request *rq,
		       struct upstream_outcome *ret)
{
	const struct keeper_open *o = rq->open;
	struct lfs_link_key k = key_of(sb, rq, o->link, o->oid);
	struct lfs_link *l = lfs_links_get(j->links, &k);

	if (!l)
		fail(rq, REASON_LFS_LINK_INVALID, "no such link, or its time is over", ret);
	else if (o->kind == GP_LFS_VERIFY)
		serve_verify(j, rq, l, ret);
	else if (l->action)
		serve_get(j, sb, rq, l, ret);
	else
		serve_put(j, sb, rq, l, ret);
	if (l)
		lfs_links_put(j->links, l);
}

void serve_lfs(struct job *j, const struct view_sandbox *sb, const struct upstream_request *rq,
	       struct upstream_outcome *ret)
{
	*ret = (struct upstream_outcome){ .reason = REASON_NONE };
	if (rq->credential && rq->credential->of->kind == CREDENTIAL_SSH)
		fail(rq, REASON_LFS_NEEDS_HTTPS, "its credential is one for ssh", ret);
	else if (rq->open->kind == GP_LFS_BATCH)
		serve_batch(j, sb, rq, ret);
	else
		serve_link(j, sb, rq, ret);
}

/* ---- what a push needs ---- */

static bool read_list(int file, struct lfs_object *o, size_t n)
{
	AUTO(mem) char *text = NULL;
	size_t got;

	if (ipc_memfd_read(file, n * sizeof(*o), &text, &got) < 0 || got != n * sizeof(*o))
		return false;
	memcpy(o, text, got);
	for (size_t i = 0; i < n; i++)
		if (o[i].size > LFS_SIZE_MAX)
			return false;
	return true;
}

static void say_done(int answer, const void *data, size_t n)
{
	struct keeper_status st = { .kind = KEEPER_STATUS, .length = n };
	struct keeper_frame frame = { KEEPER_DATA };
	struct keeper_end end = { .kind = KEEPER_END };

	if (send_frame(answer, &st, sizeof(st), NULL, 0) && (!n || send_frame(answer, &frame, sizeof(frame), data, n)))
		send_frame(answer, &end, sizeof(end), NULL, 0);
}

static void ask_for_push(const struct lfs_way *w, const struct lfs_object *o, size_t n, struct upstream_outcome *out)
{
	AUTO(mem) struct lfs_found *found = calloc(n, sizeof(*found));
	uint8_t result[LFS_BATCH_MAX];

	*out = (struct upstream_outcome){ .reason = REASON_INTERNAL_ERROR };
	if (found)
		lfs_upstream_ask(w, false, o, n, found, out);
	if (out->reason != REASON_NONE) {
		serve_refuse(w->rq->answer, out->reason);
		return;
	}
	for (size_t i = 0; i < n; i++)
		result[i] = found[i].result == LFS_LINKED ? LFS_THERE : (uint8_t)found[i].result;
	lfs_found_done(found, n);
	say_done(w->rq->answer, result, n);
}

static bool file_ok(int file, uint64_t size)
{
	struct stat st;

	return file >= 0 && !fstat(file, &st) && S_ISREG(st.st_mode) && (uint64_t)st.st_size == size;
}

/* Upstream may have got it meanwhile; then there is nothing to do. */
static void bring_for_push(const struct lfs_way *w, const struct lfs_object *o, int file, struct upstream_outcome *out)
{
	struct lfs_found found = { 0 };

	lfs_upstream_ask(w, true, o, 1, &found, out);
	if (out->reason == REASON_NONE && found.result == LFS_LINKED)
		lfs_upstream_bring(w, o, &found, file, out);
	else if (out->reason == REASON_NONE && found.result != LFS_THERE)
		out->reason = REASON_UPSTREAM_DENIED;
	lfs_found_done(&found, 1);
	if (out->reason == REASON_NONE)
		say_done(w->rq->answer, NULL, 0);
	else
		serve_refuse(w->rq->answer, out->reason);
}

static void audit_brought(const struct job *j, const struct lfs_way *w, const struct lfs_object *o,
			  const struct upstream_outcome *out)
{
	const struct view_sandbox *sb = w->sandbox;
	struct audit_head h = { .event = "lfs", .sandbox = sb->name, .profile = policy_name(sb->policy),
				.decision = "allow", .reason = reason_text(out->reason),
				.policy = policy_sha256(sb->policy) };
	char hex[LFS_HEX + 1] = "";
	struct wr text = wr_of(hex, LFS_HEX);
	struct audit_line l;

	wr_hex(&text, o->oid, LFS_OID);
	audit_begin(&l, &h);
	audit_rd(&l, "host", rd_str(w->rq->open->host));
	audit_rd(&l, "repo", rd_str(w->rq->open->repo));
	audit_str(&l, "direction", "upload");
	audit_str(&l, "oid", hex);
	audit_u64(&l, "size", o->size);
	audit_u64(&l, "status", out->status);
	audit_str(&l, "outcome", out->reason == REASON_NONE ? "forwarded" : "failed");
	audit_rd(&l, "detail", rd_str(out->detail));
	audit_put(j->audit, &l);
}

bool serve_lfs_of_push(struct job *j, const struct view_sandbox *sb, const struct upstream_request *rq,
		       const struct ipc_in *in, enum reason reason)
{
	const struct mirror_lfs *q = (const struct mirror_lfs *)in->body;
	struct upstream_request own = { .sandbox = rq->sandbox, .host = rq->host, .open = rq->open,
					.credential = rq->credential, .answer = in->fd[MIRROR_LFS_ANSWER], .body = -1 };
	const struct lfs_way w = { j->upstream, sb, &own };
	AUTO(mem) struct lfs_object *o = calloc(q->n, sizeof(*o));
	struct upstream_outcome out = { 0 };
	int file = in->fd[MIRROR_LFS_FILE];
	bool bring = in->head.type == MSG_MIRROR_LFS_BRING;

	if (!o || own.answer < 0 || (bring ? q->n != 1 || !file_ok(file, q->object.size) : !read_list(file, o, q->n)))
		return false;
	if (reason == REASON_NONE && own.credential && own.credential->of->kind == CREDENTIAL_SSH)
		reason = REASON_LFS_NEEDS_HTTPS;
	if (reason != REASON_NONE) {
		serve_refuse(own.answer, reason);
	} else if (bring) {
		bring_for_push(&w, &q->object, file, &out);
		audit_brought(j, &w, &q->object, &out);
	} else {
		ask_for_push(&w, o, q->n, &out);
	}
	return true;
}
