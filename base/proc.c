/*
 * proc.c - roles, privilege drop, and starting other programs
 *
 * Theory of operation: proc_drop() empties the bounding set, changes groups and uid with the wanted
 * capabilities carried across (keep-caps), cuts the sets to exactly those with raw capset(2), and
 * forbids any return: no_new_privs, locked secure bits, no ambient set. It ends by looking at what
 * the kernel says it now is. A credential change makes the kernel forget the parent-death signal,
 * so that is set again. proc_spawn() forks; between fork and exec the child makes system calls
 * only. A pipe that exec closes brings the errno of a failure back, so the caller never waits for a
 * program that did not start.
 * Invariants: a child has only the descriptors that were named, a clean environment and default
 * signals.
 * Spec: capabilities(7), prctl(2), sd_notify(3).
 */
#include "base/proc.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/close_range.h>
#include <linux/securebits.h>
#include <pwd.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>

enum { PROC_FDS_MAX = 16, PROC_NSS_MAX = 16384 };

static const char *const role_names[ROLE_COUNT] = {
	[ROLE_NONE] = "none", [ROLE_NETD] = "netd", [ROLE_INSPECT] = "inspect", [ROLE_DNS] = "dns",
	[ROLE_GITPROXY] = "gitproxy", [ROLE_KEEPER] = "keeper",
	[ROLE_MIRROR] = "mirror",
};

const char *proc_role_name(enum proc_role r)
{
	return (unsigned)r < ROLE_COUNT ? role_names[r] : "none";
}

static uid_t look_up(enum proc_role r)
{
	char name[32], buf[PROC_NSS_MAX];
	struct passwd pw, *found = NULL;

	snprintf(name, sizeof(name), "cordon-%s", proc_role_name(r));
	if (!getpwnam_r(name, &pw, buf, sizeof(buf), &found) && found)
		return found->pw_uid;
	return (uid_t)PROC_UID_BASE + (uid_t)r;
}

/*
 * All are looked up at once, at the latest by proc_drop(): a confined process must not depend on
 * what the host's account modules open, load and ask.
 */
uid_t proc_role_uid(enum proc_role r)
{
	static uid_t known[ROLE_COUNT];

	for (int i = ROLE_NONE + 1; i < ROLE_COUNT && !known[ROLE_COUNT - 1]; i++)
		known[i] = look_up((enum proc_role)i);
	return (unsigned)r < ROLE_COUNT && r != ROLE_NONE ? known[r] : (uid_t)PROC_UID_BASE;
}

gid_t proc_group(void)
{
	char buf[PROC_NSS_MAX];
	struct group gr, *found = NULL;

	if (!getgrnam_r("cordon", &gr, buf, sizeof(buf), &found) && found)
		return found->gr_gid;
	return PROC_UID_BASE;
}

static int cap_set(uint64_t caps, uint64_t inheritable)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2] = {
		{ (uint32_t)caps, (uint32_t)caps, (uint32_t)inheritable },
		{ (uint32_t)(caps >> 32), (uint32_t)(caps >> 32), (uint32_t)(inheritable >> 32) },
	};

	return syscall(SYS_capset, &head, data) < 0 ? -errno : 0;
}

/* Whether the sets are exactly these. */
static bool cap_is(uint64_t caps, uint64_t inheritable)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2] = { 0 };

	if (syscall(SYS_capget, &head, data) < 0)
		return false;
	for (int i = 0; i < 2; i++, caps >>= 32, inheritable >>= 32)
		if (data[i].effective != (uint32_t)caps || data[i].permitted != (uint32_t)caps ||
		    data[i].inheritable != (uint32_t)inheritable)
			return false;
	return true;
}

/* The last capability this kernel knows is the last one it lets us ask about. */
static int drop_bounding_set(uint64_t but)
{
	for (unsigned long cap = 0; prctl(PR_CAPBSET_READ, cap, 0, 0, 0) >= 0; cap++)
		if (!(but >> cap & 1) && prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) < 0)
			return -errno;
	return 0;
}

