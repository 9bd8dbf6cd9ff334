/*
 * spool_files.c - the files of the spool
 *
 * Theory of operation: one flat directory, always by its descriptor. A name is two digests in
 * hexadecimal, made here and from nothing else, so no peer can choose one. A file is written under
 * a name of its own and renamed when it is complete; so what has such a name at start was left
 * unfinished, and goes. A finished file that is not ours alone goes too. Names of other forms are
 * left alone. Files hold the answer's bytes and nothing else, for sendfile().
 */
#include "gitproxy/mirror/spool_files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#define UNFINISHED "new-"

static bool write_hex(struct wr *w, const uint8_t id[SPOOL_ID])
{
	struct oid oid;

	_Static_assert(sizeof(oid.byte) == SPOOL_ID, "a digest is as long as a SHA-256 id");
	memcpy(oid.byte, id, SPOOL_ID);
	return oid_write(w, &oid, OBJECT_SHA256);
}

void spool_name(const struct spool_key *key, char ret[SPOOL_NAME])
{
	struct wr w = wr_of(ret, SPOOL_NAME);

	if (!write_hex(&w, key->domain) || !wr_u8(&w, '.') || !write_hex(&w, key->request) ||
	    !wr_u8(&w, 0))
		abort();
}

void spool_name_unfinished(uint64_t number, char ret[SPOOL_NAME])
{
	snprintf(ret, SPOOL_NAME, UNFINISHED "%016llx", (unsigned long long)number);
}

/* The reverse of spool_name(): a name that it would not make is none. */
static bool name_parse(const char *name, struct spool_key *ret)
{
	struct rd all = rd_str(name), domain;
	char again[SPOOL_NAME];
	struct oid oid;

	if (!rd_until(&all, '.', &domain) || !oid_parse(domain, OBJECT_SHA256, &oid))
		return false;
	memcpy(ret->domain, oid.byte, SPOOL_ID);
	if (!oid_parse(all, OBJECT_SHA256, &oid))
		return false;
	memcpy(ret->request, oid.byte, SPOOL_ID);
	spool_name(ret, again);
	return !strcmp(name, again);
}

int spool_file_create(int dir_fd, const char *name, int *ret_fd)
{
	int fd = openat(dir_fd, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);

	if (fd < 0)
		return -errno;
	*ret_fd = fd;
	return 0;
}

static bool file_ok(const struct stat *st)
{
	return S_ISREG(st->st_mode) && st->st_uid == geteuid() && st->st_nlink == 1 &&
	       !(st->st_mode & 077) && st->st_size > 0;
}

int spool_file_read(int dir_fd, const char *name, uint64_t min_size, int *ret_fd)
{
	AUTO(fd) int fd = openat(dir_fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	struct stat st;

	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode) || (uint64_t)st.st_size < min_size)
		return -ESTALE;
	*ret_fd = STEAL_FD(fd);
	return 0;
}

static int found_compare(const void *a, const void *b)
{
	const struct spool_found *x = a, *y = b;

	return (x->used > y->used) - (x->used < y->used);
}

/* True, and what it is: a finished answer. What is not, but has the form of ours, is removed. */
static bool look_at(int dir_fd, const char *name, struct spool_found *ret)
{
	bool unfinished = !strncmp(name, UNFINISHED, sizeof(UNFINISHED) - 1);
	struct stat st;

	if (!unfinished && !name_parse(name, &ret->key))
		return false;
	if (!unfinished && fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && file_ok(&st)) {
		ret->size = (uint64_t)st.st_size;
		ret->used = (int64_t)st.st_mtim.tv_sec * 1000 + st.st_mtim.tv_nsec / 1000000;
		return true;
	}
	unlinkat(dir_fd, name, 0);
	return false;
}

static int scan(DIR *dir, struct spool_found **list, size_t *n)
{
	size_t cap = 0;

	for (;;) {
		struct spool_found found, *more;
		struct dirent *e;

		errno = 0;
		e = readdir(dir);
		if (!e)
			return -errno;
		if (!look_at(dirfd(dir), e->d_name, &found))
			continue;
		if (*n == cap) {
			cap = cap ? 2 * cap : 64;
			more = reallocarray(*list, cap, sizeof(found));
			if (!more)
				return -ENOMEM;
			*list = more;
		}
		(*list)[(*n)++] = found;
	}
}

int spool_files_scan(int dir_fd, struct spool_found **ret, size_t *ret_n)
{
	AUTO(fd) int fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	AUTO(mem) struct spool_found *list = NULL;
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	size_t n = 0;
	int r;

	if (!dir)
		return -errno;
	(void)STEAL_FD(fd);				/* closedir() closes it */
	r = scan(dir, &list, &n);
	closedir(dir);
	if (r < 0)
		return r;
	if (n)
		qsort(list, n, sizeof(*list), found_compare);
	*ret = STEAL(list);
	*ret_n = n;
	return 0;
}
