/*
 * judge.c - one push, from its commands and its pack to a verdict
 *
 * Theory of operation: names and options are scanned; the pack is taken apart, each of its objects gets its id,
 * then is scanned and checked while it is at hand; the checks judge what it all comes to; findings are
 * weighed. Only when nothing is against it, files that make the pack part of the repository are written.
 * Whatever could not be done to its end is JUDGE_FAILED; the first word of `tell` that says no is the
 * push's reason. A text is told for each. Nothing is given back: the process ends.
 */
#include "gitproxy/gate/judge.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "gitproxy/gate/objects_open.h"
#include "gitproxy/gate/publish.h"
#include "gitproxy/gate/question.h"
#include "gitproxy/gate/weigh.h"

enum { INFLATED_TIMES = 1000 };
#define INFLATED_FREE (4ull << 30)

struct judge {
	struct tell tell;
	struct pack_visitor visitor;
	struct checks_sink sink;
	const struct gate_judge *question;
	const int *fd;
	int pack_fd;
	enum gate_phase phase;
	struct push_list *list;
	struct push_rules rules;
	struct scan_exceptions *exceptions;
	struct oid *tips;
	size_t n_tips;
	struct contents *contents;
	struct objects *objects;
	struct checks *checks;
	struct pack pack;
	const struct oid *begun[PACK_THREADS];	/* a large blob of which nothing was seen yet */
	bool broken;			/* a part of the checks failed */
};

/* ---- what was asked ---- */

static int prepare(struct judge *j, const struct scan *engine)
{
	const struct gate_judge *q = j->question;
	int r = push_list_read(j->fd[GATE_LIST], &j->list);

	if (!r && (j->list->format != q->format || (q->has_pack && !j->list->has_pack)))
		r = -EPROTO;
	if (!r)
		r = question_rules(j->fd[GATE_RULES], &j->rules);
	if (!r && q->has_exceptions)
		r = question_exceptions(j->fd[GATE_OPTIONAL + q->has_pack], &j->exceptions);
	if (!r && q->has_tips)
		r = question_tips(j->fd[GATE_QUARANTINE], &j->tips, &j->n_tips);
	if (!r)
		r = contents_new(engine, q->format, j->exceptions, &j->contents);
	if (!r)
		r = objects_new(*q->repository ? q->repository : NULL, q->format, &j->objects);
	return r;
}

static void scan_texts(struct judge *j)
{
	for (uint32_t i = 0; i < j->list->n_commands; i++)
		contents_text(j->contents, GATE_REF, i, rd_str(push_list_command(j->list, i)->ref));
	for (uint32_t i = 0; i < j->list->n_options; i++)
		contents_text(j->contents, GATE_OPTION, i, rd_str(push_list_option(j->list, i)));
}

/* ---- the objects ---- */

static void on_refused(struct checks_sink *s, uint32_t command, enum reason reason, const char *text)
{
	tell_refused(&container_of(s, struct judge, sink)->tell, command, reason, text);
}

static void on_op(struct checks_sink *s, uint32_t command, enum push_op op)
{
	tell_op(&container_of(s, struct judge, sink)->tell, command, op);
}

static void on_pointer(struct checks_sink *s, const struct oid *blob, const uint8_t sha256[32], uint64_t size)
{
	struct gate_pointer p = { .size = size, .blob = *blob };

	memcpy(p.sha256, sha256, sizeof(p.sha256));
	tell_pointer(&container_of(s, struct judge, sink)->tell, &p);
}

static bool on_secret(struct checks_sink *s, struct rd path)
{
	return contents_any(container_of(s, struct judge, sink)->contents, path);
}

static int checked(struct judge *j, enum reason r)
{
	if (r != REASON_INTERNAL_ERROR)
		return 0;		/* what is wrong with an object checks_run() says again */
	__atomic_store_n(&j->broken, true, __ATOMIC_RELAXED);
	return -EIO;
}

static int on_object(struct pack_visitor *v, unsigned thread, const struct oid *oid, enum object_type type,
		     struct rd bytes)
{
	struct judge *j = container_of(v, struct judge, visitor);
	char room[CHECKS_TEXT];
	struct wr text = wr_of(room, sizeof(room));

	contents_object(j->contents, thread, oid, type, bytes);
	return checked(j, checks_object(j->checks, oid, type, bytes, &text));
}

static int on_begin(struct pack_visitor *v, unsigned thread, const struct oid *oid, uint64_t size)
{
	struct judge *j = container_of(v, struct judge, visitor);
	char room[CHECKS_TEXT];
	struct wr text = wr_of(room, sizeof(room));

	contents_begin(j->contents, thread, oid);
	j->begun[thread] = oid;
	return checked(j, checks_large_blob(j->checks, oid, size, &text));
}

static int on_piece(struct pack_visitor *v, unsigned thread, struct rd bytes)
{
	struct judge *j = container_of(v, struct judge, visitor);
	const struct oid *oid = STEAL(j->begun[thread]);
	char room[CHECKS_TEXT];
	struct wr text = wr_of(room, sizeof(room));

	contents_piece(j->contents, thread, bytes);
	return oid ? checked(j, checks_large_begin(j->checks, oid, bytes, &text)) : 0;
}

static int on_end(struct pack_visitor *v, unsigned thread)
{
	contents_end(container_of(v, struct judge, visitor)->contents, thread);
	return 0;
}

static int on_progress(struct pack_visitor *v, uint32_t done, uint32_t total)
{
	struct judge *j = container_of(v, struct judge, visitor);

	return tell_progress(&j->tell, j->phase, done, total);
}

