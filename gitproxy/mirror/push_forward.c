/*
 * push_forward.c - a push on its way upstream, and what became of it
 *
 * Theory of operation: the keeper sends it: commands that it writes itself, options, and the pack as the
 * client made it. Upstream's report decides command by command. Where there is none, or it breaks off, nobody
 * knows what upstream did with what it got; then upstream is asked what it has now, and where that does not
 * tell either, so is the client. Nothing is sent twice.
 */
#include "gitproxy/mirror/push_job.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>

#include "gitproxy/deadline.h"
#include "gitproxy/keeper_client.h"

enum { AGAIN_MS = 2000 };

/* How the keeper's answer ended. */
enum sent { SENT_UNKNOWN = 0, SENT_NOTHING, SENT_REPORTED };

/* ---- sending ---- */

static int start(struct push *p, int *ret_answer)
{
	const struct mirror_push q = { .pack_bytes = p->list->has_pack ? p->quarantine.bytes : 0 };
	AUTO(fd) int ours = -1;
	AUTO(fd) int theirs = -1;
	int r = ipc_pair(&ours, &theirs);

	if (r < 0)
		return r;
	const int fds[] = { [MIRROR_PUSH_ANSWER] = theirs, [MIRROR_PUSH_LIST] = p->list_file,
			    [MIRROR_PUSH_PACK] = p->quarantine.pack };

	r = ipc_send(p->job->in.fd[MIRROR_VERDICT_TO], MSG_MIRROR_PUSH, 0, &q, sizeof(q), fds,
		     p->list->has_pack ? 3 : 2);
	if (!r)
		*ret_answer = STEAL_FD(ours);
	return r;
}

static void on_text(void *owner, struct rd text)
{
	push_tell_text(owner, text);
}

/* Upstream's stream, until it ends. */
static enum sent hear(struct push *p, int answer, union keeper_in *f, struct push_upstream *u)
{
	uint64_t end = deadline_in(p->job->depot->config->total_ms);
	enum parse r = PARSE_MORE;
	enum keeper_frame_kind kind;
	int error, file = -1;
	size_t n;

	while ((kind = keeper_next(answer, -1, end, f, &n, &file, &error)) == KEEPER_DATA)
		r = push_upstream_next(u, rd_of(f->data.data, n));
	msg_plain_set(p->detail, sizeof(p->detail), push_upstream_error(u));
	return kind == KEEPER_END && f->end.reason == REASON_NONE && r == PARSE_OK ? SENT_REPORTED : SENT_UNKNOWN;
}

static enum sent converse(struct push *p, int answer, union keeper_in *f, enum reason *ret_reason)
{
	AUTO(push_upstream) struct push_upstream *u = NULL;
	int error, file = -1;
	size_t n;

	*ret_reason = REASON_UPSTREAM_UNREACHABLE;
	if (keeper_next(answer, -1, deadline_in(p->job->depot->config->total_ms), f, &n, &file, &error) !=
	    KEEPER_STATUS)
		return SENT_UNKNOWN;
	*ret_reason = (enum reason)f->status.reason;
	p->denied = f->status.reason != REASON_NONE &&
		    (f->status.push & KEEPER_PUSH_CUT || f->status.upstream_status / 100 == 4);
	if (f->status.reason != REASON_NONE)
		return f->status.push & KEEPER_PUSH_SENT ? SENT_UNKNOWN : SENT_NOTHING;
	if (push_upstream_new(p->list, (uint8_t)f->status.push, p->told, on_text, &p->tell, &u) < 0 ||
	    !(f->status.push & PUSH_REPORT_STATUS))
		return SENT_UNKNOWN;
	return hear(p, answer, f, u);
}

/* ---- what upstream has now ---- */

struct row { const struct push_command *command; struct oid now; };

static int by_name(const void *a, const void *b)
{
	const struct row *x = a, *y = b;

	return strcmp(x->command->ref, y->command->ref);
}

/* The rows are sorted by name. */
static void fill_in(struct row *rows, size_t n, struct push_advert *a)
{
	struct push_command key = { 0 };
	struct row *row, wanted = { .command = &key };
	struct oid oid;
	struct rd name;

	while (push_advert_next(a, &oid, &name)) {
		if (rd_left(&name) >= sizeof(key.ref))
			continue;
		memset(key.ref, 0, sizeof(key.ref));
		memcpy(key.ref, name.p, name.n);
		row = bsearch(&wanted, rows, n, sizeof(*rows), by_name);
		if (row)
			row->now = oid;
	}
}

/* A row for each command; NULL: upstream could not be asked. */
static struct row *look(struct push *p)
{
	AUTO(mem) uint8_t *text = NULL;
	AUTO(mem) struct row *rows = calloc(p->list->n_commands, sizeof(*rows));
	struct push_advert a;

