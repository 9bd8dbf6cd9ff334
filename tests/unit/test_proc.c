/*
 * test_proc.c - the privilege drop as the kernel sees it, and what a started program gets
 *
 * The drop is tried in forked children (the test must stay what it is); where it needs root the
 * test says so and passes.
 */
#include "tests/unit/check.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <poll.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "base/proc.h"

/* Run fn in a child: its return value, or 1000 + the signal that ended it. */
static int in_child(int (*fn)(void))
{
	pid_t pid = fork();
	int status = 0;

	if (!pid)
		_exit(fn());
	waitpid(pid, &status, 0);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

static bool not_root(void)
{
	if (geteuid() == 0)
		return false;
	printf("%s: needs root\n", check_name);
	return true;
}

/* A field of /proc/self/status as a number. */
static unsigned long long status_of(const char *field, int base)
{
	char line[256];
	unsigned long long v = ~0ull;
	FILE *f = fopen("/proc/self/status", "r");

	while (f && fgets(line, sizeof(line), f))
		if (!strncmp(line, field, strlen(field)) && line[strlen(field)] == ':')
			v = strtoull(line + strlen(field) + 1, NULL, base);
	if (f)
		fclose(f);
	return v;
}

/* Each check has a number of its own, which the child returns when it fails. */
#define MUST(n, cond) do { if (!(cond)) return n; } while (0)

static int dropped_with_net_admin(void)
{
	struct rlimit core;
	uid_t r, e, s;
	gid_t g;

	MUST(1, proc_drop(ROLE_NETD, CAP_BIT(CAP_NET_ADMIN)) == 0);
	MUST(2,
	     !getresuid(&r, &e, &s) && r == proc_role_uid(ROLE_NETD) && e == r && s == r && r != 0);
	MUST(3, getegid() == proc_group() && getgroups(1, &g) == 1 && g == proc_group());
	MUST(4, status_of("CapPrm", 16) == 1ull << CAP_NET_ADMIN);
	MUST(5, status_of("CapEff", 16) == 1ull << CAP_NET_ADMIN);
	MUST(6, status_of("CapBnd", 16) == 0 && status_of("CapInh", 16) == 0 &&
			status_of("CapAmb", 16) == 0);
	MUST(7, status_of("NoNewPrivs", 10) == 1);
	MUST(8, prctl(PR_GET_DUMPABLE) == 0);
	MUST(9, !getrlimit(RLIMIT_CORE, &core) && core.rlim_cur == 0 && core.rlim_max == 0);
	MUST(10, umask(0) == 077);
	return 0;
}

static int dropped_to_nothing_cannot_come_back(void)
{
	static const gid_t root_group;
	char *const args[] = { (char[]){ "grep" }, (char[]){ "-q" },
			       (char[]){ "^CapEff:.*[1-9a-f]" }, (char[]){ "/proc/self/status" },
			       NULL };

	MUST(1, proc_drop(ROLE_DNS, 0) == 0);
	MUST(2, status_of("CapPrm", 16) == 0 && status_of("CapEff", 16) == 0);
	MUST(3, setuid(0) < 0 && errno == EPERM);
	MUST(4, setresuid(0, 0, 0) < 0 && setgid(0) < 0 && setgroups(1, &root_group) < 0);
	MUST(5, prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_NET_ADMIN, 0, 0) < 0);
	MUST(6, prctl(PR_SET_SECUREBITS, 0) < 0);
	MUST(7, open("/etc/shadow", O_RDONLY) < 0);
	MUST(8, mount("none", "/tmp", "tmpfs", 0, "") < 0 && errno == EPERM);
	MUST(9, socket(AF_INET, SOCK_RAW, 1) < 0);
	MUST(10, proc_drop(ROLE_DNS, 0) == -EPERM);
	execv("/bin/grep", args);		/* finds no capability after exec either: 1 */
	return 11;
}

TEST(drop)
{
	if (not_root())
		return;
	CHECK_EQ("one capability", in_child(dropped_with_net_admin), 0);
	CHECK_EQ("none", in_child(dropped_to_nothing_cannot_come_back), 1);
	CHECK_EQ("no role", proc_drop(ROLE_NONE, 0), -EPERM);
}

