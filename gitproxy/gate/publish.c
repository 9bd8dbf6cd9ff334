/*
 * publish.c - the files that make a judged pack part of a repository
 *
 * Theory of operation: an index, as git would make it, byte for byte. A pack that leans on objects
 * outside gets those behind its own, as `git index-pack --fix-thin` does: its head then counts them, its
 * trailer is another, and so is its name. What is left of a failure is in the quarantine, which is removed.
 * Spec: gitformat-pack(5).
 */
#include "gitproxy/gate/publish.h"

#include <errno.h>
#include <fcntl.h>
#include <libdeflate.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>
#include <zlib.h>

enum { NAME = 96, PACK_HEAD = 12, FILE_MODE = 0444 };

struct writer {				/* hashes what it writes */
	int fd;
	uint64_t at, max;
	uint32_t crc;
	EVP_MD_CTX *hash;
};

static int name_of(const struct oid *trailer, enum object_format format, const char *end, char to[NAME])
{
	char hex[OID_HEX_MAX];
	struct wr w = wr_of(hex, sizeof(hex));

	if (!oid_write(&w, trailer, format))
		return -EINVAL;
	snprintf(to, NAME, "pack-%.*s.%s", (int)w.n, hex, end);
	return 0;
}

static int write_all(int fd, struct rd bytes)
{
	while (rd_left(&bytes)) {
		ssize_t n = write(fd, bytes.p, bytes.n);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -EIO;
		if (!rd_skip(&bytes, (size_t)n))
			return -EIO;
	}
	return 0;
}

static int put(struct writer *w, struct rd bytes)
{
	if (bytes.n > w->max - w->at)
		return -EFBIG;
	w->at += bytes.n;
	w->crc = libdeflate_crc32(w->crc, bytes.p, bytes.n);
	return EVP_DigestUpdate(w->hash, bytes.p, bytes.n) == 1 ? write_all(w->fd, bytes) : -ENOMEM;
}

static int create(int folder, const char *name, int *ret)
{
	int fd = openat(folder, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, FILE_MODE);

	if (fd < 0)
		return -errno;
	*ret = fd;
	return 0;
}

/* One of the objects outside, whole. */
static int put_object(struct writer *w, struct pack_outside *from, const struct oid *oid, struct index_row *ret)
{
	AUTO(mem) uint8_t *bytes = NULL, *small = NULL;
	uint8_t head[ENTRY_HEAD_MAX];
	struct wr h = wr_of(head, sizeof(head));
	enum object_type type;
	uLongf small_n;
	size_t n = 0;
	int r = from->read(from, oid, PACK_WHOLE_MAX, &type, &bytes, &n);

	if (r)
		return r;
	small_n = compressBound(n);
	small = malloc(small_n);
	if (!small || compress(small, &small_n, bytes, n) != Z_OK || !entry_head_write(&h, type, n))
		return -ENOMEM;
	*ret = (struct index_row){ .oid = *oid, .at = w->at };
	w->crc = 0;
	r = put(w, wr_rd(&h));
	if (!r)
		r = put(w, rd_of(small, small_n));
	ret->crc = w->crc;
	return r;
}

static int put_pack(struct writer *w, struct pack *p, struct objects *o, struct oid *ret_trailer)
{
	struct index_row *rows = objects_rows(o);
	uint8_t head[PACK_HEAD], trailer[EVP_MAX_MD_SIZE];
	size_t width = oid_size(p->spec.format);
	struct wr h = wr_of(head, sizeof(head));
	int r;

	wr_put(&h, p->file.p, PACK_HEAD - 4);
	wr_u32(&h, p->n + p->n_added);
	r = put(w, wr_rd(&h));
	if (!r)
		r = put(w, rd_of(p->file.p + PACK_HEAD, p->file.n - PACK_HEAD - width));
	for (uint32_t i = 0; i < p->n_added && !r; i++)
		r = put_object(w, objects_outside(o), &p->added[i].oid, &rows[p->n + i]);
	if (r)
		return r;
	if (EVP_DigestFinal_ex(w->hash, trailer, NULL) != 1)
		return -ENOMEM;
	*ret_trailer = (struct oid){ 0 };
	memcpy(ret_trailer->byte, trailer, width);
	return write_all(w->fd, rd_of(trailer, width));
}

/* *io_max: so many bytes may be written; then, so many more. */
static int complete(int folder, struct pack *p, struct objects *o, uint64_t *io_max, struct oid *ret_trailer)
{
	static const char temporary[] = "completed";
	AUTO(fd) int fd = -1;
	struct writer w = { .hash = EVP_MD_CTX_new(), .max = *io_max };
	char name[NAME];
	int r = w.hash && EVP_DigestInit_ex(w.hash, p->spec.format == OBJECT_SHA256 ? EVP_sha256() : EVP_sha1(), NULL) == 1 ?
			0 : -ENOMEM;

	if (!r)
		r = create(folder, temporary, &fd);
	w.fd = fd;
	if (!r)
		r = put_pack(&w, p, o, ret_trailer);
	EVP_MD_CTX_free(w.hash);
	*io_max -= w.at;
	if (!r)
		r = name_of(ret_trailer, p->spec.format, "pack", name);
	if (!r && renameat(folder, temporary, folder, name) < 0)
		r = -errno;
	return r;
}

static int publish(int folder, struct pack *p, struct objects *o, uint64_t max, struct gate_judged *ret)
{
	AUTO(mem) uint8_t *index = NULL;
	AUTO(fd) int fd = -1;
	char name[NAME];
	size_t n = 0;
	int r = 0;

	ret->pack = p->trailer;
	ret->thin = p->n_added > 0;
	if (ret->thin) {
		r = complete(folder, p, o, &max, &ret->pack);
		index_sort(objects_rows(o), r ? 0 : p->n + p->n_added);
	}
	if (!r)
		r = index_make(objects_rows(o), p->n + p->n_added, p->spec.format, &ret->pack, &index, &n);
	if (!r && n > max)
		r = -EFBIG;
	if (!r)
		r = name_of(&ret->pack, p->spec.format, "idx", name);
	if (!r)
		r = create(folder, name, &fd);
	return r ? r : write_all(fd, rd_of(index, n));
}

int publish_pack(int folder, struct pack *p, struct objects *o, uint64_t max, struct gate_judged *ret)
{
	int r = publish(folder, p, o, max, ret);

	if (r != -EFBIG)
		return r;
	ret->pack = (struct oid){ 0 };
	ret->thin = 0;
	return 0;
}
