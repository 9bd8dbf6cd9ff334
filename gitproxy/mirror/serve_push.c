/*
 * serve_push.c - one push
 *
 * Theory of operation: all of it is read; then it is refused, or goes upstream, as a whole: what the client asked
 * for must be of the grammar and offered, each name allowed by the policy, each object judged (push_judge.c);
 * only then it is sent on (push_forward.c). Any reason refuses every reference, as git's own pre-receive does,
 * and the client is told for each by a report, which git shows line by line; never by an HTTP error, which it
 * does not show. The keeper is told for the audit before the client is. What upstream took becomes part of the
 * mirror, so that the next push need not fetch it; of all else nothing is left.
 */
#include "gitproxy/mirror/push_job.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>

#include "gitproxy/deadline.h"
#include "gitproxy/mirror/judge.h"
#include "gitproxy/mirror/lfs.h"

enum { ADVERT_BYTES_MAX = 64 << 20, TOLD_SPACE = PUSH_TOLD - 32 };

/* ---- why not ---- */

static void set_reason(struct push *p, enum reason reason, const char *text)
{
	if (p->reason != REASON_NONE)
		return;
	p->reason = reason;
	msg_plain_set(p->detail, sizeof(p->detail), text);
}

static void refuse_command(struct push_told *t, enum reason reason, const char *text)
{
	char why[PUSH_TOLD];

	if (t->fate != PUSH_UNTOLD)
		return;
	snprintf(why, sizeof(why), "%s%s%.*s", reason_text(reason), *text ? ": " : "", TOLD_SPACE - 32, text);
	t->fate = PUSH_REFUSED;
	t->reason = reason;
	push_text_set(t->why, sizeof(t->why), rd_str(why));
}

/* A refusal without a reason is one all the same. */
void push_refuse_one(struct push *p, size_t i, enum reason reason, const char *text)
{
	reason = reason == REASON_NONE ? REASON_INTERNAL_ERROR : reason;
	set_reason(p, reason, text);
	refuse_command(&p->told[i], reason, text);
}

void push_refuse(struct push *p, enum reason reason, const char *text)
{
	reason = reason == REASON_NONE ? REASON_INTERNAL_ERROR : reason;
	set_reason(p, reason, text);
	for (size_t i = 0; i < p->list->n_commands; i++)
		refuse_command(&p->told[i], reason, text);
}

/* All or nothing. */
static void refuse_rest(struct push *p)
{
	for (size_t i = 0; i < p->list->n_commands; i++) {
		struct push_told *t = &p->told[i];

		if (t->fate != PUSH_UNTOLD)
			continue;
		t->fate = PUSH_REFUSED;
		t->reason = p->reason;
		push_text_set(t->why, sizeof(t->why), rd_str("not pushed: another ref of this push was refused"));
	}
}

/* ---- upstream's advertisement ---- */

static int take_advert(struct push *p, unsigned window_ms, bool anew, struct flight_answer *ret)
{
	static _Atomic uint64_t number;
	struct job *j = p->job;
	struct ask q = refresh_ask(&j->depot->refresh, j->repo, rd_of(NULL, 0));
	char question[64];
	uint8_t key[FLIGHT_KEY];

	q.push = true;
	q.keep_ms = JOB_RIGHT_MS;		/* what upstream can do is asked again when the push comes */
	if (anew)				/* nobody else's answer will do */
		snprintf(question, sizeof(question), "advertisement for pushes, %ju", (uintmax_t)number++);
	else
		snprintf(question, sizeof(question), "advertisement for pushes");
	refresh_key(j->repo, rd_str(question), key);
	return flight_take(j->depot->flights, key, window_ms, &q, ret);
}

enum reason push_ask_upstream(struct push *p, unsigned window_ms, bool anew, uint8_t **ret_text,
			      struct push_advert *ret)
{
	AUTO(mem) uint8_t *text = NULL;
	struct flight_answer a;
	enum reason reason = REASON_INTERNAL_ERROR;

	if (take_advert(p, window_ms, anew, &a) < 0)
		return reason;
	if (a.outcome.reason != REASON_NONE)
		reason = a.outcome.reason;
	else if (flight_read(&a, &text) == 0)
		reason = push_advert_parse(rd_of(text, a.n), ret) == PARSE_OK ? REASON_NONE : REASON_UPSTREAM_UNTRUSTED;
	flight_done(&a);
	*ret_text = STEAL(text);
	return reason;
}