/* A dropped daemon's child has the capability that it was given after exec, and nothing else. */
static int hands_one_capability_down(void)
{
	static const char *const argv[] = { "grep", "-q", "^CapEff:.*0000000000001000$",
					    "/proc/self/status", NULL };
	struct proc_spec s = { .path = "/bin/grep", .argv = argv,
			       .ambient = CAP_BIT(CAP_NET_ADMIN) };
	int status = 1;
	pid_t pid;

	MUST(1, proc_drop(ROLE_NETD, CAP_BIT(CAP_NET_ADMIN) | PROC_HANDS_DOWN) == 0);
	MUST(2, status_of("CapAmb", 16) == 0 && status_of("CapBnd", 16) == 0);
	MUST(3, proc_spawn(&s, &pid, NULL) == 0);
	MUST(4, waitpid(pid, &status, 0) == pid && status == 0);
	MUST(5, status_of("CapAmb", 16) == 0);
	s.ambient = CAP_BIT(CAP_SYS_ADMIN);
	MUST(6, proc_spawn(&s, &pid, NULL) == -EPERM);
	return 0;
}

static int may_not_hand_down(void)
{
	static const char *const argv[] = { "true", NULL };
	struct proc_spec s = { .path = "/bin/true", .argv = argv,
			       .ambient = CAP_BIT(CAP_NET_ADMIN) };
	pid_t pid;

	MUST(1, proc_drop(ROLE_NETD, CAP_BIT(CAP_NET_ADMIN)) == 0);
	MUST(2, proc_spawn(&s, &pid, NULL) == -EPERM);
	return 0;
}

TEST(handing_capabilities_down)
{
	if (not_root())
		return;
	CHECK_EQ("who asked for it", in_child(hands_one_capability_down), 0);
	CHECK_EQ("who did not", in_child(may_not_hand_down), 0);
}

static int parent_death_signal_survives(void)
{
	int sig = 0;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	MUST(1, proc_drop(ROLE_KEEPER, 0) == 0);
	MUST(2, !prctl(PR_GET_PDEATHSIG, &sig) && sig == SIGKILL);
	return 0;
}

TEST(drop_keeps_the_parent_death_signal)
{
	if (not_root())
		return;
	CHECK_EQ("kept", in_child(parent_death_signal_survives), 0);
}

static int confined_write(void)
{
	static const struct proc_syscall table[] = {
		{ SYS_write, "the answer" }, { SYS_exit_group, "the end" }, { -1, NULL },
	};

	MUST(1, proc_seccomp(table) == 0);
	MUST(2, write(2, "", 0) == 0);
	return 0;
}

static int confined_socket(void)
{
	int r = confined_write();

	if (r)
		return r;
	socket(AF_INET, SOCK_STREAM, 0);
	return 3;
}

static int confined_open(void)
{
	int r = confined_write();

	if (r)
		return r;
#ifndef __SANITIZE_ADDRESS__	/* reads files for its reports */
	MUST(3, open("/dev/null", O_RDONLY) < 0 && errno == EACCES);
#endif
	return 0;
}

TEST(seccomp)
{
	CHECK_EQ("files are refused", in_child(confined_open), 0);
	CHECK_EQ("what is allowed", in_child(confined_write), 0);
	CHECK_EQ("anything else kills", in_child(confined_socket), 1000 + SIGSYS);
}

TEST(roles)
{
	CHECK_STR("name", proc_role_name(ROLE_KEEPER), "keeper");
	CHECK_STR("unknown", proc_role_name((enum proc_role)99), "none");
	for (int r = ROLE_NETD; r < ROLE_COUNT; r++)
		for (int other = ROLE_NETD; other < r; other++)
			CHECK("each its own", proc_role_uid((enum proc_role)r) !=
						      proc_role_uid((enum proc_role)other));
}

/* ---- spawning ---- */

/* Run a shell command; what it printed on descriptor 5. */
static int shell(const char *command, const struct proc_spec *with, char *out, size_t cap)
{
	int p[2], pidfd = -1, status = 0;
	pid_t pid = 0;
	ssize_t n;
	const char *argv[] = { "sh", "-c", command, NULL };
	struct proc_spec spec = *with;

	CHECK_EQ("pipe", pipe2(p, O_CLOEXEC), 0);
	const struct proc_fd fds[] = { { p[1], 5 }, { p[0], 6 } };

	spec.path = "/bin/sh";
	spec.argv = argv;
	spec.fds = fds;
	spec.nfds = 2;
	CHECK_EQ(command, proc_spawn(&spec, &pid, &pidfd), 0);
	CHECK_EQ("pidfd is close-on-exec", fcntl(pidfd, F_GETFD), FD_CLOEXEC);
	close(p[1]);
	n = read(p[0], out, cap - 1);
	out[n > 0 ? n : 0] = 0;
	close(p[0]);
	close(pidfd);
	waitpid(pid, &status, 0);
	return status;
}

