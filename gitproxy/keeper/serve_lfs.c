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
#include <stdio.h>

#include "gitproxy/deadline.h"
#include "policy/push.h"

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

static void serve_verify(const struct upstream_request *rq, struct lfs_link *l, struct upstream_outcome *ret)
{
	struct keeper_status st = { .kind = KEEPER_STATUS };
	struct keeper_end end = { .kind = KEEPER_END };

	if (!atomic_load(&l->passed)) {
		fail(rq, REASON_LFS_OBJECT_MISSING, "it was not brought, or was refused", ret);
		return;
	}
	if (send_frame(rq->answer, &st, sizeof(st), NULL, 0))
		send_frame(rq->answer, &end, sizeof(end), NULL, 0);
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
		serve_verify(rq, l, ret);
	else if (l->action)
		serve_get(j, sb, rq, l, ret);
	else
		fail(rq, REASON_PUSH_NOT_ALLOWED, "objects cannot be brought yet", ret);
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