/* uid 0 gives no capabilities at exec, nothing becomes ambient, and neither can be turned back. */
static int lock_securebits(bool hands_down)
{
	unsigned long bits = SECBIT_KEEP_CAPS | SECBIT_NOROOT | SECBIT_NOROOT_LOCKED;

	if (!hands_down)
		bits |= SECBIT_NO_CAP_AMBIENT_RAISE | SECBIT_NO_CAP_AMBIENT_RAISE_LOCKED;
	if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0)
		return -errno;
	return prctl(PR_SET_SECUREBITS, bits, 0, 0, 0) < 0 ? -errno : 0;
}

static int change_ids(uid_t uid, gid_t gid, uint64_t caps, uint64_t inheritable)
{
	if (setgroups(1, &gid) < 0 || setresgid(gid, gid, gid) < 0 || setresuid(uid, uid, uid) < 0)
		return -errno;
	if (prctl(PR_SET_KEEPCAPS, 0, 0, 0, 0) < 0)
		return -errno;
	return cap_set(caps, inheritable);
}

/* What a debugger, a core file or a set-uid program could still give away. */
static int close_side_doors(void)
{
	static const struct rlimit none = { 0, 0 };

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
		return -errno;
	if (setrlimit(RLIMIT_CORE, &none) < 0)
		return -errno;
	umask(077);
	return 0;
}

static bool ids_are(uid_t uid, gid_t gid)
{
	uid_t r, e, s;
	gid_t rg, eg, sg;

	return !getresuid(&r, &e, &s) && r == uid && e == uid && s == uid &&
	       !getresgid(&rg, &eg, &sg) && rg == gid && eg == gid && sg == gid &&
	       getgroups(0, NULL) == 1;
}

/* What a child may be given must be inheritable before the bounding set is empty. */
static int cap_make_inheritable(uint64_t inheritable)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2] = { 0 };

	if (syscall(SYS_capget, &head, data) < 0)
		return -errno;
	data[0].inheritable = (uint32_t)inheritable;
	data[1].inheritable = (uint32_t)(inheritable >> 32);
	return syscall(SYS_capset, &head, data) < 0 ? -errno : 0;
}

int proc_drop(enum proc_role role, uint64_t wanted)
{
	bool hands_down = wanted & PROC_HANDS_DOWN;
	uint64_t caps = wanted & ~PROC_HANDS_DOWN, inheritable = hands_down ? caps : 0;
	uid_t uid = proc_role_uid(role);
	gid_t gid = proc_group();
	pid_t parent = getppid();
	int death = 0, r;

	if (geteuid() != 0 || uid == 0 || gid == 0 || role == ROLE_NONE)
		return -EPERM;
	if (prctl(PR_GET_PDEATHSIG, &death, 0, 0, 0) < 0)
		return -errno;
	r = cap_make_inheritable(inheritable);
	if (!r)
		r = drop_bounding_set(0);
	if (!r)
		r = lock_securebits(hands_down);
	if (!r)
		r = change_ids(uid, gid, caps, inheritable);
	if (!r)
		r = close_side_doors();
	if (r < 0)
		return r;
	if (death && (prctl(PR_SET_PDEATHSIG, death, 0, 0, 0) < 0 || getppid() != parent))
		return -ESRCH;		/* the parent died while nobody was told */
	return ids_are(uid, gid) && cap_is(caps, inheritable) ? 0 : -EPERM;
}

/* What the host did not give us (a container) cannot be kept either. */
int proc_bound(uint64_t caps)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2] = { 0 };
	int r = drop_bounding_set(caps);

	if (r < 0)
		return r;
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || syscall(SYS_capget, &head, data) < 0)
		return -errno;
	return cap_set(caps & (data[0].permitted | (uint64_t)data[1].permitted << 32), 0);
}

