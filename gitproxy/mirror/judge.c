/*
 * judge.c - cordon-scan, which judges what a push brings
 *
 * Theory of operation: one process, started from here with a pair (gate_ipc.h); it has what this process may,
 * and gives up more. Every question brings a socket of its own, so threads ask beside each other. Whatever
 * is not its word, whole and last, is JUDGE_FAILED: no push goes on then. When it has died it is started anew
 * by whoever asks next.
 */
#include "gitproxy/mirror/judge.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "base/log.h"
#include "base/msg.h"
#include "base/proc.h"
#include "gitproxy/deadline.h"

enum { TRIES = 2 };

struct judge {
	const char *program, *rules;
	int rules_fd;
	pthread_mutex_t lock;		/* for what follows */
	int pair;			/* -1: it does not run */
	pid_t pid;
};

int judge_new(const char *program, const char *rules, int rules_fd, struct judge **ret)
{
	struct judge *j = calloc(1, sizeof(*j));

	if (!j)
		return -ENOMEM;
	j->program = program;
	j->rules = rules;
	j->rules_fd = rules_fd;
	j->pair = -1;
	pthread_mutex_init(&j->lock, NULL);
	*ret = j;
	return 0;
}

/* ---- the process ---- */

/* It sees the end of the pair, and ends; what it had under way ends with its sockets. */
static void stop(struct judge *j)
{
	if (j->pair >= 0)
		close(STEAL_FD(j->pair));
	if (j->pid > 0)
		waitpid(j->pid, NULL, 0);
	j->pid = 0;
}

void judge_free(struct judge *j)
{
	if (j)
		stop(j);
	free(j);
}

static int spawn(struct judge *j, int theirs)
{
	const char *const argv[] = { "cordon-scan", j->rules ? j->rules : "builtin", NULL };
	const struct proc_fd fds[] = { { theirs, GATE_FD }, { j->rules_fd, GATE_RULES_FD } };
	AUTO(fd) int pidfd = -1;

	if (!*j->program)
		return -ENOENT;
	return proc_spawn(&(struct proc_spec){ .path = j->program, .argv = argv, .fds = fds,
					     .nfds = j->rules ? 2 : 1 }, &j->pid, &pidfd);
}

/* Under the lock. */
static int start(struct judge *j)
{
	AUTO(fd) int ours = -1;
	AUTO(fd) int theirs = -1;
	int r;

	if (j->pair >= 0)
		return 0;
	r = ipc_pair(&ours, &theirs);
	if (r < 0)
		return r;
	r = spawn(j, theirs);
	if (r < 0)
		log_line(LOG_ERR, "event=judge_failed error=\"%s\"", strerror(-r));
	else
		j->pair = STEAL_FD(ours);
	return r;
}

int judge_start(struct judge *j)
{
	int r;

	pthread_mutex_lock(&j->lock);
	r = start(j);
	pthread_mutex_unlock(&j->lock);
	return r;
}

/* ---- one question ---- */

static size_t descriptors(const struct judge_ask *a, int answers, int fds[IPC_FDS_MAX])
{
	size_t n = GATE_OPTIONAL;

	fds[GATE_ANSWERS] = answers;
	fds[GATE_LIST] = a->list;
	fds[GATE_QUARANTINE] = a->quarantine;
	fds[GATE_RULES] = a->rules;
	if (a->question->has_pack)
		fds[n++] = a->pack;
	if (a->question->has_exceptions)
		fds[n++] = a->exceptions;
	return n;
}

static size_t descriptors_of_file(const struct judge_ask *a, int answers, int fds[IPC_FDS_MAX])
{
	fds[GATE_FILE_ANSWERS] = answers;
	fds[GATE_FILE] = a->pack;
	fds[GATE_FILE_RULES] = a->rules;
	fds[GATE_FILE_EXCEPTIONS] = a->exceptions;
	return (size_t)GATE_FILE_EXCEPTIONS + a->file->has_exceptions;
}

static int put(struct judge *j, const struct judge_ask *a, int answers)
{
	int fds[IPC_FDS_MAX], r = -EPIPE;
	size_t n = a->file ? descriptors_of_file(a, answers, fds) : descriptors(a, answers, fds);
	const void *q = a->file ? (const void *)a->file : a->question;
	size_t q_n = a->file ? sizeof(*a->file) : sizeof(*a->question);

	pthread_mutex_lock(&j->lock);
	for (int i = 0; i < TRIES && (r == -EPIPE || r == -ECONNRESET); i++) {
		r = start(j);
		if (!r)
			r = ipc_send(j->pair, a->file ? GATE_SCANFILE : GATE_JUDGE, 0, q, q_n, fds, n);
		if (r == -EPIPE || r == -ECONNRESET)
			stop(j);
	}
	pthread_mutex_unlock(&j->lock);
	return r;
}

static void pass(const struct judge_ask *a, const struct ipc_in *in)
{
	const void *body = in->body;

	switch ((enum gate_message)in->head.type) {
	case GATE_PROGRESS:
		if (a->on_progress)
			a->on_progress(a->owner, body);
		return;
	case GATE_FINDING:
		if (a->on_finding)
			a->on_finding(a->owner, body);
		return;
	case GATE_COMMAND:
		if (a->on_command)
			a->on_command(a->owner, body);
		return;
	case GATE_POINTER:
		if (a->on_pointer)
			a->on_pointer(a->owner, body);
		return;
	case GATE_NONE:
	case GATE_JUDGE:
	case GATE_SCANFILE:
	case GATE_JUDGED:
		return;
	}
}

/* 1: that was the last. */
static int step(const struct judge_ask *a, int from, struct gate_judged *ret)
{
	struct ipc_in in;
	int r = deadline_wait_alive(from, POLLIN, a->client, a->deadline);

	if (!r)
		r = ipc_recv(from, &in);
	else if (r == -ECONNRESET)
		return r;
	if (r < 0)
		return r == -ECONNRESET ? -EPIPE : r;	/* that is the client's */
	if (in.head.type < GATE_PROGRESS || !gate_message_ok(in.head.type, in.body, in.head.length))
		r = -EPROTO;
	else if (in.head.type == GATE_JUDGED)
		memcpy(ret, in.body, sizeof(*ret)), r = 1;
	else
		pass(a, &in);
	ipc_in_done(&in);
	return r;
}

static void failed(struct gate_judged *ret, int error)
{
	*ret = (struct gate_judged){ .verdict = JUDGE_FAILED, .reason = REASON_SCAN_FAILED };
	msg_plain_set(ret->detail, sizeof(ret->detail),
		      error == -ETIMEDOUT ? "the scanner took too long" : "the scanner did not answer");
}

int judge_run(struct judge *j, const struct judge_ask *a, struct gate_judged *ret)
{
	AUTO(fd) int ours = -1;
	AUTO(fd) int theirs = -1;
	int r = ipc_pair(&ours, &theirs);

	failed(ret, r);
	if (r < 0)
		return r;
	r = put(j, a, theirs);
	close(STEAL_FD(theirs));
	while (!r)
		r = step(a, ours, ret);
	if (r < 0)
		failed(ret, r);
	return r < 0 ? r : 0;
}
