/*
 * spawner.c - the small process that starts cordon-inspect
 *
 * Theory of operation: a seccomp filter and Landlock rules are handed down over exec, so a netd
 * that may start programs could be confined to nothing that the program does not need itself. It
 * therefore forks this process first, which does one thing: at SPAWN it starts cordon-inspect, by a
 * descriptor that was opened as root, with arguments that were fixed then, and with CAP_NET_ADMIN,
 * which the kernel demands for verdicts. One inspector at a time: an older one is killed first. So
 * nothing that netd may be made to say starts another program, or a second one. It reads a fixed
 * struct without a body, and nothing else, ever. When its pair ends, netd has: it waits for the
 * inspector, which ends the same way, and ends. When it is killed, the inspector dies with it
 * (parent death signal), netd sees the end of the pair, and is started anew.
 */
#include "netd/spawner.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/close_range.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>

#include "base/landlock.h"
#include "base/log.h"
#include "base/msg.h"
#include "base/proc.h"
#include "nft/ruleset.h"

enum { PAIR_FD = 3, SOCKET_FD = 4, PROGRAM_FD = 5, END_MS = 1000, ANSWER_S = 2, ENV_MAX = 6 };

struct spawner {
	const struct host_config *config;
	pid_t pid; /* of the inspector; 0: none */
	int pidfd; /* -1 */
};

/* What the inspector's start needs: it is handed down. It gives the rest up by itself. */
static const struct landlock_path paths[] = {
	{ "/lib", LANDLOCK_RUN, "libraries" },
	{ "/lib64", LANDLOCK_RUN, "the dynamic linker" },
	{ "/usr/lib", LANDLOCK_RUN, "libraries" },
	{ "/usr/lib64", LANDLOCK_RUN, "libraries" },
	{ "/usr/local/lib", LANDLOCK_RUN, "libraries" },
	{ "/etc/ld.so.cache", LANDLOCK_READ, "where libraries are" },
	{ "/dev/null", LANDLOCK_READ | LANDLOCK_WRITE, "standard input" },
	{ NULL, 0, NULL },
};

/* ---- in the spawner ---- */

/* Debug and sanitizer settings of a test pass; nothing else of our environment. */
static void environment(const char *ret[ENV_MAX], char buf[ENV_MAX][512])
{
	static const char *const names[] = { "CORDON_DEBUG", "ASAN_OPTIONS", "UBSAN_OPTIONS",
					     "LSAN_OPTIONS" };
	size_t n = 0;

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		const char *v = getenv(names[i]);

		if (v && snprintf(buf[n], 512, "%s=%s", names[i], v) < 512) {
			ret[n] = buf[n];
			n++;
		}
	}
	ret[n] = NULL;
}

static int exec_inspector(struct spawner *s, int pair)
{
	char path[32], queue[8], pool4[ADDR_TEXT_MAX], pool6[ADDR_TEXT_MAX], buf[ENV_MAX][512];
	const char *env[ENV_MAX];
	const char *argv[] = { "cordon-inspect", "--pair-fd", "3",	 "--queue", queue,
			       "--pool4",	 pool4,	      "--pool6", pool6,	    NULL };
	const struct proc_fd fds[] = { { pair, PAIR_FD } };
	const struct proc_spec spec = { .path = path,
					.argv = argv,
					.envp = env,
					.fds = fds,
					.nfds = 1,
					.die_with_parent = true,
					.ambient = CAP_BIT(CAP_NET_ADMIN) };

	snprintf(path, sizeof(path), "/proc/self/fd/%d", PROGRAM_FD);
	snprintf(queue, sizeof(queue), "%d", RULESET_QUEUE);
	prefix_format(&s->config->pool.v4, pool4);
	prefix_format(&s->config->pool.v6, pool6);
	environment(env, buf);
	return proc_spawn(&spec, &s->pid, &s->pidfd);
}

static void child_ended(struct spawner *s)
{
	int status = 0;

	if (!s->pid || waitpid(s->pid, &status, 0) != s->pid)
		return;
	log_line(LOG_ERR, "event=inspector_ended pid=%d status=%d signal=%d", (int)s->pid,
		 WIFEXITED(status) ? WEXITSTATUS(status) : -1,
		 WIFSIGNALED(status) ? WTERMSIG(status) : 0);
	close(STEAL_FD(s->pidfd));
	s->pid = 0;
}

static void child_kill(struct spawner *s)
{
	if (!s->pid)
		return;
	kill(s->pid, SIGKILL);
	child_ended(s);
}