static void send_advert(struct job *j, const struct push_advert *a, struct rd text)
{
	struct answer_head h = { .kind = GP_INFO_REFS, .service = GIT_SERVICE_RECEIVE_PACK };
	size_t cap = push_advert_bound(text);
	AUTO(mem) uint8_t *out = malloc(cap);
	struct wr w = wr_of(out, out ? cap : 0);
	AUTO(fd) int file = -1;

	if (out && push_advert_write(&w, a))
		file = ipc_memfd("answer", w.p, w.n);
	h.length = w.n;
	if (file < 0)
		job_refuse(j, REASON_INTERNAL_ERROR, "no memory for the advertisement");
	else
		job_sent(j, answer_file(j->to, &h, file), w.n);
}

void serve_push_advert(struct job *j)
{
	struct push p = { .job = j };
	AUTO(mem) uint8_t *text = NULL;
	struct flight_answer a;
	struct push_advert advert;

	judge_start(j->depot->judge);		/* a push will follow, and finds the rules compiled */
	if (take_advert(&p, j->depot->config->mirrors.window_ms, false, &a) < 0) {
		job_refuse(j, REASON_INTERNAL_ERROR, "upstream could not be asked");
		return;
	}
	if (a.outcome.reason != REASON_NONE) {
		answer_refuse(j->to, a.outcome.reason, a.outcome.status);
		j->verdict = (struct mirror_verdict){ .how = MIRROR_SERVED, .reason = a.outcome.reason, .status = a.outcome.status };
	} else if (flight_read(&a, &text) < 0) {
		job_refuse(j, REASON_INTERNAL_ERROR, "no memory for the advertisement");
	} else if (push_advert_parse(rd_of(text, a.n), &advert) != PARSE_OK) {
		job_refuse(j, REASON_UPSTREAM_UNTRUSTED, "its advertisement for pushes is malformed");
	} else {
		send_advert(j, &advert, rd_of(text, a.n));
		judge_start(j->depot->judge);	/* its rules are compiled while the client makes its pack */
	}
	flight_done(&a);
}

/* ---- what upstream can do ---- */

static bool any_deletes(const struct push_list *l)
{
	for (size_t i = 0; i < l->n_commands; i++)
		if (push_command_deletes(push_list_command(l, i)))
			return true;
	return false;
}

/* It is asked for no more than it offers. */
static const char *not_offered(const struct push *p, const struct push_advert *a)
{
	const struct push_list *l = p->list;
	unsigned has = a->upstream;

	if (l->format != a->format)
		return "the repository has another object format";
	if (l->atomic && !(has & PUSH_ATOMIC))
		return "the server has no atomic pushes";
	if (l->n_options && !(has & PUSH_OPTIONS))
		return "the server takes no push options";
	return any_deletes(l) && !(has & PUSH_DELETE_REFS) ? "the server deletes no references" : NULL;
}