/* A small pack of many large versions is usual; one that makes work for hours out of nothing is not. */
static uint64_t inflated_max(const struct judge *j)
{
	struct stat st;
	uint64_t max = fstat(j->pack_fd, &st) < 0 ? 0 : INFLATED_FREE + (uint64_t)st.st_size * INFLATED_TIMES;

	return max < j->question->max_inflated ? max : j->question->max_inflated;
}

static int index_pack(struct judge *j)
{
	struct pack_spec spec = {
		.fd = j->pack_fd, .format = j->question->format, .max_objects = j->question->max_objects,
		.max_inflated = inflated_max(j), .outside = objects_outside(j->objects),
	};
	int r = tell_progress(&j->tell, GATE_RECEIVED, 0, 0);

	if (!r)
		r = pack_open(&spec, &j->pack);
	j->phase = GATE_INDEX;
	if (!r)
		r = tell_progress(&j->tell, GATE_INDEX, 0, j->pack.n);
	if (!r)
		r = pack_ids(&j->pack, &j->visitor);
	if (!r)
		r = objects_take_pack(j->objects, &j->pack);
	j->tell.judged.objects = j->pack.n;
	j->tell.judged.bytes = j->pack.inflated;
	return r;
}

static int open_checks(struct judge *j)
{
	struct checks_spec spec = {
		.objects = j->objects, .format = j->question->format, .list = j->list, .rules = &j->rules,
		.sink = &j->sink, .limits.inflated = j->question->max_inflated,
		.has_tips = j->question->has_tips, .tips_may_lack = j->question->again, .tips = j->tips, .n_tips = j->n_tips,
	};

	return checks_new(&spec, &j->checks);
}

static int look_at_pack(struct judge *j)
{
	int r = index_pack(j);

	if (!r)
		r = open_checks(j);
	j->phase = GATE_SCAN;
	if (!r)
		r = tell_progress(&j->tell, GATE_SCAN, 0, j->pack.n);
	return r ? r : pack_show(&j->pack, &j->visitor);
}

/* ---- the verdict ---- */

static void failed(struct judge *j, const char *why)
{
	tell_judged(&j->tell, JUDGE_FAILED, REASON_SCAN_FAILED, why);
}

static void refused(struct judge *j, enum reason reason, const char *text)
{
	tell_refused(&j->tell, GATE_EVERY, reason, text);
	tell_judged(&j->tell, JUDGE_REFUSED, reason, text);
}

/* What pack.h says of errors. */
static void pack_bad(struct judge *j, int r)
{
	const char *why = j->pack.why && *j->pack.why ? j->pack.why : strerror(-r);

	j->tell.judged.missing = j->pack.missing;
	if (r == -EBADMSG)
		refused(j, REASON_PACK_MALFORMED, why);
	else if (r == -EFBIG)
		refused(j, REASON_PACK_LIMIT_EXCEEDED, why);
	else if (r == -ENOENT)
		tell_judged(&j->tell, JUDGE_MISSING, REASON_NONE, why);
	else
		failed(j, j->broken ? "a check of an object failed" : why);
}

static int publish(struct judge *j)
{
	return publish_pack(j->fd[GATE_QUARANTINE], &j->pack, j->objects, j->question->max_written, &j->tell.judged);
}

static void conclude(struct judge *j, enum checks_verdict v)
{
	const uint32_t held = j->tell.judged.findings[GATE_HELD];
	int r = 0;

	if (v == CHECKS_FAILED)
		failed(j, "the checks failed");
	else if (contents_failed(j->contents))
		failed(j, "something was not scanned to its end");
	else if (contents_cut(j->contents) && !held)
		failed(j, "there are more findings than are told");
	else if (v == CHECKS_MISSING)
		tell_judged(&j->tell, JUDGE_MISSING, REASON_NONE, "objects are missing");
	else if (v == CHECKS_REFUSED || j->tell.reason)
		tell_judged(&j->tell, JUDGE_REFUSED, j->tell.reason ? j->tell.reason : REASON_PACK_MALFORMED, NULL);
	else if (held)
		tell_judged(&j->tell, JUDGE_REFUSED, REASON_SECRET_DETECTED, NULL);
	else if (v == CHECKS_CLEAN && j->question->has_pack && (r = publish(j)))
		failed(j, strerror(-r));
	else
		tell_judged(&j->tell, v == CHECKS_CLEAN ? JUDGE_CLEAN : JUDGE_FAILED,
			    v == CHECKS_CLEAN ? REASON_NONE : REASON_SCAN_FAILED, NULL);
}

static void judge(struct judge *j)
{
	struct weigh_spec w = { .contents = j->contents, .warn_only = j->rules.warn_only };
	enum checks_verdict v;
	int r;

	scan_texts(j);
	r = j->question->has_pack ? look_at_pack(j) : open_checks(j);
	if (r) {
		pack_bad(j, r);
		return;
	}
	tell_progress(&j->tell, GATE_CHECK, 0, j->pack.n);
	v = checks_run(j->checks, &j->tell.judged.missing);
	w.checks = j->checks;
	w.objects = j->objects;
	r = v == CHECKS_FAILED || v == CHECKS_MISSING ? 0 : weigh(&w, &j->tell);
	if (r)
		failed(j, "a finding's place could not be looked up");
	else
		conclude(j, v);
}

void judge_push(const struct scan *engine, const struct ipc_in *in)
{
	const struct gate_judge *q = (const void *)in->body;
	struct judge j = {
		.tell = { .to = in->fd[GATE_ANSWERS] }, .question = q, .fd = in->fd,
		.pack_fd = q->has_pack ? in->fd[GATE_OPTIONAL] : -1,
		.visitor = { on_object, on_begin, on_piece, on_end, on_progress },
		.sink = { on_refused, on_op, on_pointer, on_secret },
	};
	int r = prepare(&j, engine);

	if (r)
		failed(&j, strerror(-r));
	else
		judge(&j);
}
