/*
 * push_judge.c - what the objects of a push are
 *
 * Theory of operation: cordon-scan is asked with what the mirror has at that moment. If something is missing
 * there, the mirror is brought up to date once, or filled if there was none, and asked again; what is missing
 * then, nobody has. Everything that it says is told: all findings in one answer, so that one round of repairs
 * is enough; never the secret itself, which does not come here.
 */
#include "gitproxy/mirror/push_job.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>

#include "gitproxy/deadline.h"
#include "gitproxy/mirror/judge.h"

enum { OBJECTS_MAX = 4000000, SHOW_MS = 500, SHOW_AFTER_MS = 1000, FILL_LOOK_MS = 1000 };
#define INFLATED_MAX (256ull << 30)

/* ---- what is told ---- */

static void on_progress(void *owner, const struct gate_progress *g)
{
	static const char *const what[GATE_PHASES] = { [GATE_RECEIVED] = "reading", [GATE_INDEX] = "indexing",
						       [GATE_SCAN] = "scanning", [GATE_CHECK] = "checking" };
	struct push *p = owner;
	uint64_t now = deadline_now();
	char text[128];

	if (p->list->quiet || !g->total || now < p->shown + SHOW_MS)
		return;
	p->shown = now;
	p->heard = true;
	snprintf(text, sizeof(text), "cordon: %s objects: %u%% (%ju/%ju)\r", what[g->phase],
		 (unsigned)(g->done > g->total ? 100 : 100.0 * (double)g->done / (double)g->total), (uintmax_t)g->done,
		 (uintmax_t)g->total);
	push_tell_text(&p->tell, rd_str(text));
}

static void end_progress(struct push *p)
{
	if (p->heard)
		push_tell_text(&p->tell, rd_str("\n"));
	p->heard = false;
}

/* "src/a.c:12 of 1a2b3c4d5e6f" */
static void place_of(const struct push *p, const struct gate_finding *f, struct wr *w)
{
	static const struct oid none;
	uint8_t hex[OID_HEX_MAX];
	struct wr id = wr_of(hex, sizeof(hex));
	const struct oid *of = memcmp(&f->commit, &none, sizeof(none)) ? &f->commit : &f->object;

	wr_str(w, *f->path ? f->path : gate_place_text((enum gate_place)f->place));
	if (f->line)
		wr_fmt(w, ":%ju", (uintmax_t)f->line);
	if (!memcmp(of, &none, sizeof(none)))
		return;
	oid_write(&id, of, (enum object_format)p->list->format);
	wr_fmt(w, " of %.12s", (const char *)hex);
}

static void note_finding(struct push *p, const struct gate_finding *f)
{
	struct mirror_pushed_finding *to;

	if (p->n_findings == PUSHED_LIST_MAX)
		return;
	to = &p->findings[p->n_findings++];
	*to = (struct mirror_pushed_finding){ .object = f->object, .line = (uint32_t)f->line, .column = (uint32_t)f->column };
	msg_plain_set(to->rule, sizeof(to->rule), f->rule);
	msg_plain_set(to->fingerprint, sizeof(to->fingerprint), f->fingerprint);
	msg_plain_set(to->path, sizeof(to->path), f->path);
	msg_plain_set(to->weight, sizeof(to->weight), gate_weight_text((enum gate_weight)f->weight));
}

static void on_finding(void *owner, const struct gate_finding *f)
{
	struct push *p = owner;
	char place[GATE_SHOWN + 128] = "";
	struct wr w = wr_of(place, sizeof(place) - 1);

	note_finding(p, f);
	if (f->place == GATE_REF && f->index < p->list->n_commands)
		p->told[f->index].secret = true;
	if (f->weight == GATE_ACCEPTED)
		return;
	end_progress(p);
	place_of(p, f, &w);
	push_tell_line(&p->tell, "cordon: secret %s in %s (%sfingerprint %s)", f->rule, place,
		       f->weight == GATE_HELD ? "" : f->weight == GATE_KNOWN ? "there before; " : "warning; ", f->fingerprint);
}

/* What a command does, now that the objects tell: the policy is asked here as well. */
static void on_op(struct push *p, size_t i, enum push_op op)
{
	char text[PUSH_TEXT + 1] = "";
	struct wr w = wr_of(text, PUSH_TEXT);
	enum reason reason = push_rules_ref(p->rules, push_list_command(p->list, i)->ref, op, &w);

	p->told[i].op = op;
	if (reason != REASON_NONE)
		push_refuse_one(p, i, reason, text);
}

static void on_command(void *owner, const struct gate_command *c)
{
	struct push *p = owner;

	if (c->index != GATE_EVERY && c->index >= p->list->n_commands) {
		push_refuse(p, REASON_SCAN_FAILED, "the scanner's answer is malformed");
		return;
	}
	if (c->op != PUSH_NONE && c->index != GATE_EVERY)
		on_op(p, c->index, (enum push_op)c->op);
	if (c->reason == REASON_NONE)
		return;
	if (c->index == GATE_EVERY)
		push_refuse(p, (enum reason)c->reason, c->text);
	else
		push_refuse_one(p, c->index, (enum reason)c->reason, c->text);
}

static void on_pointer(void *owner, const struct gate_pointer *g)
{
	struct push *p = owner;
	struct lfs_object *more;

	if (p->n_pointers % 1024 == 0) {
		more = p->n_pointers < PUSH_POINTERS_MAX ?
			       realloc(p->pointers, (p->n_pointers + 1024) * sizeof(*more)) : NULL;
		p->too_many_pointers |= !more;
		if (!more)
			return;
		p->pointers = more;
	}
	more = &p->pointers[p->n_pointers++];
	memcpy(more->oid, g->sha256, sizeof(more->oid));
	more->size = g->size;
}

