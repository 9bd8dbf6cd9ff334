/*
 * supervise.c - the small root process that starts the daemons and starts them again
 *
 * Theory of operation: where no service manager runs, `cordon up` forks this process into a session
 * of its own. It keeps root, therefore it does as little as can be done: it starts three programs,
 * waits for their pidfds, starts again what ended (after 50 ms, doubling to 1 s, reset when it
 * lived 10 s), and at SIGTERM ends them all. It reads nothing but one byte of readiness per start.
 * The audit log's files are rotated by it as well, at SIGHUP and by size, for the daemons cannot.
 * What a daemon started dies with that daemon, but a moment later: it is a child of this process by
 * then (a subreaper), which does not end before it. The daemons die with it (parent death signal),
 * and the ruleset is closed without them, so its own end is safe as well. Filters of its own
 * (seccomp, Landlock) would be handed down to daemons that are still root and open what they need,
 * so it has none; what it can do without, it gives up: all capabilities that no daemon starts with,
 * and new ones by exec. RUN/supervisor.lock is held by a record lock, not by flock: a question about
 * its owner (F_GETLK) is answered by the kernel with a pid and never takes the lock, even for a
 * moment.
 */
#include "cli/supervise.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

#include "base/log.h"
#include "base/proc.h"
#include "cli/rotate.h"

enum { BACKOFF_MIN_MS = 50, BACKOFF_MAX_MS = 1000, LIVED_MS = 10000, STOP_MS = 5000, ENV_MAX = 8,
       ROTATE_EVERY_MS = 60000 };

const char *const supervise_parts[SUPERVISE_PARTS] = { "netd", "dns", "gitproxy" };

static const struct {
	int cap;
	const char *why;
} kept[] = {
	{ CAP_CHOWN, "audit files and directories get their owners" },
	{ CAP_DAC_OVERRIDE, "these belong to others; a checkout may lie in somebody's home" },
	{ CAP_FOWNER, "modes of these" },
	{ CAP_KILL, "ending the daemons, which are other users by then" },
	{ CAP_SETGID, "becoming those" },
	{ CAP_SETUID, "becoming those" },
	{ CAP_SETPCAP, "dropping capabilities" },
	{ CAP_NET_BIND_SERVICE, "port 53" },
	{ CAP_NET_ADMIN, "netd; transparent sockets" },
	{ CAP_BPF, "netd loads the program that looks at checksum offload" },
	{ CAP_PERFMON, "which reads the kernel's view of a packet" },
	{ CAP_IPC_LOCK, "the CA's key is not swapped out" },
	{ CAP_SYS_RESOURCE, "as many descriptors as there are connections" },
};

struct part {
	pid_t pid;
	int pidfd, ready_fd; /* -1: none */
	unsigned backoff_ms;
	uint64_t started_ms, due_ms; /* due_ms: start (again) then; 0: runs */
	bool told;		     /* its first status has gone to `up` */
};

struct supervisor {
	const struct host_config *cfg;
	const char *config_file;
	int status, signals, lock;
	struct part part[SUPERVISE_PARTS];
	pid_t rotating;	    /* 0: nobody rotates */
	uint64_t rotate_ms; /* when sizes are looked at next */
	bool rotate_now;    /* SIGHUP */
	bool stopping;
};

static uint64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static int path_of(char *out, size_t cap, const char *dir, const char *name, const char *end)
{
	return snprintf(out, cap, "%s/%s%s", dir, name, end) < (int)cap ? 0 : -ENAMETOOLONG;
}

static int lock_open(const struct host_config *c, int flags)
{
	char path[512];
	int r = path_of(path, sizeof(path), c->run_dir, "supervisor", ".lock");

	if (r < 0)
		return r;
	r = open(path, flags | O_RDWR | O_CLOEXEC | O_NOFOLLOW, 0600);
	return r < 0 ? -errno : r;
}

static void pid_file_write(const struct supervisor *s, size_t i)
{
	char path[512], text[16];
	int n = snprintf(text, sizeof(text), "%d\n", s->part[i].pid);

	if (path_of(path, sizeof(path), s->cfg->run_dir, supervise_parts[i], ".pid") < 0)
		return;
	AUTO(fd) int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0644);
	if (fd >= 0)
		(void)!write(fd, text, (size_t)n);
}

static void pid_file_remove(const struct supervisor *s, size_t i)
{
	char path[512];

	if (!path_of(path, sizeof(path), s->cfg->run_dir, supervise_parts[i], ".pid"))
		unlink(path);
}

static void tell(struct supervisor *s, size_t i, bool ready, int code)
{
	struct supervise_status st = { (uint8_t)i, ready, (int16_t)code };

	if (s->part[i].told)
		return;
	s->part[i].told = true;
	if (s->status >= 0)
		(void)!write(s->status, &st, sizeof(st)); /* `up` may have gone: no matter */
}