	if (!rows || push_ask_upstream(p, 0, true, &text, &a) != REASON_NONE)
		return NULL;
	for (size_t i = 0; i < p->list->n_commands; i++)
		rows[i].command = push_list_command(p->list, i);
	qsort(rows, p->list->n_commands, sizeof(*rows), by_name);
	fill_in(rows, p->list->n_commands, &a);
	return STEAL(rows);
}

struct tally { size_t new, old, other; };

/* Of the commands whose fate is not known. */
static struct tally compare(struct push *p, const struct row *rows, bool settle)
{
	const struct push_command *first = push_list_command(p->list, 0);
	struct tally t = { 0 };

	for (size_t i = 0; i < p->list->n_commands; i++) {
		const struct push_command *c = rows[i].command;
		struct push_told *told = &p->told[c - first];

		if (told->fate != PUSH_UNTOLD)
			continue;
		if (!memcmp(&rows[i].now, &c->new, sizeof(c->new))) {
			t.new++;
			told->fate = settle ? PUSH_DONE : PUSH_UNTOLD;
		} else if (!memcmp(&rows[i].now, &c->old, sizeof(c->old))) {
			t.old++;
		} else {
			t.other++;
		}
	}
	return t;
}

static void settle_rest(struct push *p, enum reason reason, const char *why)
{
	for (size_t i = 0; i < p->list->n_commands; i++) {
		struct push_told *t = &p->told[i];

		if (t->fate != PUSH_UNTOLD)
			continue;
		t->fate = PUSH_REFUSED;
		t->reason = reason;
		push_text_set(t->why, sizeof(t->why), rd_str(why));
	}
}

/*
 * A server that lost its client may be at it still: where nothing has changed yet, once more, a little later. And
 * even then that it has not tells only where it lacks the end of the pack, or said no: its hooks may take longer.
 */
static void establish(struct push *p, enum reason reason)
{
	AUTO(mem) struct row *rows = look(p);
	struct tally t = { 0 };
	bool sure;

	if (rows)
		t = compare(p, rows, false);
	if (rows && !t.new && !t.other) {
		poll(NULL, 0, AGAIN_MS);
		free(rows);
		rows = look(p);
		t = rows ? compare(p, rows, false) : t;
	}
	sure = rows && !t.other && !t.old;
	sure |= rows && !t.other && !t.new && p->denied;
	if (sure)
		compare(p, rows, true);
	else
		p->outcome = PUSH_INDETERMINATE;
	settle_rest(p, reason, sure ? "the server did not take it, and its answer broke off" :
			       rows && !t.new && !t.other ? "outcome unknown: the server has it, and has not taken it yet" :
			       rows ? "outcome unknown: the server's answer broke off, and what it has now does not tell" :
				      "outcome unknown: the server's answer broke off, and it cannot be asked");
}

/* ---- all of it ---- */

static size_t done(const struct push *p)
{
	size_t n = 0;

	for (size_t i = 0; i < p->list->n_commands; i++)
		n += p->told[i].fate == PUSH_DONE;
	return n;
}

/* A whole report: what it leaves out was not done, if it says that nothing was unpacked. */
static bool reported_all(struct push *p)
{
	bool all = true;

	if (*p->detail)
		settle_rest(p, REASON_UPSTREAM_DENIED, p->detail);
	for (size_t i = 0; i < p->list->n_commands; i++)
		all &= p->told[i].fate != PUSH_UNTOLD;
	return all;
}

void push_forward(struct push *p)
{
	AUTO(mem) union keeper_in *f = malloc(sizeof(*f));
	enum reason reason = REASON_INTERNAL_ERROR;
	enum sent sent = SENT_NOTHING;
	AUTO(fd) int answer = -1;

	if (f && start(p, &answer) == 0)
		sent = converse(p, answer, f, &reason);
	if (sent == SENT_NOTHING) {
		push_refuse(p, reason, reason_sentence(reason));
		return;
	}
	p->outcome = PUSH_FORWARDED;
	if (sent != SENT_REPORTED || !reported_all(p))
		establish(p, reason != REASON_NONE ? reason : REASON_UPSTREAM_UNREACHABLE);
	if (p->outcome == PUSH_FORWARDED && !done(p))
		p->outcome = PUSH_UPSTREAM_REJECTED;
	if (p->outcome != PUSH_FORWARDED)
		p->reason = sent == SENT_REPORTED ? REASON_UPSTREAM_DENIED : reason != REASON_NONE ? reason :
											  REASON_UPSTREAM_UNREACHABLE;
}
