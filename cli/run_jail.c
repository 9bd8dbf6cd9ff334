/*
 * run_jail.c - the process side of `cordon run`: bubblewrap, and what it is given
 *
 * Theory of operation: this runs in the child, inside the new network namespace. Files and filter
 * are made while it is still root; then it becomes the user, and as the user (so that nothing the
 * user could not reach is opened for them) works out the mounts and becomes bubblewrap, which makes
 * the user, mount, pid, ipc and uts namespaces. The network namespace belongs to the host's user
 * namespace, so no root inside has any right over it.
 */
#include "cli/run_jail.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/run_files.h"
#include "cli/run_mounts.h"
#include "cli/run_seccomp.h"

enum { ARGS_MAX = 4096 };

struct argument_list {
	char *v[ARGS_MAX];
	size_t n;
	bool failed;
};

static void arg(struct argument_list *a, const char *fmt, ...) PRINTF_LIKE(2, 3);
static void arg(struct argument_list *a, const char *fmt, ...)
{
	va_list ap;
	char *text = NULL;

	va_start(ap, fmt);
	if (a->n + 1 >= ARGS_MAX || vasprintf(&text, fmt, ap) < 0)
		a->failed = true;
	else
		a->v[a->n++] = text;
	va_end(ap);
}

static void arg3(struct argument_list *a, const char *what, const char *from, const char *to)
{
	arg(a, "%s", what);
	arg(a, "%s", from);
	arg(a, "%s", to);
}

static const char *bwrap_path(void)
{
	static const char *const paths[] = { "/usr/bin/bwrap", "/usr/local/bin/bwrap",
					     "/bin/bwrap" };

	for (size_t i = 0; i < ARRAY_SIZE(paths); i++)
		if (!access(paths[i], X_OK))
			return paths[i];
	return NULL;
}

/* While every directory can be searched. */
static int find_config_dir(struct jail *j)
{
	if (!realpath(j->cfg->file, j->config_dir))
		return cli_fail("run: %s: %s", j->cfg->file, strerror(errno));
	*strrchr(j->config_dir, '/') = 0;
	return EXIT_DONE;
}

/*
 * What the caller opened as 0, 1 or 2 the command can use without asking: a directory leads around
 * the mounts, a socket of the internet families or one that is not connected out of the network
 * namespace. Fit are files, terminals, pipes, and UNIX sockets that are connected for good.
 */
static bool fit_to_pass(int fd)
{
	struct sockaddr_storage peer;
	socklen_t len = sizeof(peer), n = sizeof(int);
	int domain = 0, type = 0;
	struct stat st;

	if (fstat(fd, &st) < 0)
		return errno == EBADF;
	if (!S_ISSOCK(st.st_mode))
		return !S_ISDIR(st.st_mode);
	if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &n) < 0 ||
	    getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &n) < 0)
		return false;
	return domain == AF_UNIX && (type == SOCK_STREAM || type == SOCK_SEQPACKET) &&
	       getpeername(fd, (struct sockaddr *)&peer, &len) == 0;
}

int jail_check_passed(void)
{
	for (int fd = 0; fd <= 2; fd++)
		if (!fit_to_pass(fd))
			return cli_fail("run: descriptor %d is a directory or a socket that leads "
					"out of the sandbox: give a file or a pipe",
					fd);
	return EXIT_DONE;
}

int jail_prepare(struct jail *j)
{
	int r;

	if (!bwrap_path())
		return cli_fail("run: bubblewrap is missing: apt install bubblewrap");
	for (int i = 0; i < JAIL_FILES; i++)
		j->file_fd[i] = -1;
	r = find_config_dir(j);
	if (!r)
		r = run_files_make(j);
	if (r)
		return r;
	j->seccomp_fd = run_seccomp_filter();
	if (j->seccomp_fd < 0)
		return cli_fail("run: the system call filter: %s: libseccomp 2.5 is needed",
				strerror(-j->seccomp_fd));
	return EXIT_DONE;
}

/*
 * The host name inside is localhost: the host's own is none of the command's business, and where no
 * hosts file holds it, a program that looks its own name up (git does) would be refused.
 */
static void add_namespaces(struct argument_list *a, const struct jail *j)
{
	static const char *const fixed[] = { "--unshare-user", "--disable-userns",
					     "--unshare-pid",  "--unshare-ipc",
					     "--unshare-uts",  "--hostname",
					     "localhost",      "--die-with-parent",
					     "--cap-drop",     "ALL" };

	for (size_t i = 0; i < ARRAY_SIZE(fixed); i++)
		arg(a, "%s", fixed[i]);
	if (!j->terminal)
		arg(a, "--new-session");
	arg(a, "--seccomp");
	arg(a, "%d", j->seccomp_fd);
}

static void add_mount(struct argument_list *a, const struct mount *m)
{
	switch (m->kind) {
	case MOUNT_READ_WRITE:
		arg3(a, "--bind", m->path, m->path);
		break;
	case MOUNT_EMPTY:
		arg(a, "--tmpfs");
		arg(a, "%s", m->path);
		break;
	}
}

