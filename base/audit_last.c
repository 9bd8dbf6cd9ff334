/*
 * audit_last.c - the file that a source's audit log was in before the present one
 *
 * Theory of operation: see audit.h. A daemon that is started just after a rotation finds an empty
 * file; the chain goes on from the last line of the file before, which is the one that was written
 * last, whatever it is called.
 */
#include "base/audit_last.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "base/mem.h"

#define SUFFIX ".jsonl"

static void dir_close(DIR *d)
{
	closedir(d);
}
DEFINE_AUTO(dir, DIR *, dir_close)

/* What may stand between: digits and letters of a time, or of a number. */
static bool is_stamp(const char *s, size_t n)
{
	return n > 1 && (s[0] == '-' || s[0] == '.') && s[1] >= '0' && s[1] <= '9' &&
	       strspn(s + 1, "0123456789TZ.-") >= n - 1;
}

bool audit_is_rotated(const char *name, const char *src)
{
	size_t n = strlen(src), end = strlen(SUFFIX), all = strlen(name);

	if (strncmp(name, src, n))
		return false;
	if (!strncmp(name + n, SUFFIX, end))
		return is_stamp(name + n + end, all - n - end);
	return all > n + end && !strcmp(name + all - end, SUFFIX) &&
	       is_stamp(name + n, all - n - end);
}

static bool later(const struct timespec *a, const struct timespec *b)
{
	return a->tv_sec != b->tv_sec ? a->tv_sec > b->tv_sec : a->tv_nsec > b->tv_nsec;
}

int audit_last_open(const char *dir, const char *src)
{
	AUTO(dir) DIR *d = opendir(dir);
	struct timespec newest = { 0 };
	char found[256] = "";
	struct dirent *e;
	struct stat st;
	int fd;

	if (!d)
		return -errno;
	while ((e = readdir(d))) {
		if (!audit_is_rotated(e->d_name, src) ||
		    fstatat(dirfd(d), e->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0 ||
		    !S_ISREG(st.st_mode) || !st.st_size || !later(&st.st_mtim, &newest))
			continue;
		newest = st.st_mtim;
		strcpy(found, e->d_name);
	}
	if (!*found)
		return -ENOENT;
	fd = openat(dirfd(d), found, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
	return fd < 0 ? -errno : fd;
}
