/*
 * secret_file.c - a file that holds a secret of the host, and who may read it
 *
 * Theory of operation: the file is judged by its open descriptor, so that what was judged is what
 * is read, whatever happens to the path. Its owner must be the user that uses it: root's alone
 * could not be read anew after rights are gone, and a group would share it, for the group of the
 * daemons is one, and the front that reads hostile bytes is in it. A link is refused: where it
 * leads may be somebody else's to choose. Not handled: access lists that open a file further than
 * its mode shows cannot exist (their mask is the group's bits).
 */
#include "policy/secret_file.h"

#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/mem.h"

enum { READ_TRIES = 3 };

struct secret_owner secret_owner_of(uid_t uid, gid_t gid)
{
	struct secret_owner o = { .uid = uid, .gid = gid };
	const struct passwd *pw = getpwuid(uid);

	snprintf(o.name, sizeof(o.name), "%u", (unsigned)uid);
	if (pw && strlen(pw->pw_name) < sizeof(o.name))
		snprintf(o.name, sizeof(o.name), "%s", pw->pw_name);
	return o;
}

static int say_mend(const char *what, const char *path, const struct secret_owner *o, char *why)
{
	snprintf(why, SECRET_WHY, "%s; run: chown %s %.160s && chmod 0400 %.160s", what, o->name,
		 path, path);
	return -EPERM;
}

static int file_judge(int fd, const char *path, const struct secret_owner *o, char *why)
{
	char what[128];
	struct stat st;

	if (fstat(fd, &st) < 0) {
		snprintf(why, SECRET_WHY, "%s", strerror(errno));
		return -errno;
	}
	if (!S_ISREG(st.st_mode)) {
		snprintf(why, SECRET_WHY, "is not a plain file");
		return -EINVAL;
	}
	if (st.st_mode & 077) {
		snprintf(what, sizeof(what), "is open to others (mode %04o)", st.st_mode & 07777);
		return say_mend(what, path, o, why);
	}
	if (st.st_uid != o->uid) {
		snprintf(what, sizeof(what), "belongs to user %u, not to %s", st.st_uid, o->name);
		return say_mend(what, path, o, why);
	}
	return 0;
}

int secret_file_open(const char *path, const struct secret_owner *o, int *ret_fd,
		     char ret_why[SECRET_WHY])
{
	AUTO(fd) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
	int r = fd < 0 ? -errno : 0;

	if (r == -ELOOP)
		snprintf(ret_why, SECRET_WHY, "is a symbolic link; name the file itself");
	else if (r == -EACCES)
		say_mend("cannot be read by us", path, o, ret_why);
	else if (r)
		snprintf(ret_why, SECRET_WHY, "%s", strerror(-r));
	else
		r = file_judge(fd, path, o, ret_why);
	if (!r)
		*ret_fd = STEAL_FD(fd);
	return r;
}

static bool may_pass(const struct stat *st, const struct secret_owner *o)
{
	if (st->st_uid == o->uid)
		return st->st_mode & S_IXUSR;
	return st->st_mode & (st->st_gid == o->gid ? S_IXGRP : S_IXOTH);
}

int secret_file_reach(const char *path, const struct secret_owner *o, char ret_why[SECRET_WHY])
{
	AUTO(mem) char *dir = strdup(path);
	struct stat st;
	char *slash;

	if (!dir)
		return -ENOMEM;
	while ((slash = strrchr(dir, '/')) && slash != dir) {
		*slash = '\0';
		if (stat(dir, &st) < 0)
			return -errno;
		if (may_pass(&st, o))
			continue;
		snprintf(ret_why, SECRET_WHY,
			 "cannot be reached by %s through %.160s; run: chown %s %.160s", o->name,
			 dir, o->name, dir);
		return -EACCES;
	}
	return 0;
}

static bool text_ok(const char *p, size_t n, bool lines)
{
	for (size_t i = 0; i < n; i++)
		if ((unsigned char)p[i] < ' ' ? !lines || !strchr("\r\n", p[i]) || !p[i]
					      : p[i] == 0x7f)
			return false;
	return true;
}

static ssize_t read_once(int fd, char *to, size_t cap, struct timespec *ret_changed)
{
	ssize_t n = pread(fd, to, cap, 0);
	struct stat st;

	if (n < 0 || fstat(fd, &st) < 0)
		return -errno;
	*ret_changed = st.st_mtim;
	return (size_t)st.st_size == (size_t)n ? n : (size_t)n == cap ? -EFBIG : -EAGAIN;
}

/* Between two looks at its time nobody wrote. */
static ssize_t read_quiet(int fd, char *to, size_t cap)
{
	struct timespec before, after;
	ssize_t n = read_once(fd, to, cap, &before);

	for (int i = 0; i < READ_TRIES && (n >= 0 || n == -EAGAIN); i++) {
		n = read_once(fd, to, cap, &after);
		if (n >= 0 && before.tv_sec == after.tv_sec && before.tv_nsec == after.tv_nsec)
			return n;
		before = after;
	}
	return n < 0 ? n : -EAGAIN;
}

int secret_file_read(int fd, bool lines, size_t least, char *to, size_t cap, size_t *ret_n,
		     char ret_why[SECRET_WHY])
{
	ssize_t n = read_quiet(fd, to, cap);

	if (n < 0) {
		snprintf(ret_why, SECRET_WHY, "%s",
			 n == -EFBIG	? "is too long for a secret of its kind"
			 : n == -EAGAIN ? "changes while it is read"
					: strerror((int)-n));
		return (int)n;
	}
	if (n && to[n - 1] == '\n')
		n--;
	if (n && to[n - 1] == '\r' && !lines)
		n--;
	*ret_n = (size_t)n;
	if ((size_t)n < least || !text_ok(to, (size_t)n, lines)) {
		snprintf(ret_why, SECRET_WHY, "%s",
			 (size_t)n < least ? "is too short for a secret"
					   : "holds control characters or more than one line");
		return -EINVAL;
	}
	return 0;
}