static void add_files(struct argument_list *a, const struct jail *j)
{
	for (int i = 0; i < JAIL_FILES; i++) {
		if (!j->file_path[i][0])
			continue;
		arg(a, "--perms");
		arg(a, "0444");
		arg(a, "--ro-bind-data");
		arg(a, "%d", j->file_fd[i]);
		arg(a, "%s", j->file_path[i]);
	}
}

static int add_mounts(struct argument_list *a, const struct jail *j)
{
	struct mounts m = { .n = 0 };
	int r = run_mounts_plan(j, &m);

	if (r)
		return r;
	arg3(a, "--ro-bind", "/", "/");
	arg(a, "--dev");
	arg(a, "/dev");
	arg(a, "--proc");
	arg(a, "/proc");
	for (size_t i = 0; i < m.n; i++)
		add_mount(a, &m.m[i]);
	add_files(a, j);
	arg(a, "--dir"); /* for one that is below something private */
	arg(a, "%s", j->cwd);
	arg(a, "--chdir");
	arg(a, "%s", j->cwd);
	return EXIT_DONE;
}

static void set_env(struct argument_list *a, const char *name, const char *value)
{
	if (value && *value)
		arg3(a, "--setenv", name, value);
}

/* Nothing of the caller's environment but what programs need to talk to a person; no agent, no
 * socket. */
static void add_environment(struct argument_list *a, const struct jail *j)
{
	static const char *const kept[] = { "TERM",	"COLORTERM", "NO_COLOR", "LANG",
					    "LANGUAGE", "LC_ALL",    "LC_CTYPE", "TZ" };
	static const char *const bundle[] = { "SSL_CERT_FILE", "GIT_SSL_CAINFO", "CURL_CA_BUNDLE",
					      "REQUESTS_CA_BUNDLE", "NODE_EXTRA_CA_CERTS" };
	const char *path = getenv("PATH");

	arg(a, "--clearenv");
	set_env(a, "PATH", path && *path ? path : "/usr/local/bin:/usr/bin:/bin");
	set_env(a, "HOME", j->user->home);
	set_env(a, "USER", j->user->name);
	set_env(a, "LOGNAME", j->user->name);
	set_env(a, "SHELL", j->user->shell);
	for (size_t i = 0; i < ARRAY_SIZE(kept); i++)
		set_env(a, kept[i], getenv(kept[i]));
	for (size_t i = 0; i < ARRAY_SIZE(bundle); i++)
		set_env(a, bundle[i], j->file_path[JAIL_CA_BUNDLE]);
}

static void add_command(struct argument_list *a, const struct jail *j)
{
	arg(a, "--");
	arg(a, "/usr/bin/env"); /* says which command is missing, and 127 */
	arg(a, "--");
	for (char *const *w = j->words; *w; w++)
		arg(a, "%s", *w);
}

/* bubblewrap closes what it was told to use; everything else must not even get there. */
static int keep_descriptors(const struct jail *j)
{
	const int kept[] = { j->seccomp_fd, j->file_fd[0], j->file_fd[1], j->file_fd[2] };

	if (close_range(3, ~0u, CLOSE_RANGE_CLOEXEC) < 0)
		return -errno;
	for (size_t i = 0; i < ARRAY_SIZE(kept); i++)
		if (kept[i] >= 0 && fcntl(kept[i], F_SETFD, 0) < 0)
			return -errno;
	return 0;
}

/* What the run blocked and ignored is not the command's business. */
static void reset_signals(void)
{
	sigset_t none;

	signal(SIGPIPE, SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

/* The kernel tells of the parent's end from now on; it may have come before. */
static bool parent_is_there(const struct jail *j)
{
	struct pollfd p = { .fd = j->parent_fd, .events = POLLIN };

	return prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) == 0 && poll(&p, 1, 0) == 0;
}

static int become_user(const struct jail *j)
{
	int r = run_user_become(j->user);

	if (r < 0)
		return cli_fail("run: cannot become user %s: %s", j->user->name, strerror(-r));
	if (!parent_is_there(j) || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return EXIT_REFUSED; /* nobody is left to clean up after us */
	if (chdir(j->cwd) < 0)
		return cli_fail("run: working directory %s: %s for user %s: start in one that user "
				"can reach",
				j->cwd, strerror(errno), j->user->name);
	return EXIT_DONE;
}

int jail_exec(struct jail *j)
{
	static struct argument_list a;
	/* What a process was started with stays in its /proc/PID/environ, --clearenv or not. */
	static char *const nothing[] = { NULL };
	int r = become_user(j);

	if (r)
		return r;
	arg(&a, "bwrap");
	add_namespaces(&a, j);
	r = add_mounts(&a, j);
	if (r)
		return r;
	add_environment(&a, j);
	add_command(&a, j);
	if (a.failed)
		return cli_fail("run: the command is too long: at most %d words", ARGS_MAX / 2);
	r = keep_descriptors(j);
	if (r < 0)
		return cli_fail("run: descriptors: %s", strerror(-r));
	reset_signals();
	execve(bwrap_path(), a.v, nothing);
	return cli_fail("run: %s: %s", bwrap_path(), strerror(errno));
}
