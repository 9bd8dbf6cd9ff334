/*
 * files.c - the folder of one mirror
 *
 * Theory of operation: `about` is three lines of text, host, path and the credential's name, written
 * beside itself and renamed: it is there whole, or not at all.
 */
#define _XOPEN_SOURCE 700	/* nftw(3) */
#include "gitproxy/mirror/files.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <sys/stat.h>

#include "policy/policy.h"

enum { OPEN_FOLDERS = 32, PATH_BYTES = 2048, ABOUT_BYTES = 1024 };

static bool about_path(const char *dir, const char *name, char to[PATH_BYTES])
{
	return snprintf(to, PATH_BYTES, "%s/%s", dir, name) < PATH_BYTES;
}

static bool field(struct rd *r, char *to, size_t cap)
{
	struct rd line;
	struct wr w = wr_of(to, cap - 1);

	if (!rd_until(r, '\n', &line) || !wr_rd_all(&w, line))
		return false;
	to[w.n] = 0;
	return msg_plain_ok(to, cap);
}

int files_about_read(const char *dir, struct files_about *ret)
{
	char path[PATH_BYTES], text[ABOUT_BYTES], name[POLICY_NAME_MAX + 1];
	AUTO(fd) int fd = -1;
	struct rd r;
	ssize_t n;

	*ret = (struct files_about){ 0 };
	if (!about_path(dir, "about", path))
		return -ENAMETOOLONG;
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	n = fd < 0 ? -1 : read(fd, text, sizeof(text));
	if (n < 0)
		return -errno;
	r = rd_of(text, (size_t)n);
	if (!field(&r, ret->host, sizeof(ret->host)) || !field(&r, ret->path, sizeof(ret->path)) ||
	    !field(&r, ret->credential, sizeof(ret->credential)) || rd_left(&r))
		return -EBADMSG;
	return name_canonical(rd_str(ret->host), name) && gp_repo_valid(rd_str(ret->path), true) ? 0 : -EBADMSG;
}

static int write_all(const char *path, const char *text, size_t n)
{
	AUTO(fd) int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);

	if (fd < 0)
		return -errno;
	if (write(fd, text, n) != (ssize_t)n)
		return -EIO;
	return fsync(fd) < 0 ? -errno : 0;
}

int files_about_write(const char *dir, const struct files_about *a)
{
	char path[PATH_BYTES], fresh[PATH_BYTES], text[ABOUT_BYTES];
	struct wr w = wr_of(text, sizeof(text));
	int r;

	wr_fmt(&w, "%s\n%s\n%s\n", a->host, a->path, a->credential);
	if (!wr_ok(&w) || !about_path(dir, "about", path) || !about_path(dir, "about.new", fresh))
		return -ENAMETOOLONG;
	r = write_all(fresh, text, w.n);
	if (!r && rename(fresh, path) < 0)
		r = -errno;
	return r;
}

bool files_marked(const char *dir, const char *mark)
{
	char path[PATH_BYTES];
	struct stat st;

	return !about_path(dir, mark, path) || lstat(path, &st) == 0 || errno != ENOENT;
}

int files_mark(const char *dir, const char *mark, bool on)
{
	char path[PATH_BYTES];
	int r;

	if (!about_path(dir, mark, path))
		return -ENAMETOOLONG;
	if (!on)
		return unlink(path) < 0 && errno != ENOENT ? -errno : 0;
	r = write_all(path, "", 0);
	if (r < 0 && about_path(dir, "about", path))
		unlink(path);
	return r;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
	(void)st, (void)type, (void)at;
	return remove(path) < 0 && errno != ENOENT ? -1 : 0;
}

int files_remove(const char *dir)
{
	if (nftw(dir, remove_one, OPEN_FOLDERS, FTW_DEPTH | FTW_PHYS) < 0 && errno != ENOENT)
		return -errno;
	return 0;
}

static int unlock_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
	const char *dot = strrchr(path, '.');

	(void)st, (void)at;
	if (strstr(path, "/repo.git/objects/"))
		return 0;			/* maintenance may hold them */
	return type == FTW_F && dot && !strcmp(dot, ".lock") && unlink(path) < 0 && errno != ENOENT ? -1 : 0;
}

int files_unlock(const char *git)
{
	return nftw(git, unlock_one, OPEN_FOLDERS, FTW_PHYS) < 0 ? -errno : 0;
}

static _Thread_local uint64_t bytes;

static int count_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
	(void)path, (void)at;
	if (type == FTW_F)
		bytes += (uint64_t)st->st_blocks * 512;
	return 0;
}

uint64_t files_bytes(const char *dir)
{
	bytes = 0;
	nftw(dir, count_one, OPEN_FOLDERS, FTW_PHYS);
	return bytes;
}

int64_t files_time(const char *dir, const char *name)
{
	char path[PATH_BYTES];
	struct stat st;

	return about_path(dir, name, path) && !lstat(path, &st) ? st.st_mtim.tv_sec : 0;
}

void files_touch(const char *dir, const char *name)
{
	char path[PATH_BYTES];
	AUTO(fd) int fd = -1;

	if (!about_path(dir, name, path))
		return;
	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd >= 0)
		futimens(fd, NULL);		/* only lists and what is evicted first depend on it */
}

static bool unfinished(const char *name)
{
	size_t n = strlen(name);

	return !strncmp(name, "tmp_", 4) || !strncmp(name, ".tmp-", 5) || (n > 5 && !strcmp(name + n - 5, ".lock"));
}

static int sweep_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
	if (!strstr(path, "/repo.git/objects/"))
		return unlock_one(path, st, type, at);
	return type == FTW_F && unfinished(path + at->base) && unlink(path) < 0 && errno != ENOENT ? -1 : 0;
}

int files_sweep(const char *git)
{
	return nftw(git, sweep_one, OPEN_FOLDERS, FTW_PHYS) < 0 ? -errno : 0;
}