/* Where upstream's branches and tags stand: what they lead to is its own. Of use for protected paths alone. */
static int write_tips(struct push *p, struct push_advert a)
{
	AUTO(mem) struct oid *tips = calloc(a.n_refs + 1, sizeof(*tips));
	AUTO(fd) int fd = -1;
	struct oid oid;
	struct rd name;
	size_t n = 0;

	while (tips && n < a.n_refs && push_advert_next(&a, &oid, &name))
		if (rd_prefix(&name, "refs/heads/") || rd_prefix(&name, "refs/tags/"))
			tips[n++] = oid;
	if (!tips)
		return -ENOMEM;
	n = oid_sort_unique(tips, n) * sizeof(*tips);
	fd = openat(p->quarantine.judged, GATE_TIPS, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return -errno;
	return write(fd, tips, n) == (ssize_t)n ? 0 : -EIO;
}

static bool upstream_fits(struct push *p)
{
	AUTO(mem) uint8_t *text = NULL;
	struct push_advert a;
	enum reason reason = push_ask_upstream(p, JOB_RIGHT_MS, false, &text, &a);
	const char *why = reason == REASON_NONE ? not_offered(p, &a) : reason_sentence(reason);

	if (why)
		push_refuse(p, reason == REASON_NONE ? REASON_CAPABILITY_NOT_ALLOWED : reason, why);
	else
		p->list->upstream = (uint8_t)(a.upstream & PUSH_CAPABILITIES);
	if (!why && p->rules->n_denied && write_tips(p, a) < 0)
		push_refuse(p, REASON_UNAVAILABLE, why = "the gateway could not keep what it needs to judge the push");
	return !why;
}

static bool make_list(struct push *p)
{
	if (push_list_ok(rd_of(p->list, push_list_size(p->list))))
		p->list_file = push_list_file(p->list);
	if (p->list_file < 0)
		push_refuse(p, REASON_INTERNAL_ERROR, "its list could not be made");
	return p->list_file >= 0;
}

static bool lfs_tick(void *owner, size_t done, size_t all)
{
	struct push *p = owner;

	push_tell_line(&p->tell, "cordon: sending objects of Git LFS (%zu/%zu)", done + 1, all);
	return !push_tell_is_gone(&p->tell);
}

static bool lfs(struct push *p)
{
	const struct lfs_push q = { .store = p->job->depot->lfs, .serve = p->job->q, .objects = p->pointers,
				    .n = p->n_pointers, .keeper = p->job->in.fd[MIRROR_VERDICT_TO],
				    .total_ms = p->job->depot->config->total_ms, .tick = lfs_tick, .owner = p };
	char text[MIRROR_DETAIL] = "";
	enum reason reason = p->rules->lfs ? lfs_push(&q, text) : REASON_NONE;

	if (reason != REASON_NONE)
		push_refuse(p, reason, text);
	return reason == REASON_NONE;
}

/* ---- what became of it ---- */

/* A verdict of clean is about the names as well, when all that was found is told. */
static bool names_known(struct push *p, size_t commands)
{
	return !commands || (p->judged.verdict == JUDGE_CLEAN && !p->judged.untold) || push_names_scan(p, commands);
}

static int audit_lists(struct push *p, size_t commands)
{
	size_t n = commands * sizeof(struct mirror_pushed_command), m = p->n_findings * sizeof(p->findings[0]);
	AUTO(mem) uint8_t *text = calloc(1, n + m + 1);
	struct mirror_pushed_command *c = (void *)text;
	bool known = names_known(p, commands);

	if (!text)
		return -ENOMEM;
	for (size_t i = 0; i < commands; i++) {
		const struct push_command *of = push_list_command(p->list, i);
		bool done = p->told[i].fate == PUSH_DONE;

		c[i] = (struct mirror_pushed_command){ .op = p->told[i].op ? p->told[i].op : PUSH_UPDATE,
						       .accepted = done,
						       .reason = done ? REASON_NONE : p->told[i].reason,
						       .old = of->old,
						       .new = of->new };
		if (p->told[i].secret)
			msg_text_set(c[i].ref, sizeof(c[i].ref), "(a name that holds a secret)");
		else if (!known)
			msg_text_set(c[i].ref, sizeof(c[i].ref), "(a name that could not be scanned)");
		else
			memcpy(c[i].ref, of->ref, sizeof(c[i].ref));
	}
	if (m)
		memcpy(text + n, p->findings, m);
	return ipc_memfd("pushed", text, n + m);
}

static uint32_t findings(const struct push *p)
{
	uint32_t n = p->judged.untold > p->n_findings ? p->judged.untold : (uint32_t)p->n_findings, sum = 0;

	for (size_t i = 0; i < ARRAY_SIZE(p->judged.findings); i++)
		sum += p->judged.findings[i];
	return sum > n ? sum : n;
}

static void audit(struct push *p)
{
	size_t commands = p->list->n_commands < PUSHED_LIST_MAX ? p->list->n_commands : PUSHED_LIST_MAX;
	struct mirror_pushed m = { .outcome = p->outcome, .reason = p->reason, .n_commands = p->list->n_commands,
				   .n_findings = findings(p), .commands = (uint8_t)commands,
				   .findings = (uint8_t)p->n_findings, .format = p->list->format,
				   .objects = p->judged.objects, .bytes_up = p->request->pack };
	AUTO(fd) int file = audit_lists(p, commands);

	memcpy(m.detail, p->detail, sizeof(m.detail));
	if (file >= 0)
		ipc_send(p->job->in.fd[MIRROR_VERDICT_TO], MSG_MIRROR_PUSHED, 0, &m, sizeof(m), &file, 1);
}

/* What upstream has, the mirror is to have too; the next who ask hear of it. */
static void keep(struct push *p)
{
	struct quarantine_keep k = { .name = &p->judged.pack, .format = (enum object_format)p->list->format,
				     .thin = p->judged.thin };
	static const struct oid none;
	AUTO(mem) struct oid *tips = calloc(p->list->n_commands, sizeof(*tips));

	for (size_t i = 0; tips && i < p->list->n_commands; i++)
		if (p->told[i].fate == PUSH_DONE && !push_command_deletes(push_list_command(p->list, i)))
			tips[k.n_tips++] = push_list_command(p->list, i)->new;
	k.tips = tips;
	k.n_tips = tips ? oid_sort_unique(tips, k.n_tips) : 0;
	if (k.n_tips && memcmp(k.name, &none, sizeof(none)) &&
	    quarantine_keep(&p->quarantine, p->job->repo, &k) == 0)
		upkeep_look(p->job->depot->upkeep);
}

/* To a client that wants no report, as text. */
static void tell_why(struct push *p)
{
	for (size_t i = 0; i < p->list->n_commands && i < PUSHED_LIST_MAX; i++)
		if (p->told[i].fate != PUSH_DONE)
			push_tell_line(&p->tell, "cordon: %s: %s", push_list_command(p->list, i)->ref, p->told[i].why);
}

static void answer(struct push *p)
{
	struct push_tell *t = &p->tell;
	struct job *j = p->job;
	char unpack[PUSH_TOLD] = "";
	int r = 0;

	if (!t->report_status && !t->side_band && p->reason != REASON_NONE) {
		job_refuse(j, p->reason, p->detail);	/* there is no other way to say it */
		return;
	}
	if (p->request->bad)
		snprintf(unpack, sizeof(unpack), "%s: %s", reason_text(p->reason), p->request->why);
	if (!t->begun)
		r = push_tell_begin(t, j->to);
	if (!t->report_status)
		tell_why(p);
	job_sent(j, r < 0 ? r : push_tell_report(t, p->list, p->told, unpack), t->down);
}

static void finish(struct push *p)
{
	refuse_rest(p);
	if (p->outcome != PUSH_REJECTED)
		flights_forget(p->job->depot->flights, p->job->q->domain.id);
	audit(p);
	if (p->outcome != PUSH_FORWARDED)
		quarantine_done(&p->quarantine);	/* who hears of it may push again at once */
	answer(p);
	if (p->outcome == PUSH_FORWARDED)
		keep(p);
}

/* ---- one ---- */

static int read_rules(struct job *j, struct push_rules **ret)
{
	AUTO(mem) char *text = NULL;
	size_t n;
	int r = ipc_memfd_read(j->in.fd[MIRROR_RULES], sizeof(**ret), &text, &n);

	if (r < 0)
		return r;
	if (n != sizeof(**ret) || !push_rules_ok((const struct push_rules *)(void *)text))
		return -EBADMSG;
	*ret = (struct push_rules *)(void *)STEAL(text);
	return 0;
}

static int begin(struct push *p, struct job *j)
{
	int r;

	p->job = j;
	p->list_file = -1;
	p->quarantine = (struct quarantine){ .pack = -1, .judged = -1 };
	p->outcome = PUSH_REJECTED;
	r = read_rules(j, &p->rules);
	if (!r)
		r = push_request_new(&p->request);
	return r < 0 ? r : quarantine_open(j->depot->folder, j->depot->pushes, j->q->sandbox, &p->quarantine);
}

static void push_done(struct push *p)
{
	push_tell_done(&p->tell);
	quarantine_done(&p->quarantine);
	if (room_has_moved(p->job->depot->pushes))
		upkeep_make_room(p->job->depot->upkeep);
	if (p->list_file >= 0)
		close(p->list_file);
	push_request_free(p->request);
	free(p->pointers);
	free(p->told);
	free(p->rules);
	free(p);
}
DEFINE_AUTO(push, struct push *, push_done)

/* The client has sent all of it. */
static void serve(struct push *p)
{
	struct job *j = p->job;

	p->tell.to = j->to;
	p->tell.side_band = p->request->side_band;
	p->tell.report_status = p->request->report_status;
	if ((p->request->probe || p->tell.side_band) && push_tell_begin(&p->tell, j->to) < 0) {
		job_sent(j, -EPIPE, 0);
		return;
	}
	if (p->request->probe) {
		job_sent(j, push_tell_nothing(&p->tell), 0);
		return;
	}
	if (p->reason == REASON_NONE && upstream_fits(p) && make_list(p) && push_judge(p) && lfs(p))
		push_forward(p);
	finish(p);
}

/* Nobody waits for an answer any more: the client went, or sent what the front could not read. */
static void left(struct push *p, int error)
{
	struct mirror_verdict *v = &p->job->verdict;

	job_sent(p->job, -EPIPE, 0);
	if (p->reason != REASON_NONE)
		v->reason = p->reason;
	else if (error != -ENOMEM)
		v->reason = error == -ETIMEDOUT ? REASON_DEADLINE_EXCEEDED : REASON_REQUEST_MALFORMED;
	msg_plain_set(v->detail, sizeof(v->detail),
		      p->reason != REASON_NONE ? p->detail : "the client left before its end");
}

void serve_push(struct job *j)
{
	AUTO(push) struct push *p = calloc(1, sizeof(*p));
	int r = p ? begin(p, j) : -ENOMEM;

	if (r < 0) {
		job_refuse(j, r == -ENOSPC ? REASON_UNAVAILABLE : REASON_INTERNAL_ERROR, "no place for a push");
		return;
	}
	r = push_take(p);
	if (r < 0)
		left(p, r);
	else if (p->request->bad && !p->request->began)
		job_refuse(j, p->request->reason, p->request->why);
	else
		serve(p);
}