int proc_keep(uint64_t caps)
{
	uid_t uid = geteuid();
	int r;

	if (!uid)
		return -EPERM;
	if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0)
		return -errno;
	r = cap_set(caps, 0);
	if (!r)
		r = close_side_doors();
	if (r < 0)
		return r;
	return ids_are(uid, getegid()) && cap_is(caps, 0) ? 0 : -EPERM;
}

#if defined(__SANITIZE_ADDRESS__)
#define PROC_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define PROC_SANITIZED 1
#endif
#endif

#ifdef PROC_SANITIZED
/* Sanitized test builds only: what the run-time itself calls to map shadow memory and to report. */
static const struct proc_syscall sanitizer_table[] = {
	{ SCMP_SYS(mmap), "shadow memory" }, { SCMP_SYS(munmap), "shadow memory" },
	{ SCMP_SYS(mprotect), "shadow memory" }, { SCMP_SYS(madvise), "shadow memory" },
	{ SCMP_SYS(sigaltstack), "end of threads" }, { SCMP_SYS(futex), "its locks" },
	{ SCMP_SYS(write), "reports" }, { SCMP_SYS(openat), "reading its own maps" },
	{ SCMP_SYS(read), "reading its own maps" }, { SCMP_SYS(close), "reading its own maps" },
	{ SCMP_SYS(readlink), "reports" }, { SCMP_SYS(getpid), "reports" },
	{ SCMP_SYS(gettid), "reports" },
	{ SCMP_SYS(sched_yield), "its locks" }, { SCMP_SYS(clone), "leak check" },
	{ SCMP_SYS(ptrace), "leak check" }, { SCMP_SYS(wait4), "leak check" },
	{ SCMP_SYS(prctl), "leak check" },
	{ SCMP_SYS(rt_sigprocmask), "leak check" }, { SCMP_SYS(rt_sigaction), "leak check" },
	{ SCMP_SYS(getdents64), "leak check" }, { SCMP_SYS(getdents), "leak check" },
	{ SCMP_SYS(tgkill), "leak check" },
	{ SCMP_SYS(exit), "leak check" }, { SCMP_SYS(exit_group), "the end" },
	{ SCMP_SYS(getppid), "leak check" }, { SCMP_SYS(prlimit64), "leak check" },
	{ SCMP_SYS(sched_getaffinity), "leak check" }, { SCMP_SYS(fstat), "reports" },
	{ SCMP_SYS(newfstatat), "reports" }, { SCMP_SYS(lseek), "reports" },
	{ SCMP_SYS(open), "reports" }, { SCMP_SYS(stat), "reports" }, { SCMP_SYS(pipe), "reports" },
	{ -1, NULL },
};
#else
static const struct proc_syscall sanitizer_table[] = { { -1, NULL } };
#endif

/* Flags are the first argument of clone(2) where this builds (on s390 and others the second). */
static int seccomp_allow_threads(scmp_filter_ctx ctx)
{
	static const uint64_t looked_at = CLONE_THREAD | CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC |
					  CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET;
	int r = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(clone), 1,
				 SCMP_A0(SCMP_CMP_MASKED_EQ, looked_at, CLONE_THREAD));

	return r < 0 ? r : seccomp_rule_add(ctx, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);
}

static int seccomp_allow_table(scmp_filter_ctx ctx, const struct proc_syscall *table)
{
	int r;

	for (; table->nr != -1; table++) {
		if (table->nr == PROC_THREADS)
			r = seccomp_allow_threads(ctx);
		else
			r = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, table->nr, 0);
		if (r < 0 && r != -EEXIST)
			return r;
	}
	return 0;
}

static bool lists(const struct proc_syscall *table, int nr)
{
	while (table->nr != -1 && table->nr != nr)
		table++;
	return table->nr == nr;
}

static int seccomp_refuse_files(scmp_filter_ctx ctx, const struct proc_syscall *table)
{
	static const int opening[] = { SCMP_SYS(open), SCMP_SYS(openat) };
	int r = 0;

	for (size_t i = 0; !r && i < ARRAY_SIZE(opening); i++)
		if (!lists(table, opening[i]) && !lists(sanitizer_table, opening[i]))
			r = seccomp_rule_add(ctx, SCMP_ACT_ERRNO(EACCES), opening[i], 0);
	return r;
}