/* Sanitizer and debug settings of a test pass; nothing else of the caller's environment does. */
static void environment(const char *ret[ENV_MAX], char buf[ENV_MAX][512])
{
	static const char *const names[] = { "CORDON_DEBUG", "ASAN_OPTIONS", "UBSAN_OPTIONS",
					     "LSAN_OPTIONS" };
	size_t n = 0;

	ret[n++] = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		const char *v = getenv(names[i]);

		if (!v || snprintf(buf[n], 512, "%s=%s", names[i], v) >= 512)
			continue;
		ret[n] = buf[n];
		n++;
	}
	ret[n] = NULL;
}

static int part_exec(struct supervisor *s, size_t i, int log, int ready)
{
	char program[64], path[4096], buf[ENV_MAX][512];
	const char *env[ENV_MAX];
	const char *argv[] = { program, "--config", s->config_file, "--ready-fd", "3", NULL };
	const struct proc_fd fds[] = { { log, 1 }, { log, 2 }, { ready, 3 } };
	const struct proc_spec spec = {
		.path = path,
		.argv = argv,
		.envp = env,
		.fds = fds,
		.nfds = ARRAY_SIZE(fds),
		.die_with_parent = true,
	};
	int r;

	snprintf(program, sizeof(program), "cordon-%s", supervise_parts[i]);
	r = proc_program(program, path, sizeof(path));
	if (r < 0)
		return r;
	environment(env, buf);
	return proc_spawn(&spec, &s->part[i].pid, &s->part[i].pidfd);
}

static int part_open_and_exec(struct supervisor *s, size_t i)
{
	AUTO(fd) int log = -1;
	AUTO(fd) int wr_end = -1;
	char path[512];
	int ends[2], r = path_of(path, sizeof(path), s->cfg->log_dir, supervise_parts[i], ".log");

	if (r < 0)
		return r;
	log = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0640);
	if (log < 0 || pipe2(ends, O_CLOEXEC | O_NONBLOCK) < 0)
		return -errno;
	s->part[i].ready_fd = ends[0];
	wr_end = ends[1];
	return part_exec(s, i, log, wr_end);
}

static void part_again(struct supervisor *s, size_t i, uint64_t now)
{
	struct part *p = &s->part[i];

	if (now - p->started_ms > LIVED_MS)
		p->backoff_ms = 0;
	p->backoff_ms = p->backoff_ms ? p->backoff_ms * 2 : BACKOFF_MIN_MS;
	if (p->backoff_ms > BACKOFF_MAX_MS)
		p->backoff_ms = BACKOFF_MAX_MS;
	p->due_ms = now + p->backoff_ms;
}

static void part_start(struct supervisor *s, size_t i)
{
	struct part *p = &s->part[i];
	int r;

	p->due_ms = 0;
	p->started_ms = now_ms();
	r = part_open_and_exec(s, i);
	if (!r) {
		pid_file_write(s, i);
		return;
	}
	log_line(LOG_ERR, "event=start_failed part=%s errno=%d", supervise_parts[i], -r);
	auto_free_fd(&p->ready_fd);
	p->ready_fd = -1;
	p->pid = 0;
	tell(s, i, false, 128 - r);
	part_again(s, i, now_ms());
}

static void part_ended(struct supervisor *s, size_t i)
{
	struct part *p = &s->part[i];
	int status = 0, code;

	if (waitpid(p->pid, &status, WNOHANG) != p->pid)
		return;
	code = WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
	close(STEAL_FD(p->pidfd));
	auto_free_fd(&p->ready_fd);
	p->ready_fd = -1;
	p->pid = 0;
	pid_file_remove(s, i);
	tell(s, i, false, code);
	if (s->stopping)
		return;
	part_again(s, i, now_ms());
	log_line(LOG_WARN, "event=part_ended part=%s code=%d again_in_ms=%u", supervise_parts[i],
		 code, p->backoff_ms);
}

static void part_ready(struct supervisor *s, size_t i)
{
	struct part *p = &s->part[i];
	char byte;
	ssize_t n = read(p->ready_fd, &byte, 1);

	if (n < 0)
		return;
	close(STEAL_FD(p->ready_fd));
	if (n == 1)
		tell(s, i, true, 0); /* an end without a byte: its pidfd tells the rest */
}

/* Milliseconds until the next start, -1 for none. */
static int next_due(struct supervisor *s)
{
	uint64_t now = now_ms(), wait = UINT64_MAX;

	for (size_t i = 0; i < SUPERVISE_PARTS; i++) {
		struct part *p = &s->part[i];

		if (!p->due_ms || s->stopping)
			continue;
		if (p->due_ms <= now)
			part_start(s, i);
		if (p->due_ms && p->due_ms - now < wait)
			wait = p->due_ms - now;
	}
	return wait == UINT64_MAX ? -1 : (int)wait;
}

