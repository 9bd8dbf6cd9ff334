/*
 * fuzz_gate_pack.c - packs with entries that lean on each other in any way
 *
 * A checksum at every step would keep a fuzzer out, so the input says what the entries are, and
 * they are compressed and sealed here: a byte (hash), then for each a byte (its type), a byte (how
 * far back its base is: in entries, or among the ids of the whole objects), a length of two bytes
 * and that many bytes. What is shown must be what its id says, each object once; and reading them
 * by id, which is other code, must give the same.
 */
#include "tests/fuzz/fuzz.h"

#include <errno.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <zlib.h>

#include "gitproxy/gate/objects_open.h"

enum { ENTRIES = 64, ROOM = 1 << 20, DATA_MAX = 4096 };

struct maker {
	enum object_format format;
	struct wr w;
	uint64_t at[ENTRIES];
	struct oid id[ENTRIES];		/* of those that are whole */
	unsigned n, whole;
};

static const char *const names[] = { "", "commit", "tree", "blob", "tag" };

static struct oid id_of(enum object_format format, enum object_type type, struct rd bytes)
{
	const EVP_MD *md = format == OBJECT_SHA256 ? EVP_sha256() : EVP_sha1();
	EVP_MD_CTX *c = EVP_MD_CTX_new();
	struct oid id = { 0 };
	uint8_t out[EVP_MAX_MD_SIZE];
	char head[32];
	int n = snprintf(head, sizeof(head), "%s %zu", names[type], bytes.n);

	EVP_DigestInit_ex(c, md, NULL);
	EVP_DigestUpdate(c, head, (size_t)n + 1);
	EVP_DigestUpdate(c, bytes.p, bytes.n);
	EVP_DigestFinal_ex(c, out, NULL);
	EVP_MD_CTX_free(c);
	memcpy(id.byte, out, oid_size(format));
	return id;
}

/* Bytes back, as a pack has them. */
static void put_back(struct wr *w, uint64_t back)
{
	uint8_t bytes[10];
	size_t i = sizeof(bytes);

	bytes[--i] = back & 127;
	while (back >>= 7)
		bytes[--i] = 128 | (--back & 127);
	wr_put(w, bytes + i, sizeof(bytes) - i);
}

static void put_entry(struct maker *m, uint8_t kind, uint8_t back, struct rd data)
{
	uint8_t small[DATA_MAX + 256];
	uLongf small_n = sizeof(small);

	m->at[m->n] = m->w.n;
	entry_head_write(&m->w, (enum object_type)kind, data.n);
	if (kind == ENTRY_OFS_DELTA)
		put_back(&m->w, back && back <= m->n ? m->at[m->n] - m->at[m->n - back] : back);
	else if (kind == ENTRY_REF_DELTA)
		wr_put(&m->w, m->id[m->whole ? back % m->whole : 0].byte, oid_size(m->format));
	else
		m->id[m->whole++] = id_of(m->format, (enum object_type)kind, data);
	compress2(small, &small_n, data.p, data.n, 1);
	wr_put(&m->w, small, small_n);
	m->n++;
}

static bool make(struct maker *m, struct rd in)
{
	static const uint8_t kinds[] = { 1, 2, 3, 4, 6, 7 };
	uint8_t kind, back;
	struct rd data;

	wr_str(&m->w, "PACK");
	wr_u32(&m->w, 2);
	wr_u32(&m->w, 0);
	while (m->n < ENTRIES && rd_left(&in)) {
		if (!rd_u8(&in, &kind) || !rd_u8(&in, &back) || !rd_vec(&in, 2, &data) || data.n > DATA_MAX)
			return false;
		put_entry(m, kinds[kind % sizeof(kinds)], back, data);
	}
	m->w.p[11] = (uint8_t)m->n;
	return true;
}

static void seal(struct maker *m)
{
	uint8_t out[EVP_MAX_MD_SIZE];

	EVP_Digest(m->w.p, m->w.n, out, NULL, m->format == OBJECT_SHA256 ? EVP_sha256() : EVP_sha1(), NULL);
	wr_put(&m->w, out, oid_size(m->format));
}

struct seen {
	struct pack_visitor v;
	enum object_format format;
	struct objects *objects;
	unsigned n;
};

static int on_object(struct pack_visitor *v, unsigned thread, const struct oid *oid, enum object_type type, struct rd bytes)
{
	struct seen *s = container_of(v, struct seen, v);
	struct oid is = id_of(s->format, type, bytes);
	enum object_type type_read;
	struct rd read;

	if (thread || oid_compare(&is, oid) || !objects_in_pack(s->objects, oid) || objects_in_mirror(s->objects, oid))
		abort();
	if (objects_read(s->objects, oid, &type_read, &read) || type_read != type || !rd_eq(read, bytes.p, bytes.n))
		abort();
	s->n++;
	return 0;
}

static void read_all(struct pack *p, struct seen *s)
{
	int r = pack_ids(p, &s->v);

	if (!r)
		r = objects_take_pack(s->objects, p);
	if (r) {
		if (r != -EBADMSG && r != -ENOENT && r != -EFBIG)
			abort();
		return;
	}
	if (pack_show(p, &s->v) || s->n != p->n)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	AUTO(mem) uint8_t *room = malloc(ROOM);
	struct maker m = { .w = wr_of(room, ROOM) };
	struct rd in = rd_of(data, n);
	struct seen s = { .v.object = on_object };
	struct pack p = { 0 };
	uint8_t format;
	int fd;

	if (!rd_u8(&in, &format))
		return 0;
	m.format = s.format = format & 1 ? OBJECT_SHA256 : OBJECT_SHA1;
	if (!make(&m, in))
		return 0;
	seal(&m);
	if (!wr_ok(&m.w))
		return 0;
	fd = memfd_create("pack", 0);
	if (fd < 0 || write(fd, m.w.p, m.w.n) != (ssize_t)m.w.n || objects_new(NULL, m.format, &s.objects))
		abort();
	if (!pack_open(&(struct pack_spec){ .fd = fd, .format = m.format, .max_objects = ENTRIES, .max_inflated = ROOM }, &p))
		read_all(&p, &s);
	objects_free(s.objects);
	pack_done(&p);
	close(fd);
	return 0;
}