int proc_seccomp(const struct proc_syscall *table)
{
	scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_KILL_PROCESS);
	int r;

	if (!ctx)
		return -ENOMEM;
	r = seccomp_attr_set(ctx, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
	if (!r)
		r = seccomp_attr_set(ctx, SCMP_FLTATR_CTL_TSYNC, 1);
	if (!r)
		r = seccomp_allow_table(ctx, table);
	if (!r)
		r = seccomp_allow_table(ctx, sanitizer_table);
	if (!r)
		r = seccomp_refuse_files(ctx, table);
	if (!r)
		r = seccomp_load(ctx);
	seccomp_release(ctx);
	return r;
}

/* ---- starting programs: everything called child_* runs between fork and exec ---- */

static void child_fail(int report)
{
	int e = errno;

	(void)!write(report, &e, sizeof(e));
	_exit(127);
}

/* Above every target, so that no copy is overwritten before it is used. */
static int child_lift(const struct proc_spec *s, int fd)
{
	int above = 3;

	for (size_t i = 0; i < s->nfds; i++)
		if (s->fds[i].to >= above)
			above = s->fds[i].to + 1;
	return fcntl(fd, F_DUPFD_CLOEXEC, above);
}

/* Exactly 0, 1, 2 and the named descriptors survive exec. */
static int child_descriptors(const struct proc_spec *s)
{
	int from[PROC_FDS_MAX], null;

	null = child_lift(s, open("/dev/null", O_RDWR | O_CLOEXEC));
	if (null < 0)
		return -1;
	for (size_t i = 0; i < s->nfds; i++) {
		from[i] = child_lift(s, s->fds[i].from);
		if (from[i] < 0)
			return -1;
	}
	if (close_range(3, ~0u, CLOSE_RANGE_CLOEXEC) < 0 || dup2(null, 0) < 0)
		return -1;
	for (size_t i = 0; i < s->nfds; i++)
		if (dup2(from[i], s->fds[i].to) < 0)
			return -1;
	return 0;
}

/* Over exec a capability survives only in the ambient set; uid and file give none. */
static int child_ambient(uint64_t caps)
{
	for (unsigned long cap = 0; caps; cap++, caps >>= 1)
		if (caps & 1 && prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, cap, 0, 0) < 0)
			return -1;
	return 0;
}

static int child_signals(const struct proc_spec *s, pid_t parent)
{
	sigset_t none;

	for (int sig = 1; sig < NSIG; sig++)
		signal(sig, SIG_DFL);		/* the C library keeps two for itself and refuses */
	sigemptyset(&none);
	if (sigprocmask(SIG_SETMASK, &none, NULL) < 0)
		return -1;
	if (s->own_group && setpgid(0, 0) < 0)
		return -1;
	if (!s->die_with_parent)
		return 0;
	if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0)
		return -1;
	if (getppid() != parent)
		_exit(127);			/* it died before we asked to be told */
	return 0;
}

static void child_main(const struct proc_spec *s, int report, pid_t parent)
{
	static const char *const clean[] = {
		"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", NULL,
	};
	const char *const *envp = s->envp ? s->envp : clean;
	int lifted = child_lift(s, report);

	if (lifted < 0)
		child_fail(report);
	if (child_descriptors(s) < 0 || child_signals(s, parent) < 0 ||
	    child_ambient(s->ambient) < 0)
		child_fail(lifted);
	execve(s->path, (char *const *)(uintptr_t)s->argv, (char *const *)(uintptr_t)envp);
	child_fail(lifted);
}

/* 0 when exec closed the pipe, else the child's errno as -errno. */
static int spawn_result(int report)
{
	int e = 0;
	ssize_t r;

	do {
		r = read(report, &e, sizeof(e));
	} while (r < 0 && errno == EINTR);
	return r == 0 ? 0 : r == (ssize_t)sizeof(e) && e > 0 ? -e : -EIO;
}

