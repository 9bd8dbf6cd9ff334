/*
 * rotate.c - the audit log goes on in new files
 *
 * Theory of operation: daemons cannot rename or make files, root can. A file is renamed, so its
 * daemon goes on writing to it under the new name; then an empty one is made in its place, for its
 * owner, and the descriptors of all that were made go to netd, which hands them out and replies
 * when every part has changed over (netd/rotate.c). So no line is lost or written twice, whatever
 * fails in between: what could not be handed over is in the renamed file, and a daemon that starts
 * finds the new one and continues the chain. RUN/up.lock is not taken: two rotations at once rename
 * different files.
 */
#include "cli/rotate.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "base/proc.h"
#include "cli/cli.h"
#include "cli/client.h"

static const enum proc_role sources[] = { ROLE_NETD, ROLE_DNS, ROLE_GITPROXY, ROLE_KEEPER };
enum { SOURCES = ARRAY_SIZE(sources) };
_Static_assert((int)SOURCES <= (int)IPC_FDS_MAX, "one message takes them all");

struct rotation {
	const struct host_config *config;
	int dir;
	int fd[SOURCES];
	size_t n;		/* descriptors */
	struct msg_rotate m;
	bool say;
};

static void rotation_done(struct rotation *r)
{
	for (size_t i = 0; i < r->n; i++)
		close(r->fd[i]);
	if (r->dir >= 0)
		close(r->dir);
}

static int rotation_begin(struct rotation *r, const struct host_config *c, bool say)
{
	*r = (struct rotation){ .config = c, .say = say };
	r->dir = open(c->log_dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return r->dir < 0 ? cli_fail("log: %s: %s", c->log_dir, strerror(errno)) : EXIT_DONE;
}

/* As audit_open() makes it. Left as it is when it is there already. */
static int file_make(int dir, const char *name, uid_t uid)
{
	AUTO(fd) int fd = openat(dir, name,
				 O_RDWR | O_APPEND | O_CREAT | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK,
				 0600);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode) || st.st_nlink != 1)
		return -EPERM;
	if (fchown(fd, uid, proc_group()) < 0 || fchmod(fd, 0640) < 0)
		return -errno;
	return STEAL_FD(fd);
}

static int file_add(struct rotation *r, enum proc_role role, const char *name)
{
	int fd = file_make(r->dir, name, proc_role_uid(role));

	if (fd < 0)
		return cli_fail("log: %s/%s: %s", r->config->log_dir, name, strerror(-fd));
	r->fd[r->n++] = fd;
	r->m.roles |= 1u << role;
	return EXIT_DONE;
}

/* SRC-20261122T092351.123Z.jsonl: sorted by name is sorted by time. */
static void stamped(char *out, size_t cap, const char *src)
{
	struct timespec ts;
	struct tm tm;
	char when[32];

	clock_gettime(CLOCK_REALTIME, &ts);
	gmtime_r(&ts.tv_sec, &tm);
	strftime(when, sizeof(when), "%Y%m%dT%H%M%S", &tm);
	snprintf(out, cap, "%s-%s.%03ldZ.jsonl", src, when, ts.tv_nsec / 1000000);
}

static int file_rotate(struct rotation *r, enum proc_role role, long long larger)
{
	const char *src = proc_role_name(role);
	char name[32], old[96];
	struct stat st;

	snprintf(name, sizeof(name), "%s.jsonl", src);
	if (fstatat(r->dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISREG(st.st_mode) ||
	    !st.st_size || st.st_size < larger)
		return EXIT_DONE;
	stamped(old, sizeof(old), src);
	if (renameat2(r->dir, name, r->dir, old, RENAME_NOREPLACE) < 0)
		return cli_fail("log: %s/%s: %s", r->config->log_dir, old, strerror(errno));
	if (r->say)
		printf("%s/%s\n", r->config->log_dir, old);
	return file_add(r, role, name);
}

/* 0 or -errno; netd's refusal is printed. */
static int hand_over(struct rotation *r)
{
	AUTO(fd) int fd = client_open(r->config);
	struct client_reply got = { 0 };
	int e;

	if (fd < 0)
		return fd;
	e = ipc_send(fd, MSG_ROTATE, 1, &r->m, sizeof(r->m), r->fd, r->n);
	if (!e)
		e = client_receive(fd, &got);
	if (!e && got.reply.code < 0) {
		cli_warn("log: %s", got.reply.text);
		e = got.reply.code;
	}
	client_reply_done(&got);
	return e;
}

static int finish(struct rotation *r, int status)
{
	int e = r->n ? hand_over(r) : 0;

	if (e == -ENOENT || e == -ECONNREFUSED)
		cli_warn("log: netd does not run: daemons change over when they start");
	else if (e < 0)
		status = cli_fail("log: the daemons were not told: %s: see cordon status",
				  strerror(-e));
	rotation_done(r);
	return status;
}

int rotate_files(const struct host_config *c, long long larger, bool say)
{
	struct rotation r;
	int status = rotation_begin(&r, c, say);

	for (size_t i = 0; i < SOURCES && status == EXIT_DONE; i++)
		status = file_rotate(&r, sources[i], larger);
	return finish(&r, status);
}

int rotate_reopen(const struct host_config *c)
{
	struct rotation r;
	int status = rotation_begin(&r, c, false);

	for (size_t i = 0; i < SOURCES && status == EXIT_DONE; i++) {
		char name[32];

		snprintf(name, sizeof(name), "%s.jsonl", proc_role_name(sources[i]));
		status = file_add(&r, sources[i], name);
	}
	return finish(&r, status);
}

bool rotate_size(const char *text, long long *ret)
{
	static const struct {
		const char *unit;
		int shift;
	} units[] = { { "", 0 }, { "KiB", 10 }, { "MiB", 20 }, { "GiB", 30 } };
	char *end;

	errno = 0;
	*ret = strtoll(text, &end, 10);
	if (*text < '0' || *text > '9' || errno || *ret > 1ll << 32)
		return false;
	for (size_t i = 0; i < ARRAY_SIZE(units); i++)
		if (!strcmp(end, units[i].unit)) {
			*ret <<= units[i].shift;
			return true;
		}
	return false;
}
