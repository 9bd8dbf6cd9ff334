/*
 * main.c - cordon-scan: judges what is pushed
 *
 * Theory of operation: cordon-mirror starts it, confined as itself, with one end of a pair as descriptor
 * GATE_FD. The rules are compiled once. Then each question is answered by a process of its own: a fork that
 * has the compiled rules at hand, closes what is not its own, confines itself to this one push, answers
 * and ends. So nothing of one push is there when the next is judged, and whatever a pack does to the
 * process, the worst that comes of it is no verdict. This process reads no byte that a client made.
 * It holds a copy of each answers' socket, to see that nobody listens any more: then the judge is killed. Of one
 * sandbox only a few are judged at a time, so that none keeps the others waiting.
 * When the pair closes, all end.
 */
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <openssl/evp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>

#include "base/log.h"
#include "base/proc.h"
#include "gitproxy/gate/confine.h"
#include "gitproxy/gate/gate_ipc.h"
#include "gitproxy/gate/judge.h"

enum { JUDGES_MAX = 8,			/* at a time */
       EACH_MAX = 3,			/* of one sandbox */
       WAITING_MAX = 256,		/* further questions wait in the socket */
       SOME = 64 << 20, MUCH = 512 << 20, RULES_BYTES = 4 << 20 };

struct judge_child { pid_t pid; int pidfd, answers; uint16_t sandbox; bool ended_here; };

struct zygote {
	struct scan *engine;
	struct judge_child child[JUDGES_MAX];
	size_t n;
	struct ipc_in *waiting[WAITING_MAX];	/* in the order in which they came */
	size_t n_waiting;
};

static uint16_t sandbox_of(const struct ipc_in *in)
{
	return in->head.type == GATE_JUDGE ? ((const struct gate_judge *)(const void *)in->body)->sandbox :
					     ((const struct gate_scanfile *)(const void *)in->body)->sandbox;
}

static size_t wanted_fds(const struct ipc_in *in)
{
	const struct gate_judge *j = (const void *)in->body;
	const struct gate_scanfile *s = (const void *)in->body;

	return in->head.type == GATE_JUDGE ? (size_t)GATE_OPTIONAL + j->has_pack + j->has_exceptions :
					     (size_t)GATE_FILE_EXCEPTIONS + s->has_exceptions;
}

static bool question_ok(const struct ipc_in *in)
{
	size_t n = 0;

	if ((in->head.type != GATE_JUDGE && in->head.type != GATE_SCANFILE) ||
	    !gate_message_ok(in->head.type, in->body, in->head.length))
		return false;
	while (n < IPC_FDS_MAX && in->fd[n] >= 0)
		n++;
	return n == wanted_fds(in);
}

/* ---- in the judge ---- */

static void judge_main(const struct zygote *z, const struct ipc_in *in, pid_t parent)
{
	bool push = in->head.type == GATE_JUDGE;
	const struct gate_judge *q = push ? (const void *)in->body : NULL;
	int r;

	close(GATE_FD);
	for (size_t i = 0; i < z->n; i++) {
		close(z->child[i].pidfd);
		close(z->child[i].answers);
	}
	for (size_t i = 0; i < z->n_waiting; i++)
		if (z->waiting[i] != in)
			ipc_in_done(z->waiting[i]);
	prctl(PR_SET_NAME, "cordon-judge");
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(1);
	r = gate_confine(q, push ? in->fd[GATE_QUARANTINE] : -1, push && q->has_pack ? in->fd[GATE_OPTIONAL] : -1);
	if (r) {
		log_line(LOG_ERR, "event=judge_failed error=\"%s\"", strerror(-r));
		_exit(1);
	}
	if (push)
		judge_push(z->engine, in);
	else
		judge_file(z->engine, in);
	_exit(0);
}

/* ---- in cordon-scan ---- */

static int start(struct zygote *z, struct ipc_in *in)
{
	struct judge_child c = { .answers = -1, .sandbox = sandbox_of(in) };
	pid_t parent = getpid();

	c.pid = fork();
	if (c.pid < 0)
		return -errno;
	if (!c.pid)
		judge_main(z, in, parent);
	c.pidfd = pidfd_open(c.pid, 0);
	if (c.pidfd < 0) {
		kill(c.pid, SIGKILL);
		waitpid(c.pid, NULL, 0);
		return -errno;
	}
	c.answers = STEAL_FD(in->fd[0]);	/* of both questions */
	z->child[z->n++] = c;
	return 0;
}

static void ended(struct zygote *z, size_t i)
{
	struct judge_child *c = &z->child[i];
	int status = 0;

	if (waitpid(c->pid, &status, 0) == c->pid && WIFSIGNALED(status) && !c->ended_here)
		log_line(LOG_WARN, "event=judge_killed signal=%d", WTERMSIG(status));
	close(c->pidfd);
	close(c->answers);
	*c = z->child[--z->n];
}

static bool may_start(const struct zygote *z, const struct ipc_in *in)
{
	size_t theirs = 0;

	for (size_t i = 0; i < z->n; i++)
		theirs += z->child[i].sandbox == sandbox_of(in);
	return z->n < JUDGES_MAX && theirs < EACH_MAX;
}

/* Whoever asked hears the end of its socket, unless a judge has it. */
static void drop(struct zygote *z, size_t i)
{
	ipc_in_done(z->waiting[i]);
	free(z->waiting[i]);
	z->n_waiting--;
	memmove(&z->waiting[i], &z->waiting[i + 1], (z->n_waiting - i) * sizeof(z->waiting[0]));
}