/* ---- once ---- */

static int ask(struct push *p, bool again)
{
	struct job *j = p->job;
	uint8_t generation[REPO_GENERATION];
	enum object_format format;
	int r;
	struct gate_judge q = { .format = p->list->format, .has_pack = p->list->has_pack,
				.has_exceptions = j->in.fd[MIRROR_EXCEPTIONS] >= 0,
				.has_tips = p->rules->n_denied > 0, .max_objects = OBJECTS_MAX,
				.max_inflated = INFLATED_MAX, .sandbox = j->q->sandbox, .again = again };
	const struct judge_ask a = {
		.question = &q, .list = p->list_file, .quarantine = p->quarantine.judged, .rules = j->in.fd[MIRROR_RULES],
		.pack = p->list->has_pack ? p->quarantine.pack : -1, .exceptions = j->in.fd[MIRROR_EXCEPTIONS],
		.client = j->to, .deadline = deadline_in(j->depot->config->total_ms),
		.on_progress = on_progress, .on_finding = on_finding, .on_command = on_command, .on_pointer = on_pointer,
		.owner = p,
	};

	q.max_written = quarantine_reserve(&p->quarantine);
	p->n_findings = p->n_pointers = 0;
	p->shown = deadline_now() + SHOW_AFTER_MS;
	if (repo_is_warm(j->repo, &format, generation) && format == p->list->format)
		msg_text_set(q.repository, sizeof(q.repository), j->repo->git);
	r = judge_run(j->depot->judge, &a, &p->judged);
	quarantine_settle(&p->quarantine);
	return r;
}

/* ---- what the mirror lacks ---- */

/* A cold one. Its first copy may take long; the client waits, and is told so. */
static bool fill(struct push *p)
{
	struct job *j = p->job;
	uint64_t end = deadline_in(j->depot->config->total_ms);
	int r;

	push_tell_line(&p->tell, "cordon: fetching the first copy of this repository, to judge the push by");
	while ((r = behind_wait(j->depot->behind, j->repo, j->q->sandbox, deadline_in(FILL_LOOK_MS))) == -EAGAIN) {
		struct pollfd front = { .fd = j->to, .events = POLLRDHUP };

		if (poll(&front, 1, FILL_LOOK_MS / 4) > 0 || deadline_now() > end)
			break;
	}
	if (r < 0)
		push_refuse(p, REASON_UPSTREAM_UNREACHABLE, "the first copy of this repository could not be fetched");
	return !r;
}

static bool refresh(struct push *p)
{
	struct job *j = p->job;
	size_t n = 0;
	AUTO(mem) struct oid *olds = calloc(p->list->n_commands, sizeof(*olds));
	enum reason reason;

	for (size_t i = 0; olds && i < p->list->n_commands; i++)
		if (!push_command_creates(push_list_command(p->list, i)))
			olds[n++] = push_list_command(p->list, i)->old;
	n = olds ? oid_sort_unique(olds, n) : 0;
	if (n && repo_has(j->repo, olds, n))	/* what is missing is of another reference */
		n = 0;
	refresh_run(&j->depot->refresh, j->repo, olds, n, &reason);
	return true;				/* whatever came of it: what is there now decides */
}

static bool catch_up(struct push *p)
{
	uint8_t generation[REPO_GENERATION];
	enum object_format format;

	if (repo_is_warm(p->job->repo, &format, generation))
		return refresh(p);
	if (!repo_fits(p->job->repo, (enum object_format)p->list->format)) {
		push_refuse(p, REASON_UNAVAILABLE, repo_is_too_large(p->job->repo) ?
			    "the repository is larger than git.mirrors.max_bytes lets it be" :
			    "the repository has another object format");
		return false;
	}
	return fill(p);
}

/* ---- its word ---- */

static void held(struct push *p)
{
	char text[64];
	uint32_t n = p->judged.findings[GATE_HELD];

	snprintf(text, sizeof(text), "%u finding%s", n, n == 1 ? "" : "s");
	push_tell_line(&p->tell,
		       "cordon: take secrets out of the commits; for a false one ask the host's administrator:");
	push_tell_line(&p->tell, "cordon:   cordon exception add FINGERPRINT");
	push_refuse(p, REASON_SECRET_DETECTED, text);
}

static bool decide(struct push *p)
{
	const struct gate_judged *g = &p->judged;

	end_progress(p);
	if (g->untold)
		push_tell_line(&p->tell, "cordon: and %u findings more", g->untold);
	if (g->findings[GATE_HELD])
		held(p);
	switch ((enum judge_verdict)g->verdict) {
	case JUDGE_CLEAN:
		break;
	case JUDGE_MISSING:
		push_refuse(p, REASON_PACK_MALFORMED, "objects are missing that neither the push nor the server has");
		break;
	case JUDGE_FAILED:
	case JUDGE_REFUSED:
		if (p->reason == REASON_NONE)	/* else it was told by command */
			push_refuse(p, (enum reason)g->reason,
				    *g->detail ? g->detail : reason_sentence((enum reason)g->reason));
		break;
	}
	if (p->too_many_pointers)
		push_refuse(p, REASON_PACK_LIMIT_EXCEEDED, "too many pointers of Git LFS in one push");
	return p->reason == REASON_NONE;
}

bool push_judge(struct push *p)
{
	int r = ask(p, false);

	if (!r && p->judged.verdict == JUDGE_MISSING) {
		if (!catch_up(p))
			return false;
		r = ask(p, true);
	}
	if (r == -ECONNRESET)
		msg_plain_set(p->judged.detail, sizeof(p->judged.detail), "the client left before it was judged");
	return decide(p);
}
