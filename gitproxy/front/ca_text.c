/*
 * ca_text.c - what guests must trust, as http://cordon.internal/ca.pem gives it
 *
 * Theory of operation: kept in memory, since the front can open no file once it serves. It is read
 * before that; when the CA is renewed netd passes a descriptor. Certificates are public and written
 * by root; they are not looked into.
 */
#include "gitproxy/front/ca_text.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <string.h>

#include "base/mem.h"

struct ca_text {
	pthread_mutex_t lock;
	size_t n;
	char text[CA_TEXT_MAX];
};

int ca_text_replace(struct ca_text *t, int fd)
{
	AUTO(mem) char *text = malloc(CA_TEXT_MAX + 1);
	ssize_t got = 1;
	size_t n = 0;

	if (!text)
		return -ENOMEM;
	while (got > 0 && n <= CA_TEXT_MAX) {
		got = pread(fd, text + n, CA_TEXT_MAX + 1 - n, (off_t)n);
		n += got > 0 ? (size_t)got : 0;
	}
	if (got < 0 || !n || n > CA_TEXT_MAX)
		return got < 0 ? -errno : n ? -EFBIG : -ENODATA;
	pthread_mutex_lock(&t->lock);
	memcpy(t->text, text, n);
	t->n = n;
	pthread_mutex_unlock(&t->lock);
	return 0;
}

int ca_text_new(const char *path, struct ca_text **ret)
{
	AUTO(fd) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	AUTO(mem) struct ca_text *t = calloc(1, sizeof(*t));
	int r;

	if (fd < 0)
		return -errno;
	if (!t)
		return -ENOMEM;
	pthread_mutex_init(&t->lock, NULL);
	r = ca_text_replace(t, fd);
	if (r < 0)
		return r;
	*ret = STEAL(t);
	return 0;
}

int ca_text_write(struct ca_text *t, FILE *to)
{
	size_t n;

	pthread_mutex_lock(&t->lock);
	n = fwrite(t->text, 1, t->n, to);
	pthread_mutex_unlock(&t->lock);
	return n ? 0 : -EIO;
}
