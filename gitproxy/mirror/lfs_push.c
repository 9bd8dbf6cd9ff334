/*
 * lfs_push.c - objects of Git LFS that a push needs
 *
 * Theory of operation: a pointer whose object upstream never gets would leave a repository that nobody can
 * check out, and one that went around the scanner would leave it with a secret. So before the references
 * go, upstream must have each object, from before or from here. First it is asked which it lacks, by way of
 * the keeper and on the socket that permits this push; when all of those are held, for this sandbox and
 * this domain, they go. Objects that went and whose push then fails are upstream without a reference, as
 * with every client of Git LFS; they were found clean.
 */
#include "gitproxy/mirror/lfs.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "gitproxy/deadline.h"
#include "gitproxy/keeper_client.h"
#include "gitproxy/mirror/lfs_store.h"

struct talk {				/* one question to the keeper */
	int answer;
	uint64_t deadline;
	union keeper_in *f;
	size_t n;
};

static int open_talk(const struct lfs_push *p, enum msg_type type, const struct mirror_lfs *q, int file, int *ret)
{
	AUTO(fd) int ours = -1;
	AUTO(fd) int theirs = -1;
	int r = ipc_pair(&ours, &theirs);

	if (r < 0)
		return r;
	const int fds[] = { [MIRROR_LFS_ANSWER] = theirs, [MIRROR_LFS_FILE] = file };

	r = ipc_send(p->keeper, type, 0, q, sizeof(*q), fds, 2);
	if (!r)
		*ret = STEAL_FD(ours);
	return r;
}

static enum keeper_frame_kind next(struct talk *t)
{
	AUTO(fd) int file = -1;
	int error;

	return keeper_next(t->answer, -1, t->deadline, t->f, &t->n, &file, &error);
}

/* STATUS, DATA into *w, END. */
static enum reason hear(struct talk *t, struct wr *w)
{
	enum keeper_frame_kind kind = next(t);

	if (kind != KEEPER_STATUS)
		return REASON_INTERNAL_ERROR;
	if (t->f->status.reason != REASON_NONE)
		return (enum reason)t->f->status.reason;
	while ((kind = next(t)) == KEEPER_DATA)
		wr_put(w, t->f->data.data, t->n);
	return kind == KEEPER_END && t->f->end.reason == REASON_NONE && wr_ok(w) && w->n == w->cap ? REASON_NONE :
												    REASON_INTERNAL_ERROR;
}

static enum reason ask(const struct lfs_push *p, enum msg_type type, const struct mirror_lfs *q, int file, struct wr *w)
{
	AUTO(mem) union keeper_in *f = malloc(sizeof(*f));
	AUTO(fd) int answer = -1;
	struct talk t = { .f = f, .deadline = deadline_in(p->total_ms) };

	if (!f || open_talk(p, type, q, file, &answer) < 0)
		return REASON_INTERNAL_ERROR;
	t.answer = answer;
	return hear(&t, w);
}

static void say(char text[MIRROR_DETAIL], const struct lfs_object *o, const char *what)
{
	char all[MIRROR_DETAIL];
	struct wr w = wr_of(all, sizeof(all) - 1);

	wr_str(&w, "object ");
	wr_hex(&w, o->oid, LFS_OID);
	wr_fmt(&w, " %s", what);
	all[w.n] = '\0';
	msg_plain_set(text, MIRROR_DETAIL, all);
}

/* ---- each once ---- */

static int by_id(const void *a, const void *b)
{
	const struct lfs_object *x = a, *y = b;
	int c = memcmp(x->oid, y->oid, LFS_OID);

	return c ? c : (x->size > y->size) - (x->size < y->size);
}

static struct lfs_object *each_once(const struct lfs_push *p, size_t *ret_n)
{
	struct lfs_object *o = malloc(p->n * sizeof(*o));
	size_t n = 0;

