/*
 * test_confine.c - what a confined process must still be able to do
 *
 * The filters end the process, so each row is a child that confines itself, works, and exits.
 */
#include "tests/unit/check.h"

#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/audit.h"
#include "gitproxy/front/confine.h"
#include "gitproxy/keeper/confine.h"

static int confine_keeper(void)
{
	static const struct host_config c = { .dns_upstream_port = 53 };

	return keeper_confine(&c);
}

static const struct {
	const char *what;
	int (*confine)(void);
} parts[] = {
	{ "front", front_confine },
	{ "keeper", confine_keeper },
};

static int put(struct audit *a)
{
	struct audit_head h = { .event = "daemon" };
	struct audit_line l;

	audit_begin(&l, &h);
	return audit_put(a, &l);
}

/* The disk is full in the middle of a line: it is taken back, and the process goes on. */
static void write_half_a_line(const char *dir, int (*confine)(void))
{
	struct rlimit limit = { .rlim_cur = 100, .rlim_max = RLIM_INFINITY };
	struct audit *a;

	signal(SIGXFSZ, SIG_IGN);
	if (audit_open(dir, "t", geteuid(), getegid(), &a) < 0 ||
	    setrlimit(RLIMIT_FSIZE, &limit) < 0 || confine() < 0)
		_exit(1);
	_exit(put(a) < 0 ? 0 : 2);
}

TEST(a_torn_audit_line_is_taken_back)
{
	for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
		char dir[] = "/tmp/cordon-confine-XXXXXX", file[sizeof(dir) + 16];
		int status = -1;
		struct stat st;
		pid_t pid;

		CHECK("dir", mkdtemp(dir) != NULL);
		snprintf(file, sizeof(file), "%s/t.jsonl", dir);
		pid = fork();
		if (!pid)
			write_half_a_line(dir, parts[i].confine);
		CHECK_EQ(parts[i].what, waitpid(pid, &status, 0), pid);
		CHECK_EQ(parts[i].what, status, 0);
		CHECK(parts[i].what, !stat(file, &st) && st.st_size == 0);
		unlink(file);
		rmdir(dir);
	}
}
