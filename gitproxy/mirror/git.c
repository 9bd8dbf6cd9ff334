/*
 * git.c - running the git program on a repository that is not trusted
 *
 * Theory of operation: every run is `git --git-dir=DIR ARGS` with an environment of our own: no
 * configuration of the system or of a user, no prompt, no transport, no hook, nothing of ours
 * inherited. What matters of the configuration comes by GIT_CONFIG_COUNT, so that it does not depend
 * on files in the repository. The child leads a process group, which is killed as one; memory, time
 * and the size of files are limited. Seccomp and Landlock are those of this process (confine.c).
 * Standard error is read beside standard output, so that neither can block the child; its end is kept
 * for the log.
 */
#include "gitproxy/mirror/git.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "base/ipc.h"
#include "base/log.h"
#include "base/proc.h"
#include "gitproxy/deadline.h"

enum {
	MAINTAIN_MS = 12 * 3600 * 1000,	/* one run that gives way to all others */
	GIB = 1 << 30,
	HEAP_GIB = 6, HEAP_IDLE_GIB = 12,	/* maintenance runs alone, and needs most: about 1 KiB an object */
	ENV_MAX = 80,
	NICE = 19,
	IO_IDLE = 3 << 13,		/* IOPRIO_CLASS_IDLE */
	IO_PROCESS = 1,			/* IOPRIO_WHO_PROCESS */
	ROOM = 1 << 20,			/* of its output; what the kernel lets anyone have */
};

static struct { uint64_t total, idle; } patience = { 3600 * 1000, 900 * 1000 };

/* One row a setting; why it is there. */
static const struct { const char *key, *value, *why; } settings[] = {
	{ "gc.auto", "0", "maintenance is ours to time" },
	{ "maintenance.auto", "false", "the same" },
	{ "core.hooksPath", "/dev/null", "no hook" },
	{ "core.fsmonitor", "false", "no program" },
	{ "core.logAllRefUpdates", "false", "nobody reads them" },
	{ "core.bigFileThreshold", "64m", "bounded memory" },
	{ "core.packedGitWindowSize", "16m", "packs are mapped in pieces, however large they are" },
	{ "core.packedGitLimit", "128m", "the same" },
	{ "pack.windowMemory", "128m", "bounded memory" },
	{ "pack.deltaCacheSize", "64m", "bounded memory" },
	{ "pack.threads", "2", "several run at once" },
	{ "pack.writeReverseIndex", "true", "bitmaps are faster with it" },
	{ "pack.allowPackReuse", "true", "whole packs go out as they are" },
	{ "repack.writeBitmaps", "true", "clones are faster with it" },
	{ "protocol.allow", "never", "no transport" },
	{ "transfer.hideRefs", "refs/keep", "kept for those to whom they were shown" },
	{ "transfer.advertiseSID", "false", "nothing of this host" },
	{ "uploadpack.allowFilter", "true", "partial clones" },
	{ "uploadpack.allowAnySHA1InWant", "true", "a wanted object need be on no branch any more" },
	{ "uploadpack.keepAlive", "5", "clients wait while a pack is made" },
	{ "safe.bareRepository", "all", "they are bare" },
};

static const char *const fixed[] = {
	"PATH=/usr/local/bin:/usr/bin:/bin", "HOME=/nonexistent", "LC_ALL=C", "GIT_CONFIG_NOSYSTEM=1",
	"GIT_CONFIG_GLOBAL=/dev/null", "GIT_TERMINAL_PROMPT=0", "GIT_ASKPASS=/bin/false",
	"GIT_NO_REPLACE_OBJECTS=1", "GIT_NO_LAZY_FETCH=1", "GIT_ADVICE=0",
	"GIT_AUTHOR_NAME=cordon", "GIT_AUTHOR_EMAIL=cordon@localhost",
	"GIT_COMMITTER_NAME=cordon", "GIT_COMMITTER_EMAIL=cordon@localhost",
	/* pack-objects has a file's bytes at a time: else each is given back to the kernel and faulted in anew */
	"MALLOC_TRIM_THRESHOLD_=67108864", "MALLOC_TOP_PAD_=1048576",
};

struct environment {
	const char *at[ENV_MAX];
	size_t n;
	char text[8192];
	struct wr w;
};

static bool add(struct environment *e, const char *name, const char *value)
{
	char *at = (char *)e->w.p + e->w.n;

	if (e->n + 1 >= ENV_MAX || !wr_fmt(&e->w, "%s=%s", name, value) || !wr_u8(&e->w, 0))
		return false;
	e->at[e->n++] = at;
	return true;
}

static bool add_setting(struct environment *e, size_t i)
{
	char key[32], value[32];

	snprintf(key, sizeof(key), "GIT_CONFIG_KEY_%zu", i);
	snprintf(value, sizeof(value), "GIT_CONFIG_VALUE_%zu", i);
	return add(e, key, settings[i].key) && add(e, value, settings[i].value);
}