	if (!o)
		return NULL;
	memcpy(o, p->objects, p->n * sizeof(*o));
	qsort(o, p->n, sizeof(*o), by_id);
	for (size_t i = 0; i < p->n; i++)
		if (!n || by_id(&o[n - 1], &o[i]))
			o[n++] = o[i];
	*ret_n = n;
	return o;
}

/* ---- what upstream lacks ---- */

static enum reason ask_batch(const struct lfs_push *p, const struct lfs_object *o, size_t n, uint8_t *ret)
{
	struct mirror_lfs q = { .n = (uint32_t)n };
	AUTO(fd) int list = ipc_memfd("objects", o, n * sizeof(*o));
	struct wr w = wr_of(ret, n);

	return list < 0 ? REASON_INTERNAL_ERROR : ask(p, MSG_MIRROR_LFS_ASK, &q, list, &w);
}

/* Those that must go remain in io; each is held. */
static enum reason find_lacking(const struct lfs_push *p, struct lfs_object *io, size_t *io_n, char text[MIRROR_DETAIL])
{
	const struct lfs_owner owner = { p->serve->sandbox, &p->serve->domain };
	uint8_t result[LFS_BATCH_MAX];
	size_t lacking = 0, n;

	for (size_t at = 0; at < *io_n; at += n) {
		enum reason reason;

		n = *io_n - at < LFS_BATCH_MAX ? *io_n - at : LFS_BATCH_MAX;
		reason = ask_batch(p, io + at, n, result);
		if (reason != REASON_NONE) {
			msg_plain_set(text, MIRROR_DETAIL, reason_sentence(reason));
			return reason;
		}
		for (size_t i = 0; i < n; i++) {
			AUTO(fd) int held = -1;

			if (result[i] == LFS_THERE)
				continue;
			if (result[i] == LFS_MISSING)
				held = lfs_store_open(p->store, &owner, &io[at + i]);
			if (held < 0) {
				say(text, &io[at + i], "was not uploaded");
				return REASON_LFS_OBJECT_MISSING;
			}
			io[lacking++] = io[at + i];
		}
	}
	*io_n = lacking;
	return REASON_NONE;
}

/* ---- what goes ---- */

static enum reason send_one(const struct lfs_push *p, const struct lfs_object *o, char text[MIRROR_DETAIL])
{
	const struct lfs_owner owner = { p->serve->sandbox, &p->serve->domain };
	struct mirror_lfs q = { .n = 1, .object = *o };
	AUTO(fd) int file = lfs_store_open(p->store, &owner, o);
	struct wr none = wr_of(NULL, 0);
	enum reason reason;

	if (file < 0) {
		say(text, o, "is not held any more");
		return REASON_LFS_OBJECT_MISSING;
	}
	reason = ask(p, MSG_MIRROR_LFS_BRING, &q, file, &none);
	if (reason == REASON_NONE)
		lfs_store_done(p->store, &owner, o);
	else
		say(text, o, "could not be sent on");
	return reason;
}

enum reason lfs_push(const struct lfs_push *p, char ret_text[MIRROR_DETAIL])
{
	size_t n = 0;
	AUTO(mem) struct lfs_object *o = p->n ? each_once(p, &n) : NULL;
	enum reason reason;

	ret_text[0] = '\0';
	if (!p->n)
		return REASON_NONE;
	if (!o) {
		msg_plain_set(ret_text, MIRROR_DETAIL, "no memory for its objects of Git LFS");
		return REASON_INTERNAL_ERROR;
	}
	reason = find_lacking(p, o, &n, ret_text);
	for (size_t i = 0; i < n && reason == REASON_NONE; i++) {
		if (p->tick && !p->tick(p->owner, i, n)) {
			msg_plain_set(ret_text, MIRROR_DETAIL, "the client has gone");
			return REASON_INTERNAL_ERROR;
		}
		reason = send_one(p, &o[i], ret_text);
	}
	return reason;
}