TEST(a_child_gets_what_was_named)
{
	static const char *const env[] = { "A=b", NULL };
	static const struct proc_spec plain, with_env = { .envp = env },
					     group = { .own_group = true };
	char out[4096];

	setenv("CORDON_TEST_SECRET", "x", 1);
	CHECK_EQ("environment", shell("env >&5", &plain, out, sizeof(out)), 0);
	CHECK("clean", !strstr(out, "SECRET") && strstr(out, "PATH="));
	shell("echo $A >&5", &with_env, out, sizeof(out));
	CHECK_STR("given", out, "b\n");
	shell("readlink /proc/self/fd/0 >&5", &plain, out, sizeof(out));
	CHECK_STR("nothing to read", out, "/dev/null\n");
	shell("grep SigBlk /proc/self/status >&5", &plain, out, sizeof(out));
	CHECK("nothing blocked", strstr(out, "0000000000000000") != NULL);
	shell("ps -o pgid= -p $$ | grep -qw $$ && echo own >&5", &group, out, sizeof(out));
	CHECK_STR("group", out, "own\n");
}

TEST(a_child_gets_no_other_descriptor)
{
	static const struct proc_spec plain;
	char out[4096], want[64];
	int null = open("/dev/null", O_RDONLY), n = 0;
	int leak = fcntl(null, F_DUPFD, 20);	/* not close-on-exec */

	/* By exec, without a pipe: the shell has none of its own meanwhile. */
	shell("exec ls /proc/self/fd >&5", &plain, out, sizeof(out));
	snprintf(want, sizeof(want), "\n%d\n", leak);
	CHECK("not the leak", !strstr(out, want));
	for (char *at = out; *at; at++)
		n += *at == '\n';
	CHECK_EQ("0 1 2 5 6, and 3 of ls", n, 6);
	close(leak);
	close(null);
}

/* Targets that are other mappings' sources: both ends of a pipe change places. */
TEST(descriptors_may_change_places)
{
	int p[2], status = 1;
	char command[64], got[8] = "";
	const char *argv[] = { "sh", "-c", command, NULL };
	struct proc_spec s = { .path = "/bin/sh", .argv = argv, .nfds = 2 };
	pid_t pid = -1;

	CHECK_EQ("pipe", pipe2(p, O_CLOEXEC), 0);
	const struct proc_fd fds[] = { { p[1], p[0] }, { p[0], p[1] } };

	s.fds = fds;
	snprintf(command, sizeof(command), "echo hello >&%d", p[0]);
	CHECK_EQ("spawn", proc_spawn(&s, &pid, NULL), 0);
	close(p[1]);
	CHECK_EQ("read", read(p[0], got, sizeof(got) - 1), 6);
	CHECK_STR("what", got, "hello\n");
	waitpid(pid, &status, 0);
	CHECK_EQ("status", status, 0);
	close(p[0]);
}

TEST(exec_failures_are_told)
{
	static const char *const argv[] = { "x", NULL };
	struct proc_spec s = { .path = "/nonexistent/x", .argv = argv };
	static const struct proc_fd bad = { 9999, 3 };
	pid_t pid = -7;
	int pidfd = -7;

	CHECK_EQ("missing", proc_spawn(&s, &pid, &pidfd), -ENOENT);
	s.path = "/etc/passwd";
	CHECK_EQ("not a program", proc_spawn(&s, &pid, &pidfd), -EACCES);
	s.path = "/bin/true";
	s.fds = &bad;
	s.nfds = 1;
	CHECK_EQ("bad descriptor", proc_spawn(&s, &pid, &pidfd), -EBADF);
	s.nfds = 100;
	CHECK_EQ("too many", proc_spawn(&s, &pid, &pidfd), -E2BIG);
	CHECK("nothing came", pid == -7 && pidfd == -7);
	CHECK("no child stays", waitpid(-1, NULL, WNOHANG) < 0 && errno == ECHILD);
}