static bool environment(struct environment *e, const struct git_spec *s)
{
	char real[GIT_PATH];
	char count[8];
	bool ok = true;

	e->n = 0;
	e->w = wr_of(e->text, sizeof(e->text));
	for (size_t i = 0; i < ARRAY_SIZE(fixed); i++)
		e->at[e->n++] = fixed[i];
	for (size_t i = 0; ok && i < ARRAY_SIZE(settings); i++)
		ok = add_setting(e, i);
	snprintf(count, sizeof(count), "%zu", ARRAY_SIZE(settings));
	ok = ok && add(e, "GIT_CONFIG_COUNT", count);
	if (s->v2)
		ok = ok && add(e, "GIT_PROTOCOL", "version=2");
	if (s->objects)
		ok = ok && snprintf(real, sizeof(real), "%s/objects", s->dir) < (int)sizeof(real) &&
		     add(e, "GIT_OBJECT_DIRECTORY", s->objects) &&
		     add(e, "GIT_ALTERNATE_OBJECT_DIRECTORIES", real);
	e->at[e->n] = NULL;
	return ok;
}

/*
 * What one run may take of the host. Not address space: packs are mapped, by upload-pack in pieces
 * of a GiB whatever it is told, and cost none of it. It starts a moment before them, with nothing
 * but our arguments.
 */
