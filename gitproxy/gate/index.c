/*
 * index.c - a pack's index, version 2: to be read, and to be made
 *
 * Theory of operation: a fan-out by an id's first byte, then the sorted ids, a checksum for each entry,
 * and where it begins: in 31 bits, or as a number of a second table. Reading trusts no number of it:
 * lengths are checked at once, order is not, since what is out of order is only not found.
 * Spec: gitformat-pack(5).
 */
#include "gitproxy/gate/index.h"

#include <errno.h>
#include <openssl/evp.h>

enum { FANOUT = 256, WIDE = 8, NARROW = 4 };
static const uint8_t magic[8] = { 0xff, 't', 'O', 'c', 0, 0, 0, 2 };

static uint32_t u32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

enum parse index_open(struct rd file, enum object_format format, struct index *ret)
{
	struct index x = { .format = format };
	struct rd head, fan, crcs;
	size_t tail = 2 * oid_size(format);

	if (!rd_take(&file, sizeof(magic), &head) || !rd_eq(head, magic, sizeof(magic)) ||
	    !rd_take(&file, (size_t)NARROW * FANOUT, &fan) || rd_left(&file) < tail)
		return PARSE_BAD;
	x.fanout = fan.p;
	x.n = u32(fan.p + (size_t)NARROW * (FANOUT - 1));
	for (size_t i = 1; i < FANOUT; i++)
		if (u32(fan.p + NARROW * i) < u32(fan.p + NARROW * (i - 1)))
			return PARSE_BAD;
	if (!rd_take(&file, x.n * oid_size(format), &x.oids) || !rd_take(&file, (size_t)NARROW * x.n, &crcs) ||
	    !rd_take(&file, (size_t)NARROW * x.n, &x.offsets) || rd_left(&file) < tail ||
	    !rd_take(&file, rd_left(&file) - tail, &x.large))
		return PARSE_BAD;
	*ret = x;
	return PARSE_OK;
}

static bool offset(const struct index *x, uint32_t i, uint64_t *ret_at)
{
	uint32_t v = u32(x->offsets.p + (size_t)NARROW * i);
	struct rd wide = x->large;

	*ret_at = v;
	if (!(v >> 31))
		return true;
	return rd_skip(&wide, (size_t)WIDE * (v & INT32_MAX)) && rd_u64(&wide, ret_at);
}

bool index_find(const struct index *x, const struct oid *oid, uint64_t *ret_at)
{
	size_t width = oid_size(x->format);
	uint32_t low = oid->byte[0] ? u32(x->fanout + (size_t)NARROW * (oid->byte[0] - 1)) : 0;
	uint32_t high = u32(x->fanout + (size_t)NARROW * oid->byte[0]);

	while (low < high) {
		uint32_t mid = low + (high - low) / 2;
		int order = memcmp(x->oids.p + mid * width, oid->byte, width);

		if (!order)
			return offset(x, mid, ret_at);
		if (order < 0)
			low = mid + 1;
		else
			high = mid;
	}
	return false;
}

static int by_oid(const void *a, const void *b)
{
	return oid_compare(&((const struct index_row *)a)->oid, &((const struct index_row *)b)->oid);
}

void index_sort(struct index_row *rows, size_t n)
{
	qsort(rows, n, sizeof(*rows), by_oid);
}

int index_rows(struct pack *p, struct index_row **ret)
{
	AUTO(mem) struct index_row *rows = calloc((size_t)p->n + p->n_added + 1, sizeof(*rows));

	if (!rows)
		return -ENOMEM;
	for (uint32_t i = 0; i < p->n; i++) {
		const struct pack_entry *e = &p->entry[i];

		rows[i] = (struct index_row){ p->oid[i], e->at, e->crc, e->type };
	}
	index_sort(rows, p->n);
	for (uint32_t i = 1; i < p->n; i++)
		if (!oid_compare(&rows[i - 1].oid, &rows[i].oid))
			return pack_fail(p, -EBADMSG, "an object is in it twice");
	*ret = STEAL(rows);
	return 0;
}

static void put_fanout(struct wr *w, const struct index_row *rows, uint32_t n)
{
	uint32_t at = 0;

	for (unsigned first = 0; first < FANOUT; first++) {
		while (at < n && rows[at].oid.byte[0] <= first)
			at++;
		wr_u32(w, at);
	}
}

static void put_offsets(struct wr *w, const struct index_row *rows, uint32_t n)
{
	uint32_t wide = 0;

	for (uint32_t i = 0; i < n; i++)
		wr_u32(w, rows[i].at >> 31 ? 1u << 31 | wide++ : (uint32_t)rows[i].at);
	for (uint32_t i = 0; i < n; i++)
		if (rows[i].at >> 31)
			wr_uint(w, WIDE, rows[i].at);
}

int index_make(const struct index_row *rows, uint32_t n, enum object_format format, const struct oid *trailer,
	       uint8_t **ret, size_t *ret_n)
{
	size_t width = oid_size(format),
	       cap = sizeof(magic) + (size_t)NARROW * FANOUT + n * (width + 2 * NARROW + WIDE) + 2 * width;
	AUTO(mem) uint8_t *bytes = malloc(cap);
	struct wr w = wr_of(bytes, cap);
	uint8_t hash[EVP_MAX_MD_SIZE];

	if (!bytes)
		return -ENOMEM;
	wr_put(&w, magic, sizeof(magic));
	put_fanout(&w, rows, n);
	for (uint32_t i = 0; i < n; i++)
		wr_put(&w, rows[i].oid.byte, width);
	for (uint32_t i = 0; i < n; i++)
		wr_u32(&w, rows[i].crc);
	put_offsets(&w, rows, n);
	wr_put(&w, trailer->byte, width);
	if (EVP_Digest(w.p, w.n, hash, NULL, format == OBJECT_SHA256 ? EVP_sha256() : EVP_sha1(), NULL) != 1 ||
	    !wr_put(&w, hash, width))
		return -ENOMEM;
	*ret_n = w.n;
	*ret = STEAL(bytes);
	return 0;
}