/* False: the end of the pair, or something that is no SPAWN. */
static bool on_message(struct spawner *s)
{
	struct msg_child m = { 0 };
	struct ipc_in in;
	bool ok;

	if (ipc_recv(SOCKET_FD, &in) < 0)
		return false;
	ok = msg_body(&in, MSG_SPAWN) && in.fd[0] >= 0;
	if (ok) {
		child_kill(s);
		m.result = exec_inspector(s, in.fd[0]);
		if (m.result < 0)
			s->pid = 0;
		m.pid = s->pid;
		ok = msg_send(SOCKET_FD, MSG_CHILD, in.head.sequence, &m) >= 0;
	}
	ipc_in_done(&in);
	return ok;
}

/* Its pair has ended too, so it ends; one that hangs must not keep whoever starts us again. */
static void end(struct spawner *s)
{
	struct pollfd p = { .fd = s->pidfd, .events = POLLIN };

	if (s->pid && poll(&p, 1, END_MS) <= 0)
		kill(s->pid, SIGKILL);
	if (s->pid)
		waitpid(s->pid, NULL, 0);
	_exit(0);
}

static void serve(struct spawner *s)
{
	for (;;) {
		struct pollfd p[2] = { { .fd = SOCKET_FD, .events = POLLIN },
				       { .fd = s->pidfd, .events = POLLIN } };

		if (poll(p, 2, -1) < 0)
			continue;
		if (p[0].revents && !on_message(s))
			end(s);
		else if (p[1].revents && !p[0].revents)
			child_ended(s);
	}
}

/* Two descriptors and the log, whatever netd had open. */
static int keep_only(int sock, int program)
{
	int s = fcntl(sock, F_DUPFD_CLOEXEC, PROGRAM_FD + 1);
	int p = fcntl(program, F_DUPFD_CLOEXEC, PROGRAM_FD + 1);

	if (s < 0 || p < 0 || dup3(s, SOCKET_FD, O_CLOEXEC) < 0 ||
	    dup3(p, PROGRAM_FD, O_CLOEXEC) < 0)
		return -errno;
	close(PAIR_FD);
	return close_range(PROGRAM_FD + 1, ~0u, 0) < 0 ? -errno : 0;
}

static void spawner_main(const struct host_config *c, int sock, int program, pid_t parent)
{
	const struct landlock_spec files = { .paths = paths, .fd_run = PROGRAM_FD, .signals = true };
	struct spawner s = { .config = c, .pidfd = -1 };
	int r = keep_only(sock, program);

	prctl(PR_SET_NAME, "cordon-spawn");
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	signal(SIGINT, SIG_IGN); /* a terminal's; it ends with netd */
	signal(SIGTERM, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	if (getppid() != parent)
		_exit(1);
	if (!r)
		r = proc_drop(ROLE_NETD, CAP_BIT(CAP_NET_ADMIN) | PROC_HANDS_DOWN);
	if (!r)
		r = landlock_confine(&files);
	if (!r)
		serve(&s);
	log_line(LOG_ERR, "event=spawner_failed errno=%d", -r);
	_exit(1);
}

/* ---- in netd ---- */

int spawner_start(const struct host_config *c, int taken)
{
	AUTO(fd) int program = taken;
	AUTO(fd) int ours = -1;
	AUTO(fd) int theirs = -1;
	struct timeval patience = { .tv_sec = ANSWER_S };
	pid_t parent = getpid(), pid;
	int r = ipc_pair(&ours, &theirs);

	if (r < 0)
		return r;
	if (setsockopt(ours, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)) < 0)
		return -errno;
	pid = fork();
	if (pid < 0)
		return -errno;
	if (!pid)
		spawner_main(c, theirs, program, parent);
	return STEAL_FD(ours);
}

/* An answer that came too late for its question is let go. */
static int answer_of(int spawner, uint32_t sequence, struct msg_child *ret)
{
	struct ipc_in in;
	int r;

	do {
		const struct msg_child *m;

		r = ipc_recv(spawner, &in);
		if (r < 0)
			return r == -EAGAIN ? -ETIMEDOUT : r;
		m = msg_body(&in, MSG_CHILD);
		if (m)
			*ret = *m;
		r = !m ? -EPROTO : in.head.sequence == sequence ? 0 : -EAGAIN;
		ipc_in_done(&in);
	} while (r == -EAGAIN);
	return r;
}

int spawner_inspect(int spawner, int pair, pid_t *ret_pid)
{
	static uint32_t sequence;
	struct msg_child m = { 0 };
	int r = msg_send_fd(spawner, MSG_SPAWN, ++sequence, NULL, pair);

	if (!r)
		r = answer_of(spawner, sequence, &m);
	if (r < 0)
		return r;
	*ret_pid = m.pid;
	return m.result;
}

void spawner_end(int taken)
{
	AUTO(fd) int fd = taken;
	struct ipc_in in;

	if (fd < 0)
		return;
	shutdown(fd, SHUT_WR);
	while (ipc_recv(fd, &in) >= 0)
		ipc_in_done(&in);
}