static void limit(pid_t pid, bool idle)
{
	const struct { int what; rlim_t max; } limits[] = {
		{ RLIMIT_CORE, 0 }, { RLIMIT_CPU, 4 * 3600 },
		{ RLIMIT_DATA, (rlim_t)(idle ? HEAP_IDLE_GIB : HEAP_GIB) * GIB }, { RLIMIT_FSIZE, (rlim_t)64 << 30 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(limits); i++)
		prlimit(pid, limits[i].what, &(struct rlimit){ limits[i].max, limits[i].max }, NULL);
	if (!idle)
		return;
	setpriority(PRIO_PROCESS, (id_t)pid, NICE);
	syscall(SYS_ioprio_set, IO_PROCESS, pid, IO_IDLE);
}

static int pipe_of(int ret[2])
{
	if (pipe2(ret, O_CLOEXEC) < 0)
		return -errno;
	return fcntl(ret[0], F_SETFL, O_NONBLOCK) < 0 ? -errno : 0;
}

static int spawn(const struct git_spec *s, int out, int err, struct git_child *c)
{
	AUTO(mem) struct environment *e = malloc(sizeof(*e));
	const char *argv[GIT_ARGS_MAX + 3] = { "git" };
	char dir[GIT_PATH + 16];
	size_t n = 2;

	if (!e)
		return -ENOMEM;
	if (snprintf(dir, sizeof(dir), "--git-dir=%s", s->dir) >= (int)sizeof(dir) || !environment(e, s))
		return -ENAMETOOLONG;
	argv[1] = dir;
	for (size_t i = 0; s->args[i]; i++) {
		if (n >= ARRAY_SIZE(argv) - 1)
			return -E2BIG;
		argv[n++] = s->args[i];
	}
	const struct proc_fd fds[] = { { out, 1 }, { err, 2 }, { s->in, 0 } };

	return proc_spawn(&(struct proc_spec){ .path = "/usr/bin/git", .argv = argv, .envp = e->at, .fds = fds,
					       .nfds = s->in < 0 ? 2 : 3, .die_with_parent = true,
					       .own_group = true }, &c->pid, &c->pidfd);
}

int git_start(const struct git_spec *s, struct git_child *ret)
{
	int out[2] = { -1, -1 }, err[2] = { -1, -1 };
	int r = pipe_of(out);

	*ret = (struct git_child){ .pidfd = -1, .out = -1, .err = -1 };
	if (!r)
		r = pipe_of(err);
	if (!r)
		r = spawn(s, out[1], err[1], ret);
	for (size_t i = 0; i < 2; i++) {
		int *p = i ? err : out;

		if (p[1] >= 0)
			close(p[1]);
		if (r < 0 && p[0] >= 0)
			close(p[0]);
	}
	if (r < 0)
		return r;
	ret->out = out[0];
	ret->roomy = fcntl(out[0], F_SETPIPE_SZ, ROOM) >= ROOM;
	ret->err = err[0];
	limit(ret->pid, s->idle);
	return 0;
}

/* What it says on standard error; the last of it is kept. */
static void hear(struct git_child *c)
{
	uint8_t piece[GIT_SAID];
	ssize_t n = read(c->err, piece, sizeof(piece));
	size_t keep;

	if (n <= 0) {
		if (!n || (errno != EAGAIN && errno != EINTR))
			close(STEAL_FD(c->err));
		return;
	}
	keep = c->said_n < GIT_SAID - (size_t)n ? c->said_n : GIT_SAID - (size_t)n;
	memmove(c->said, c->said + c->said_n - keep, keep);
	memcpy(c->said + keep, piece, (size_t)n);
	c->said_n = keep + (size_t)n;
}

static int until(uint64_t deadline)
{
	uint64_t now = deadline_now();

	return deadline <= now ? 0 : deadline - now > INT32_MAX ? INT32_MAX : (int)(deadline - now);
}

ssize_t git_read(struct git_child *c, void *to, size_t n, uint64_t deadline)
{
	for (;;) {
		struct pollfd p[2] = { { .fd = c->out, .events = POLLIN }, { .fd = c->err, .events = POLLIN } };
		int r = poll(p, 2, until(deadline));

		if (!r)
			return -ETIMEDOUT;
		if (r < 0 && errno != EINTR)
			return -errno;
		if (r > 0 && p[1].revents)
			hear(c);
		if (r > 0 && p[0].revents) {
			ssize_t got = read(c->out, to, n);

			if (got >= 0 || (errno != EAGAIN && errno != EINTR))
				return got < 0 ? -errno : got;
		}
	}
}

void git_let_write(struct git_child *c, int ms)
{
	struct pollfd p[2] = { { .fd = c->pidfd, .events = POLLIN }, { .fd = c->err, .events = POLLIN } };

	if (c->roomy && poll(p, 2, ms) > 0 && p[1].revents)
		hear(c);
}

int git_wait(struct git_child *c, uint64_t deadline)
{
	struct pollfd p[2] = { { .fd = c->pidfd, .events = POLLIN } };
	int status = 0, r;

	do {
		p[1] = (struct pollfd){ .fd = c->err, .events = POLLIN };
		r = poll(p, 2, until(deadline));
		if (r > 0 && p[1].revents)
			hear(c);
	} while ((r > 0 && !p[0].revents) || (r < 0 && errno == EINTR));
	if (r <= 0) {
		git_end(c);
		return r ? -errno : -ETIMEDOUT;
	}
	killpg(c->pid, SIGKILL);		/* what it left behind; before its number can be another's */
	if (waitpid(c->pid, &status, 0) < 0)
		return -errno;
	c->pid = 0;
	git_end(c);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

void git_end(struct git_child *c)
{
	if (c->pid) {
		killpg(c->pid, SIGKILL);
		kill(c->pid, SIGKILL);
		waitpid(c->pid, NULL, 0);
		c->pid = 0;
	}
	if (c->pidfd >= 0)
		close(STEAL_FD(c->pidfd));
	if (c->out >= 0)
		close(STEAL_FD(c->out));
	if (c->err >= 0)
		close(STEAL_FD(c->err));
}

void git_patience_set(uint64_t total_ms, uint64_t idle_ms)
{
	patience.total = total_ms;
	patience.idle = idle_ms;
}

uint64_t git_patience(void)
{
	return patience.total;
}

uint64_t git_silence(void)
{
	return patience.idle;
}

static void tell(const struct git_spec *s, const struct git_child *c, int status)
{
	char said[4 * GIT_SAID + 4];

	bytes_escape(rd_of(c->said, c->said_n), GIT_SAID, said, sizeof(said));
	log_line(LOG_WARN, "event=git_failed command=%s dir=%s status=%d said=\"%s\"", s->args[0], s->dir, status,
		 said);
}

static uint64_t sooner(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static int collect(struct git_child *c, uint64_t silence, uint64_t deadline, struct wr *out)
{
	uint8_t piece[16384];
	ssize_t n;

	while ((n = git_read(c, piece, sizeof(piece), sooner(deadline, deadline_in(silence)))) > 0)
		if (out && !wr_put(out, piece, (size_t)n))
			return -EFBIG;
	return (int)n;
}

int git_run(const struct git_spec *s, struct wr *out)
{
	uint64_t silence = s->idle ? MAINTAIN_MS : patience.idle;
	uint64_t deadline = deadline_in(s->idle ? MAINTAIN_MS : patience.total);
	struct git_child c;
	int r = git_start(s, &c), status;

	if (r < 0)
		return r;
	r = collect(&c, silence, deadline, out);
	if (r < 0) {
		git_end(&c);
		return r;
	}
	status = git_wait(&c, sooner(deadline, deadline_in(silence)));
	if (status > 0)
		tell(s, &c, status);
	return status > 0 ? -EIO : status;
}

int git_run_with(const struct git_spec *s, struct rd in, struct wr *out)
{
	AUTO(fd) int fd = ipc_memfd("git-input", in.p, in.n);
	struct git_spec with = *s;

	if (fd < 0)
		return fd;
	if (lseek(fd, 0, SEEK_SET) < 0)
		return -errno;
	with.in = fd;
	return git_run(&with, out);
}
