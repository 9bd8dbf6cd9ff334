/*
 * question.c - what comes with a question, as descriptors
 */
#include "gitproxy/gate/question.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "base/ipc.h"
#include "gitproxy/gate/gate_ipc.h"

enum { RULES_BYTES = sizeof(struct push_rules), EXCEPTIONS_BYTES = 4 << 20, TIPS_BYTES = 256 << 20 };

int question_exceptions(int fd, struct scan_exceptions **ret)
{
	AUTO(mem) char *text = NULL;
	struct diag *d = NULL;
	struct stat st;
	size_t n = 0;
	ssize_t got = 1;
	int r;

	if (fstat(fd, &st) < 0 || st.st_size > EXCEPTIONS_BYTES)
		return -EFBIG;
	text = malloc((size_t)st.st_size + 1);
	if (!text)
		return -ENOMEM;
	while (n < (size_t)st.st_size && got > 0) {
		got = pread(fd, text + n, (size_t)st.st_size - n, (off_t)n);
		n += got > 0 ? (size_t)got : 0;
	}
	if (got < 0)
		return -errno;
	text[n] = 0;
	r = diag_new(&d);
	if (!r)
		r = scan_exceptions_parse("exceptions", text, n, d, ret);
	diag_free(d);
	return r;
}

int question_rules(int fd, struct push_rules *ret)
{
	AUTO(mem) char *bytes = NULL;
	size_t n = 0;
	int r = ipc_memfd_read(fd, RULES_BYTES, &bytes, &n);

	if (r)
		return r;
	if (n != RULES_BYTES)
		return -EPROTO;
	memcpy(ret, bytes, n);
	return push_rules_ok(ret) ? 0 : -EPROTO;
}

int question_tips(int folder, struct oid **ret, size_t *ret_n)
{
	AUTO(fd) int fd = openat(folder, GATE_TIPS, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	AUTO(mem) uint8_t *bytes = NULL;
	struct stat st;
	size_t n = 0;
	ssize_t got = 1;

	if (fd < 0 || fstat(fd, &st) < 0)
		return -errno;
	if (st.st_size > TIPS_BYTES || (size_t)st.st_size % sizeof(**ret))
		return -EPROTO;
	bytes = malloc((size_t)st.st_size + 1);
	if (!bytes)
		return -ENOMEM;
	while (n < (size_t)st.st_size && got > 0) {
		got = pread(fd, bytes + n, (size_t)st.st_size - n, (off_t)n);
		n += got > 0 ? (size_t)got : 0;
	}
	if (n < (size_t)st.st_size)
		return -EIO;
	*ret_n = n / sizeof(**ret);
	*ret = (struct oid *)(void *)STEAL(bytes);
	return 0;
}
