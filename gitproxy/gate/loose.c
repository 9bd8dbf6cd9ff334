/*
 * loose.c - an object that is a file of its own
 *
 * Theory of operation: a zlib stream of "TYPE SIZE\0" and the bytes. The head is inflated first, so that
 * the size is bounded before there is room made for it; the stream must then end exactly.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <zlib.h>

#include "gitproxy/gate/store.h"

enum { LOOSE_PATH = 4096, LOOSE_HEAD = 64, LOOSE_FILE_MAX = 512 << 20 };

static bool path_of(const char *dir, const struct oid *oid, enum object_format format, char to[LOOSE_PATH])
{
	char hex[OID_HEX_MAX];
	struct wr w = wr_of(hex, sizeof(hex));

	return oid_write(&w, oid, format) &&
	       snprintf(to, LOOSE_PATH, "%s/objects/%.2s/%.*s", dir, hex, (int)w.n - 2, hex + 2) < LOOSE_PATH;
}

bool loose_has(const char *dir, const struct oid *oid, enum object_format format)
{
	char path[LOOSE_PATH];

	return path_of(dir, oid, format, path) && !access(path, R_OK);
}

static int read_file(const char *path, uint8_t **ret, size_t *ret_n)
{
	AUTO(fd) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	AUTO(mem) uint8_t *bytes = NULL;
	struct stat st;
	size_t n = 0;

	if (fd < 0 || fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode) || st.st_size > LOOSE_FILE_MAX)
		return -EFBIG;
	bytes = malloc((size_t)st.st_size + 1);
	if (!bytes)
		return -ENOMEM;
	while (n < (size_t)st.st_size) {
		ssize_t r = read(fd, bytes + n, (size_t)st.st_size - n);

		if (r <= 0)
			return r < 0 ? -errno : -EBADMSG;
		n += (size_t)r;
	}
	*ret = STEAL(bytes);
	*ret_n = n;
	return 0;
}

static bool parse_head(struct rd *head, enum object_type *ret_type, uint64_t *ret_size)
{
	static const char *const names[] = { "", "commit ", "tree ", "blob ", "tag " };
	struct rd digits;
	uint64_t size = 0;
	size_t t = 1;

	while (t < ARRAY_SIZE(names) && !rd_prefix(head, names[t]))
		t++;
	if (t == ARRAY_SIZE(names) || !rd_until(head, '\0', &digits) || !digits.n || digits.n > 15)
		return false;
	for (size_t i = 0; i < digits.n; i++) {
		if (digits.p[i] < '0' || digits.p[i] > '9')
			return false;
		size = 10 * size + (digits.p[i] - '0');
	}
	*ret_type = (enum object_type)t;
	*ret_size = size;
	return true;
}

static int inflate_rest(z_stream *z, struct rd first, uint64_t size, uint8_t **ret)
{
	AUTO(mem) uint8_t *bytes = malloc(size ? size : 1);
	int r;

	if (!bytes)
		return -ENOMEM;
	if (first.n > size)
		return -EBADMSG;
	if (first.n)
		memcpy(bytes, first.p, first.n);
	z->next_out = bytes + first.n;
	z->avail_out = (uInt)(size - first.n);
	r = inflate(z, Z_FINISH);
	if (r != Z_STREAM_END || z->avail_out)
		return -EBADMSG;
	*ret = STEAL(bytes);
	return 0;
}

static int inflate_all(z_stream *z, uint64_t max, enum object_type *ret_type, uint8_t **ret, size_t *ret_n)
{
	uint8_t first[LOOSE_HEAD];
	struct rd head;
	uint64_t size;
	int r;

	z->next_out = first;
	z->avail_out = sizeof(first);
	r = inflate(z, Z_SYNC_FLUSH);
	if (r != Z_OK && r != Z_STREAM_END)
		return -EBADMSG;
	head = rd_of(first, sizeof(first) - z->avail_out);
	if (!parse_head(&head, ret_type, &size))
		return -EBADMSG;
	if (size > max || size > PACK_WHOLE_MAX)
		return -EFBIG;
	*ret_n = size;
	return inflate_rest(z, head, size, ret);
}

int loose_read(const char *dir, const struct oid *oid, enum object_format format, uint64_t max,
	       enum object_type *ret_type, uint8_t **ret, size_t *ret_n)
{
	AUTO(mem) uint8_t *file = NULL;
	char path[LOOSE_PATH];
	z_stream z = { 0 };
	size_t n = 0;
	int r = path_of(dir, oid, format, path) ? read_file(path, &file, &n) : -ENAMETOOLONG;

	if (r)
		return r;
	z.next_in = file;
	z.avail_in = (uInt)n;
	if (inflateInit(&z) != Z_OK)
		return -ENOMEM;
	r = inflate_all(&z, max, ret_type, ret, ret_n);
	inflateEnd(&z);
	return r;
}