/* It waits for netd, so it is a child's work; one at a time. */
static void rotate(struct supervisor *s, uint64_t now)
{
	long long larger = s->rotate_now ? 0 : (long long)ROTATE_DEFAULT_MIB << 20;

	if (s->rotating || s->stopping || (!s->rotate_now && now < s->rotate_ms))
		return;
	s->rotate_now = false;
	s->rotate_ms = now + ROTATE_EVERY_MS;
	s->rotating = fork();
	if (!s->rotating)
		_exit(rotate_files(s->cfg, larger, false));
	if (s->rotating < 0)
		s->rotating = 0;
}

/* Milliseconds until there is something to do without an event. */
static int next_turn(struct supervisor *s)
{
	uint64_t now = now_ms();
	int due, wait;

	rotate(s, now);
	wait = s->rotate_ms > now ? (int)(s->rotate_ms - now) : ROTATE_EVERY_MS; /* due: when the last one ended */
	due = next_due(s);
	return due >= 0 && due < wait ? due : wait;
}

static bool any_runs(const struct supervisor *s)
{
	for (size_t i = 0; i < SUPERVISE_PARTS; i++)
		if (s->part[i].pid)
			return true;
	return false;
}

static void signal_all(const struct supervisor *s, int sig)
{
	for (size_t i = 0; i < SUPERVISE_PARTS; i++)
		if (s->part[i].pidfd >= 0)
			pidfd_send_signal(s->part[i].pidfd, sig, NULL, 0);
}

static bool is_part(const struct supervisor *s, pid_t pid)
{
	for (size_t i = 0; i < SUPERVISE_PARTS; i++)
		if (s->part[i].pid == pid)
			return true;
	return false;
}

/* Children that are no part: whoever rotated, and what parts left behind. Parts tell by their pidfds. */
static void reap_others(struct supervisor *s)
{
	for (;;) {
		siginfo_t si = { 0 };

		if (waitid(P_ALL, 0, &si, WEXITED | WNOHANG | WNOWAIT) < 0 || !si.si_pid ||
		    is_part(s, si.si_pid))
			return;
		waitpid(si.si_pid, NULL, 0);
		if (s->rotating == si.si_pid)
			s->rotating = 0;
	}
}

static bool has_children(void)
{
	siginfo_t si = { 0 };

	return waitid(P_ALL, 0, &si, WEXITED | WNOHANG | WNOWAIT) == 0;
}

static void on_signal(struct supervisor *s, uint32_t signo)
{
	s->stopping |= signo == SIGTERM || signo == SIGINT;
	s->rotate_now |= signo == SIGHUP;
}

/* Wait for anything, handle it. False after timeout_ms without an event. */
static bool turn(struct supervisor *s, int timeout_ms)
{
	struct pollfd p[1 + 2 * SUPERVISE_PARTS] = { { .fd = s->signals, .events = POLLIN } };
	struct signalfd_siginfo si;

	for (size_t i = 0; i < SUPERVISE_PARTS; i++) {
		p[1 + 2 * i] = (struct pollfd){ .fd = s->part[i].pidfd, .events = POLLIN };
		p[2 + 2 * i] = (struct pollfd){ .fd = s->part[i].ready_fd, .events = POLLIN };
	}
	if (poll(p, ARRAY_SIZE(p), timeout_ms) <= 0)
		return false;
	if (p[0].revents && read(s->signals, &si, sizeof(si)) == sizeof(si))
		on_signal(s, si.ssi_signo);
	for (size_t i = 0; i < SUPERVISE_PARTS; i++) {
		if (p[2 + 2 * i].revents)
			part_ready(s, i);
		if (p[1 + 2 * i].revents)
			part_ended(s, i);
	}
	reap_others(s);
	return true;
}

static void stop_all(struct supervisor *s)
{
	uint64_t end = now_ms() + STOP_MS;

	s->stopping = true;
	signal_all(s, SIGTERM);
	while (any_runs(s) && now_ms() < end)
		turn(s, 100);
	signal_all(s, SIGKILL);
	while (any_runs(s))
		turn(s, 100);
	end = now_ms() + STOP_MS;
	while (has_children() && now_ms() < end)
		turn(s, 100);
}

static int lock_take(const struct host_config *c)
{
	struct flock l = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	AUTO(fd) int fd = lock_open(c, O_CREAT);

	if (fd < 0)
		return fd;
	if (fcntl(fd, F_SETLK, &l) < 0)
		return -errno;
	return STEAL_FD(fd);
}

static int supervisor_signals(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGCHLD);
	signal(SIGPIPE, SIG_IGN);
	sigprocmask(SIG_SETMASK, &set, NULL);
	return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

