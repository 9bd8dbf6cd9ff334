/*
 * test_gate_confine.c - what the judge of one push cannot reach
 *
 * The filters end the process, so each row is a child that confines itself, tries, and says what came of it.
 */
#include "tests/unit/check.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "base/landlock.h"
#include "gitproxy/gate/confine.h"

static char top[] = "/tmp/cordon-gate-XXXXXX";

static const char *at(const char *name)
{
	static char path[4][128];
	static unsigned turn;
	char *to = path[turn++ % 4];

	snprintf(to, sizeof(path[0]), "%s/%s", top, name);
	return to;
}

static int opens(const char *name, int flags)
{
	int fd = open(at(name), flags, 0600);

	return fd < 0 ? errno : 0;
}

static int read_mirror(void) { return opens("mirror/file", O_RDONLY); }
static int write_mirror(void) { return opens("mirror/file", O_RDWR); }
static int make_in_mirror(void) { return opens("mirror/new", O_WRONLY | O_CREAT); }
static int read_other_mirror(void) { return opens("other/file", O_RDONLY); }
static int write_quarantine(void) { return opens("quarantine/new", O_RDWR | O_CREAT); }
static int read_other_quarantine(void) { return opens("quarantine2/file", O_RDONLY); }
static int make_in_other_quarantine(void) { return opens("quarantine2/new", O_WRONLY | O_CREAT); }
static int list_all(void) { return opens("", O_RDONLY | O_DIRECTORY); }
static int read_etc(void) { return open("/etc/passwd", O_RDONLY) < 0 ? errno : 0; }
static int make_socket(void) { return socket(AF_UNIX, SOCK_STREAM, 0) < 0 ? errno : 0; }
static int look_at_others(void) { return kill(getppid(), 0) < 0 ? errno : 0; }
static int run_program(void) { return execl("/bin/true", "true", NULL) < 0 ? errno : 0; }
static int trace(void) { return unlink(at("quarantine/file")) < 0 ? errno : 0; }

static int make_process(void)
{
	pid_t pid = fork();

	if (!pid)
		_exit(0);
	return pid < 0 ? errno : 0;
}

static int make_process_with_its_memory(void)
{
	pid_t pid = (pid_t)syscall(SYS_clone, CLONE_VM | CLONE_VFORK | SIGCHLD, NULL, NULL, NULL, NULL);

	if (!pid)
		_exit(0);
	return pid < 0 ? errno : 0;
}

static int make_thread_elsewhere(void)
{
	return syscall(SYS_clone, CLONE_THREAD | CLONE_SIGHAND | CLONE_VM | CLONE_NEWNET, NULL, NULL, NULL, NULL) < 0 ? errno : 0;
}

static int clone_by_memory(void)
{
	struct clone_args a = { .exit_signal = SIGCHLD };

	return syscall(SYS_clone3, &a, sizeof(a)) < 0 ? errno : 0;
}

static void *end_at_once(void *arg)
{
	return arg;
}

static int make_thread(void)
{
	pthread_t thread;
	int r = pthread_create(&thread, NULL, end_at_once, NULL);

	return r ? r : pthread_join(thread, NULL);
}

static int long_file(void)
{
	int fd = open(at("quarantine/long"), O_RDWR | O_CREAT, 0600);

	return fd < 0 || lseek(fd, (off_t)1 << 40, SEEK_SET) < 0 || write(fd, "x", 1) < 0 ? errno : 0;
}

static int much_memory(void)
{
	return mmap(NULL, (size_t)8 << 30, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED ? errno : 0;
}

#ifdef __SANITIZE_ADDRESS__
enum { SANITIZED = 1 };			/* the run-time may read all files, and memory is not bounded */
#else
enum { SANITIZED = 0 };
#endif
enum { KILLED = 1000 };
enum { LANDLOCK = 1, PLAIN = 2 };	/* needs a kernel that has it; only where nothing is sanitized */
static const struct {
	const char *what;
	int (*try)(void);
	int want;			/* errno, or KILLED + signal */
	unsigned needs;
} rows[] = {
	{ "its mirror, to read", read_mirror, 0, 0 },
	{ "its mirror, to write", write_mirror, EACCES, LANDLOCK },
	{ "its mirror, a new file", make_in_mirror, EACCES, LANDLOCK },
	{ "another mirror", read_other_mirror, EACCES, LANDLOCK | PLAIN },
	{ "its quarantine", write_quarantine, 0, 0 },
	{ "another quarantine", read_other_quarantine, EACCES, LANDLOCK | PLAIN },
	{ "another quarantine, a new file", make_in_other_quarantine, EACCES, LANDLOCK },
	{ "what mirrors there are", list_all, EACCES, LANDLOCK | PLAIN },
	{ "the host's files", read_etc, EACCES, LANDLOCK | PLAIN },
	{ "a socket", make_socket, KILLED + SIGSYS, 0 },
	{ "another process", look_at_others, KILLED + SIGSYS, 0 },
	{ "a program", run_program, KILLED + SIGSYS, 0 },
	{ "a system call that it does not need", trace, KILLED + SIGSYS, 0 },
	{ "a process", make_process, KILLED + SIGSYS, PLAIN },
	{ "a process with its memory", make_process_with_its_memory, KILLED + SIGSYS, PLAIN },
	{ "a thread in another network", make_thread_elsewhere, KILLED + SIGSYS, PLAIN },
	{ "clone3, whose flags cannot be seen", clone_by_memory, ENOSYS, 0 },
	{ "a thread", make_thread, 0, 0 },
	{ "a file without end", long_file, KILLED + SIGXFSZ, 0 },
	{ "memory without end", much_memory, ENOMEM, PLAIN },
};

static void make(const char *name, bool folder)
{
	int fd = folder ? mkdir(at(name), 0700) : open(at(name), O_CREAT | O_WRONLY, 0600);

	CHECK(name, fd >= 0);
	if (!folder)
		close(fd);
}

static int outcome(int (*try)(void))
{
	int status = 0;
	pid_t pid = fork();

	if (!pid) {
		struct gate_judge q = { .max_objects = 1 };
		int quarantine = open(at("quarantine"), O_RDONLY | O_DIRECTORY);

		snprintf(q.repository, sizeof(q.repository), "%s", at("mirror"));
		if (quarantine < 0 || gate_confine(&q, quarantine, -1) < 0)
			_exit(255);
		_exit(try());
	}
	if (waitpid(pid, &status, 0) != pid)
		return -1;
	return WIFSIGNALED(status) ? KILLED + WTERMSIG(status) : WEXITSTATUS(status);
}

TEST(a_judge_reaches_its_own_push_alone)
{
	static const char *const folders[] = { "mirror", "other", "quarantine", "quarantine2" };
	char command[128];

	CHECK("folder", mkdtemp(top) != NULL);
	for (size_t i = 0; i < ARRAY_SIZE(folders); i++) {
		char file[64];

		make(folders[i], true);
		snprintf(file, sizeof(file), "%s/file", folders[i]);
		make(file, false);
	}
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		if ((rows[i].needs & LANDLOCK && !landlock_version()) || (rows[i].needs & PLAIN && SANITIZED))
			continue;
		CHECK_EQ(rows[i].what, outcome(rows[i].try), rows[i].want);
	}
	snprintf(command, sizeof(command), "rm -rf %s", top);
	CHECK_EQ("removed", system(command), 0);
}