int proc_spawn(const struct proc_spec *spec, pid_t *ret_pid, int *ret_pidfd)
{
	AUTO(fd) int rd_end = -1;
	AUTO(fd) int wr_end = -1;
	AUTO(fd) int pidfd = -1;
	pid_t parent = getpid(), pid;
	int ends[2], r;

	if (spec->nfds > PROC_FDS_MAX)
		return -E2BIG;
	if (pipe2(ends, O_CLOEXEC) < 0)
		return -errno;
	rd_end = ends[0];
	wr_end = ends[1];
	pid = fork();
	if (pid < 0)
		return -errno;
	if (!pid)
		child_main(spec, wr_end, parent);
	close(STEAL_FD(wr_end));
	pidfd = pidfd_open(pid, 0);
	r = pidfd < 0 ? -errno : spawn_result(rd_end);
	if (r < 0) {
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
		return r;
	}
	if (ret_pid)
		*ret_pid = pid;
	if (ret_pidfd)
		*ret_pidfd = STEAL_FD(pidfd);
	return 0;
}

void proc_raise_files(uint64_t most)
{
	struct rlimit files;

	if (getrlimit(RLIMIT_NOFILE, &files) < 0)
		return;
	files.rlim_cur = files.rlim_max < most ? files.rlim_max : most;
	setrlimit(RLIMIT_NOFILE, &files);
}

int proc_program(const char *name, char *ret_path, size_t cap)
{
	char self[4096];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	char *slash;

	if (n < 0)
		return -errno;
	self[n] = 0;
	slash = strrchr(self, '/');
	if (!slash)
		return -ENOENT;
	*slash = 0;
	/* Beside this program (a build tree), else where installation puts the daemons. */
	if ((size_t)snprintf(ret_path, cap, "%s/%s", self, name) < cap && !access(ret_path, X_OK))
		return 0;
	if ((size_t)snprintf(ret_path, cap, "%s/%s", CORDON_LIBEXECDIR, name) < cap &&
	    !access(ret_path, X_OK))
		return 0;
	return -ENOENT;
}

/* sd_notify(3): one datagram to the socket that the service manager named. */
static void notify_manager(const char *path)
{
	AUTO(fd) int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	size_t n = strlen(path);

	if (fd < 0 || n >= sizeof(sun.sun_path) || (path[0] != '/' && path[0] != '@'))
		return;
	memcpy(sun.sun_path, path, n);
	if (sun.sun_path[0] == '@')
		sun.sun_path[0] = 0;		/* abstract name */
	(void)!sendto(fd, "READY=1", 7, MSG_NOSIGNAL, (struct sockaddr *)&sun,
		      (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n));
}

void proc_ready(int fd)
{
	const char *path = getenv("NOTIFY_SOCKET");

	if (path)
		notify_manager(path);
	if (fd < 0)
		return;
	(void)!write(fd, "\n", 1);
	close(fd);
}

/* What others could write into they may have; what they can write above they can replace. */
static int others_cannot_write(int dir, uid_t uid)
{
	struct stat st, above;

	if (fstat(dir, &st) < 0 || fstatat(dir, "..", &above, 0) < 0)
		return -errno;
	if ((st.st_uid != geteuid() && st.st_uid != uid) || st.st_mode & (S_IWGRP | S_IWOTH))
		return -EPERM;
	return above.st_mode & S_IWOTH && !(above.st_mode & S_ISVTX) ? -EPERM : 0;
}

int proc_mkdir(const char *path, mode_t mode, uid_t uid, gid_t gid)
{
	AUTO(fd) int fd = -1;
	int r;

	if (mkdir(path, 0700) < 0 && errno != EEXIST)
		return -errno;
	fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	r = others_cannot_write(fd, uid);
	if (r < 0)
		return r;
	if (fchown(fd, uid, gid) < 0 || fchmod(fd, mode) < 0)
		return -errno;
	return 0;
}
