/*
 * test_landlock.c - what is left to a process that confined itself
 *
 * Each row is a forked child, since there is no way back. Sanitized builds may read everything (see
 * landlock.c), so reading is tried in others only. A kernel that lacks a part passes its rows.
 */
#include "tests/unit/check.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <seccomp.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "base/landlock.h"

enum { FILES = 1, TCP = 4, SCOPES = 6 };	/* versions that know them */

static char dir[64], inside[96], outside[96];
static uint16_t port, other_port;
static int listener[2];

static int can_write(const char *path)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	return fd < 0 ? errno : 0;
}

static int can_connect(uint16_t to)
{
	struct sockaddr_in sa = { .sin_family = AF_INET, .sin_port = htons(to) };
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	sa.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	return connect(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0 ? errno : 0;
}

static int can_bind(void)
{
	struct sockaddr_in sa = { .sin_family = AF_INET };
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	return bind(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0 ? errno : 0;
}

static int writes_inside(void) { return can_write(inside); }
static int writes_outside(void) { return can_write(outside); }
static int makes_a_file(void)
{
	char path[128];

	snprintf(path, sizeof(path), "%s.new", inside);
	return can_write(path);
}
static int removes(void) { return unlink(inside) < 0 ? errno : 0; }
static int dials_named(void) { return can_connect(port); }
static int dials_other(void) { return can_connect(other_port); }
static int signals_parent(void) { return kill(getppid(), 0) < 0 ? errno : 0; }

static const struct {
	const char *what;
	int version;
	bool named;		/* rules that name `inside`, `port` and signals; else none at all */
	int (*fn)(void);
	int want;
} cases[] = {
	{ "a named file is written", FILES, true, writes_inside, 0 },
	{ "another is not", FILES, true, writes_outside, EACCES },
	{ "none is named", FILES, false, writes_inside, EACCES },
	{ "writing is not making", FILES, true, makes_a_file, EACCES },
	{ "nor removing", FILES, true, removes, EACCES },
	{ "a named port", TCP, true, dials_named, 0 },
	{ "another port", TCP, true, dials_other, EACCES },
	{ "no port", TCP, false, dials_named, EACCES },
	{ "nobody listens", TCP, true, can_bind, EACCES },
	{ "signals", SCOPES, true, signals_parent, 0 },
	{ "no signals", SCOPES, false, signals_parent, EPERM },
};

static void listen_on(int i, uint16_t *ret_port)
{
	struct sockaddr_in sa = { .sin_family = AF_INET };
	socklen_t n = sizeof(sa);

	sa.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	listener[i] = socket(AF_INET, SOCK_STREAM, 0);
	CHECK("listen", !bind(listener[i], (struct sockaddr *)&sa, sizeof(sa)) &&
				!listen(listener[i], 8) &&
				!getsockname(listener[i], (struct sockaddr *)&sa, &n));
	*ret_port = ntohs(sa.sin_port);
}

static void setup(void)
{
	strcpy(dir, "/tmp/cordon-landlock-XXXXXX");
	CHECK("dir", mkdtemp(dir) != NULL);
	snprintf(inside, sizeof(inside), "%s/inside", dir);
	snprintf(outside, sizeof(outside), "%s/outside", dir);
	CHECK("files", !can_write(inside) && !can_write(outside));
	listen_on(0, &port);
	listen_on(1, &other_port);
}

static void teardown(void)
{
	unlink(inside);
	unlink(outside);
	rmdir(dir);
	close(listener[0]);
	close(listener[1]);
}

static int confined(bool named, int (*fn)(void))
{
	const struct landlock_path paths[] = { { inside, LANDLOCK_READ | LANDLOCK_WRITE, "" },
					       { "/nowhere/at/all", LANDLOCK_READ, "skipped" },
					       { NULL, 0, NULL } };
	const uint16_t ports[] = { port, 0 };
	const struct landlock_spec some = { .paths = paths, .tcp_ports = ports, .signals = true };
	const struct landlock_spec none = { 0 };

	return landlock_confine(named ? &some : &none) < 0 ? 255 : fn();
}

TEST(landlock)
{
	setup();
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		pid_t pid;
		int status = -1;

		if (landlock_version() < cases[i].version)
			continue;
		pid = fork();
		if (!pid)
			_exit(confined(cases[i].named, cases[i].fn));
		CHECK_EQ(cases[i].what, waitpid(pid, &status, 0), pid);
		CHECK_EQ(cases[i].what, WIFEXITED(status) ? WEXITSTATUS(status) : -1, cases[i].want);
	}
	teardown();
}

/* As on a kernel that was built or booted without it. */
static int without_landlock(void)
{
	scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_ALLOW);

	if (!ctx || seccomp_rule_add(ctx, SCMP_ACT_ERRNO(EOPNOTSUPP), SYS_landlock_create_ruleset, 0) ||
	    seccomp_load(ctx))
		return 255;
	seccomp_release(ctx);
	return landlock_version() ? 254 : confined(false, writes_inside);
}

TEST(a_kernel_without_landlock_is_no_error)
{
	int ends[2], status = -1;
	char said[512] = "";
	ssize_t n;
	pid_t pid;

	setup();
	CHECK_EQ("pipe", pipe(ends), 0);
	pid = fork();
	if (!pid) {
		dup2(ends[1], 2);
		_exit(without_landlock());
	}
	close(ends[1]);
	CHECK_EQ("wait", waitpid(pid, &status, 0), pid);
	CHECK_EQ("goes on", WIFEXITED(status) ? WEXITSTATUS(status) : -1, 0);
	n = read(ends[0], said, sizeof(said) - 1);
	close(ends[0]);
	CHECK("and says so", n > 0 && strstr(said, "event=landlock_missing"));
	teardown();
}