/* Start what can be, the oldest first. */
static void start_waiting(struct zygote *z)
{
	for (size_t i = 0; i < z->n_waiting;) {
		int r = 0;

		if (!may_start(z, z->waiting[i])) {
			i++;
			continue;
		}
		r = start(z, z->waiting[i]);
		if (r)
			log_line(LOG_ERR, "event=question_failed error=\"%s\"", strerror(-r));
		drop(z, i);
	}
}

/* False: the pair is closed, or what came over it is none of ours. */
static bool on_question(struct zygote *z)
{
	struct ipc_in *in = malloc(sizeof(*in));
	int r = in ? ipc_recv(GATE_FD, in) : -ENOMEM;

	if (!r && question_ok(in)) {
		z->waiting[z->n_waiting++] = in;
		return true;
	}
	if (!r)
		ipc_in_done(in);
	if (r != -ECONNRESET)
		log_line(LOG_ERR, "event=question_failed error=\"%s\"", strerror(r ? -r : EPROTO));
	free(in);
	return false;
}

static void look_at_judges(struct zygote *z, const struct pollfd *p)
{
	for (size_t i = z->n; i--;) {
		if (p[2 * i + 1].revents) {	/* nobody listens, any more or to its very end */
			z->child[i].ended_here = true;
			kill(z->child[i].pid, SIGKILL);
		}
		if (p[2 * i].revents || p[2 * i + 1].revents)
			ended(z, i);
	}
}

static void serve(struct zygote *z)
{
	struct pollfd p[1 + 2 * JUDGES_MAX + WAITING_MAX];
	bool on = true;

	while (on) {
		struct pollfd *judges = p + 1, *waiting = judges + 2 * z->n;
		size_t n = z->n_waiting;

		p[0] = (struct pollfd){ .fd = n < WAITING_MAX ? GATE_FD : -1, .events = POLLIN };
		for (size_t i = 0; i < z->n; i++) {
			judges[2 * i] = (struct pollfd){ .fd = z->child[i].pidfd, .events = POLLIN };
			judges[2 * i + 1] = (struct pollfd){ .fd = z->child[i].answers };
		}
		for (size_t i = 0; i < n; i++)
			waiting[i] = (struct pollfd){ .fd = z->waiting[i]->fd[0] };
		if (poll(p, 1 + 2 * z->n + n, -1) < 0)
			continue;
		look_at_judges(z, judges);
		while (n--)
			if (waiting[n].revents)
				drop(z, n);
		if (p[0].revents)
			on = on_question(z);
		start_waiting(z);
	}
}

/* What every judge needs, done once: page by page it is shared with them. */
static void warm_up(void)
{
	uint8_t out[EVP_MAX_MD_SIZE];

	EVP_Digest("", 0, out, NULL, EVP_sha1(), NULL);
	EVP_Digest("", 0, out, NULL, EVP_sha256(), NULL);
	tzset();
	mallopt(M_MMAP_THRESHOLD, SOME);	/* objects come and go: no call of the kernel for each */
	mallopt(M_TRIM_THRESHOLD, MUCH);
	mallopt(M_ARENA_MAX, 4);
}

/* The rules' file, opened before this process was confined. */
static int read_rules(int fd, const char *name, struct diag *d, struct scan_rules **ret)
{
	AUTO(mem) char *text = malloc(RULES_BYTES + 1);
	size_t n = 0;
	ssize_t got = text ? 1 : -1;

	while (got > 0 && n <= RULES_BYTES) {
		got = pread(fd, text + n, RULES_BYTES + 1 - n, (off_t)n);
		n += got > 0 ? (size_t)got : 0;
	}
	if (got)
		return n > RULES_BYTES ? -EFBIG : -EIO;
	text[n] = 0;
	return scan_rules_parse(name, text, n, d, ret);
}

static int compile(const char *name, struct scan **ret)
{
	struct scan_rules *rules = NULL;	/* for as long as we live */
	struct diag *d = NULL;
	int r = diag_new(&d);

	if (!r)
		r = strcmp(name, "builtin") ? read_rules(GATE_RULES_FD, name, d, &rules) : scan_rules_builtin(d, &rules);
	if (!r)
		r = scan_new(rules, d, ret);
	if (r && d && diag_errors(d))
		diag_print(d, stderr);
	diag_free(d);
	/* what compiling left would be copied by each judge that touches it */
	malloc_trim(0);
	return r;
}

int main(int argc, char **argv)
{
	struct zygote z = { 0 };
	int r;

	log_init("scan");
	if (argc != 2) {
		fprintf(stderr, "usage: cordon-scan RULES (started by cordon-mirror)\n");
		return 2;
	}
	signal(SIGPIPE, SIG_IGN);
	signal(SIGINT, SIG_IGN);		/* ends with cordon-mirror */
	signal(SIGTERM, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	/* Started by descriptor: the kernel took its number for the name. */
	prctl(PR_SET_NAME, "cordon-scan");
	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	warm_up();
	r = compile(argv[1], &z.engine);
	if (r) {
		log_line(LOG_ERR, "event=rules_failed error=\"%s\"", strerror(-r));
		return 1;
	}
	serve(&z);
	_exit(0);
}
