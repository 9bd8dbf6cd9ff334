/*
 * run_wait.c - the time while the command of `cordon run` runs
 *
 * Theory of operation: signals come through a signalfd. What a terminal sends has reached the
 * command already when it shares our session, so only signals from processes (or all, without a
 * terminal: then the command has a session of its own) are passed on, to the command itself, which
 * is the only child of bubblewrap's reaper. (bubblewrap is the first process of a pid namespace, as
 * is its reaper: the signals of a terminal do not end them.) A signal that comes before there is a
 * command ends bubblewrap. TERM and HUP are followed by KILL after ten seconds, for whoever sends
 * them wants the sandbox to be gone. When netd goes away the registration goes with it; it is made
 * again as soon as netd is back, and until then the ruleset keeps the link closed.
 */
#include "cli/run_wait.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/mem.h"

enum { GRACE_MS = 10000, RETRY_MS = 100 };

static const int handled[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT };

int run_signals(void)
{
	sigset_t set;
	int fd;

	sigemptyset(&set);
	for (size_t i = 0; i < ARRAY_SIZE(handled); i++)
		sigaddset(&set, handled[i]);
	signal(SIGPIPE, SIG_IGN);
	if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
		return -errno;
	fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return fd < 0 ? -errno : fd;
}

static uint64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static pid_t only_child(pid_t pid)
{
	char path[64], text[32] = "";

	snprintf(path, sizeof(path), "/proc/%d/task/%d/children", pid, pid);
	AUTO(fd) int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || read(fd, text, sizeof(text) - 1) <= 0)
		return 0;
	return (pid_t)strtol(text, NULL, 10);
}

/* bubblewrap, its reaper, the command; 0: there is none yet. */
static pid_t command_of(const struct run_wait *w)
{
	pid_t reaper = only_child(w->child);

	return reaper > 0 ? only_child(reaper) : 0;
}

static void pass_on(struct run_wait *w, int sig, bool from_terminal)
{
	pid_t command = command_of(w);

	if (command > 0) {
		if (!from_terminal)
			kill(command, sig);
		return;
	}
	w->ended_by = sig;
	pidfd_send_signal(w->pidfd, SIGKILL, NULL, 0);
}

/* Returns when to lose patience: 0 for never. */
static uint64_t on_signal(struct run_wait *w, uint64_t deadline)
{
	struct signalfd_siginfo si;

	while (read(w->signals, &si, sizeof(si)) == sizeof(si)) {
		int sig = (int)si.ssi_signo;

		pass_on(w, sig, w->terminal && si.ssi_code == SI_KERNEL);
		if ((sig == SIGTERM || sig == SIGHUP) && !deadline)
			deadline = now_ms() + GRACE_MS;
	}
	return deadline;
}

static void on_control(struct run_wait *w)
{
	char drain[16];

	if (recv(w->control, drain, sizeof(drain), MSG_DONTWAIT) > 0)
		return; /* netd says nothing more; not our business what it was */
	close(STEAL_FD(w->control));
}

static int exit_status(struct run_wait *w)
{
	int status = 0;

	if (waitpid(w->child, &status, 0) < 0)
		return 1;
	if (w->ended_by)
		return 128 + w->ended_by;
	return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

static int wait_ms(const struct run_wait *w, uint64_t deadline)
{
	uint64_t now = now_ms(), left = deadline > now ? deadline - now : 0;

	if (w->control < 0 && (!deadline || left > RETRY_MS))
		return RETRY_MS;
	return deadline ? (int)left : -1;
}

int run_wait(struct run_wait *w)
{
	uint64_t deadline = 0;

	for (;;) {
		struct pollfd p[] = { { .fd = w->pidfd, .events = POLLIN },
				      { .fd = w->signals, .events = POLLIN },
				      { .fd = w->control, .events = POLLIN } };

		if (poll(p, ARRAY_SIZE(p), wait_ms(w, deadline)) < 0 && errno != EINTR)
			return exit_status(w);
		if (p[0].revents)
			return exit_status(w);
		if (p[1].revents)
			deadline = on_signal(w, deadline);
		if (p[2].revents)
			on_control(w);
		if (w->control < 0)
			w->control = w->lost(w->owner);
		if (deadline && now_ms() >= deadline)
			pidfd_send_signal(w->pidfd, SIGKILL, NULL, 0);
	}
}