/* A child that starts a grandchild and dies: the grandchild's pidfd becomes readable. */
TEST(a_child_dies_with_its_parent)
{
	static const char *const argv[] = { "sleep", "60", NULL };
	struct proc_spec s = { .path = "/bin/sleep", .argv = argv, .die_with_parent = true };
	pid_t pid;
	pid_t middle;
	int p[2];

	CHECK_EQ("pipe", pipe(p), 0);
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	middle = fork();
	if (!middle) {
		if (!proc_spawn(&s, &pid, NULL) && write(p[1], &pid, sizeof(pid)) < 0)
			_exit(1);
		raise(SIGKILL);
	}
	CHECK_EQ("pid", read(p[0], &pid, sizeof(pid)), sizeof(pid));
	waitpid(middle, NULL, 0);
	CHECK_EQ("reaped", waitpid(pid, NULL, 0), pid);		/* at once, not after a minute */
	close(p[0]);
	close(p[1]);
}

TEST(program)
{
	char path[4096], small[4];

	CHECK_EQ("beside this one", proc_program("test_proc", path, sizeof(path)), 0);
	CHECK("absolute", path[0] == '/');
	CHECK_EQ("missing", proc_program("no-such-program", path, sizeof(path)), -ENOENT);
	CHECK_EQ("no room", proc_program("test_proc", small, sizeof(small)), -ENOENT);
}

TEST(ready)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	int sock = socket(AF_UNIX, SOCK_DGRAM, 0), p[2];
	char got[16] = "", name[32];

	CHECK_EQ("pipe", pipe(p), 0);
	snprintf(name, sizeof(name), "@cordon-test-%d", (int)getpid());
	memcpy(sun.sun_path + 1, name + 1, strlen(name) - 1);
	CHECK_EQ("bind",
		 bind(sock, (struct sockaddr *)&sun,
		      (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(name))),
		 0);
	setenv("NOTIFY_SOCKET", name, 1);
	proc_ready(p[1]);
	unsetenv("NOTIFY_SOCKET");
	CHECK_EQ("pipe", read(p[0], got, sizeof(got)), 1);
	CHECK_EQ("closed", read(p[0], got, sizeof(got)), 0);
	CHECK_EQ("manager", recv(sock, got, sizeof(got) - 1, MSG_DONTWAIT), 7);
	CHECK_STR("text", got, "READY=1");
	proc_ready(-1);
	close(sock);
	close(p[0]);
}

TEST(directory)
{
	char top[] = "/tmp/cordon-proc-XXXXXX", path[64];
	struct stat st;

	CHECK("dir", mkdtemp(top) != NULL);
	snprintf(path, sizeof(path), "%s/run", top);
	CHECK_EQ("made", proc_mkdir(path, 0711, geteuid(), getegid()), 0);
	CHECK("mode", !stat(path, &st) && (st.st_mode & 07777) == 0711);
	CHECK_EQ("again", proc_mkdir(path, 0750, geteuid(), getegid()), 0);
	CHECK("mode", !stat(path, &st) && (st.st_mode & 07777) == 0750);
	if (geteuid() == 0) {
		CHECK_EQ("chown", chown(path, 12345, 12345), 0);
		CHECK_EQ("somebody else's", proc_mkdir(path, 0700, 0, 0), -EPERM);
		CHECK("open", !chmod(path, 0777));
		CHECK_EQ("others could write", proc_mkdir(path, 0700, 12345, 0), -EPERM);
		CHECK("group", !chmod(path, 0770));
		CHECK_EQ("a group could write", proc_mkdir(path, 0700, 12345, 0), -EPERM);
		CHECK("closed again", !chmod(path, 0700));
		CHECK_EQ("wanted so", proc_mkdir(path, 0700, 12345, 0), 0);
	}
	rmdir(path);
	CHECK_EQ("link", symlink("/tmp", path), 0);
	CHECK("a symlink", proc_mkdir(path, 0700, geteuid(), getegid()) < 0);
	unlink(path);
	CHECK_EQ("no parent", proc_mkdir("/nonexistent/x", 0700, 0, 0), -ENOENT);
	rmdir(top);
}