static int give_up_the_rest(void)
{
	uint64_t caps = 0;

	for (size_t i = 0; i < ARRAY_SIZE(kept); i++)
		caps |= CAP_BIT(kept[i].cap);
	return proc_bound(caps);
}

/* Never returns. The lock is taken here, for record locks do not survive a fork. */
static void supervisor_main(const struct host_config *c, const char *config_file, int status)
{
	struct supervisor s = { .cfg = c, .config_file = config_file, .status = status };

	prctl(PR_SET_NAME, "cordon-super");
	log_init("supervisor");
	s.lock = lock_take(c);
	s.signals = supervisor_signals();
	if (s.lock < 0 || s.signals < 0 || prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) < 0 ||
	    give_up_the_rest() < 0) {
		log_line(LOG_ERR, "event=start_failed lock=%d", s.lock);
		_exit(1);
	}
	if (write(status, &(struct supervise_status){ .part = SUPERVISE_PARTS, .ready = 1 },
		  sizeof(struct supervise_status)) < 0)
		_exit(1);
	for (size_t i = 0; i < SUPERVISE_PARTS; i++)
		s.part[i].pidfd = s.part[i].ready_fd = -1;
	for (size_t i = 0; i < SUPERVISE_PARTS; i++)
		part_start(&s, i);
	while (!s.stopping)
		turn(&s, next_turn(&s));
	stop_all(&s);
	_exit(0);
}

/* In the first child: a session of its own, nothing of the caller's terminal, files or signals. */
static void detach(const struct host_config *c, const char *config_file, int status)
{
	AUTO(fd) int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	AUTO(fd) int log = -1;
	char path[512];

	umask(022);
	path_of(path, sizeof(path), c->log_dir, "supervisor", ".log");
	log = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0640);
	if (null < 0 || log < 0 || setsid() < 0 || chdir("/") < 0)
		_exit(1);
	if (fork())
		_exit(0); /* a session leader could get a terminal again */
	if (dup2(null, 0) < 0 || dup2(null, 1) < 0 || dup2(log, 2) < 0 || dup2(status, 3) < 0)
		_exit(1);
	closefrom(4);
	fcntl(3, F_SETFD, FD_CLOEXEC);
	supervisor_main(c, config_file, 3);
}

int supervise_start(const struct host_config *c, const char *config_file, int *ret_status)
{
	AUTO(fd) int rd_end = -1;
	AUTO(fd) int wr_end = -1;
	struct supervise_status begun;
	int ends[2], status = 0;
	pid_t pid;

	if (pipe2(ends, O_CLOEXEC) < 0)
		return -errno;
	rd_end = ends[0];
	wr_end = ends[1];
	pid = fork();
	if (pid < 0)
		return -errno;
	if (!pid)
		detach(c, config_file, wr_end);
	if (waitpid(pid, &status, 0) < 0)
		return -errno;
	close(STEAL_FD(wr_end));
	/* Before it has its lock nobody could end it: who gives up now would leave it behind. */
	if (status || read(rd_end, &begun, sizeof(begun)) != sizeof(begun))
		return -EIO;
	*ret_status = STEAL_FD(rd_end);
	return 0;
}

pid_t supervise_pid(const struct host_config *c)
{
	struct flock l = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	AUTO(fd) int fd = lock_open(c, 0);

	if (fd < 0 || fcntl(fd, F_GETLK, &l) < 0 || l.l_type == F_UNLCK)
		return 0;
	return l.l_pid;
}

pid_t supervise_part_pid(const struct host_config *c, size_t part)
{
	char path[512], text[16] = "";
	pid_t pid;

	if (!supervise_pid(c) ||
	    path_of(path, sizeof(path), c->run_dir, supervise_parts[part], ".pid") < 0)
		return 0;
	AUTO(fd) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0 || read(fd, text, sizeof(text) - 1) <= 0)
		return 0;
	pid = atoi(text);
	return pid > 0 && !(kill(pid, 0) < 0 && errno == ESRCH) ? pid : 0;
}

/* The pid is checked again behind the pidfd: were it another process by now, the lock would be
 * free. */
int supervise_stop(const struct host_config *c)
{
	pid_t pid = supervise_pid(c);
	AUTO(fd) int fd = pid ? pidfd_open(pid, 0) : -1;
	struct pollfd p = { .fd = fd, .events = POLLIN };

	if (!pid || fd < 0 || supervise_pid(c) != pid)
		return -ESRCH;
	if (pidfd_send_signal(fd, SIGTERM, NULL, 0) < 0)
		return -errno;
	if (poll(&p, 1, STOP_MS * 2) > 0)
		return 0;
	if (pidfd_send_signal(fd, SIGKILL, NULL, 0) < 0)
		return -errno;
	return poll(&p, 1, STOP_MS) > 0 ? 0 : -ETIMEDOUT;
}
