/*
 * file.c - read a configuration file
 *
 * Theory of operation: opened without blocking and checked to be a regular file, so that a FIFO or
 * device at the path cannot hang a daemon; read to its end or to the limit, since a file may grow
 * while it is read.
 */
#include "policy/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int file_fill(int fd, char *to, size_t cap, size_t *ret_n)
{
	while (*ret_n < cap) {
		ssize_t got = read(fd, to + *ret_n, cap - *ret_n);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return -errno;
		if (!got)
			return 0;
		*ret_n += (size_t)got;
	}
	return -EFBIG;
}

static int file_get(const char *path, size_t max, char **ret_text, size_t *ret_n)
{
	AUTO(fd) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	AUTO(mem) char *text = NULL;
	struct stat st;
	size_t cap, n = 0;
	int err;

	if (fd < 0 || fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return S_ISDIR(st.st_mode) ? -EISDIR : -EINVAL;
	if ((size_t)st.st_size > max)
		return -EFBIG;
	cap = (size_t)st.st_size + 4096;
	text = malloc(cap + 1);
	if (!text)
		return -ENOMEM;
	err = file_fill(fd, text, cap, &n);
	if (err)
		return err;
	text[n] = 0;
	*ret_text = STEAL(text);
	*ret_n = n;
	return 0;
}

int file_read(const char *path, size_t max, struct diag *d, char **ret_text, size_t *ret_n)
{
	int err = file_get(path, max, ret_text, ret_n);

	if (err)
		diag_error(d, path, 0, 0, "cannot be read: %s", strerror(-err));
	return err;
}
