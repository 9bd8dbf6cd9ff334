/*
 * pack.c - a client's pack: from its bytes to its entries
 *
 * Theory of operation: one pass over the file finds where each entry ends, which only inflating tells,
 * and how large each object will be, which a delta's head tells; so limits on all objects together
 * hold before the first of them is made. Deltas by offset name an entry that came before: that is a
 * forest, kept as lists of children, with weights for the order in which pack_read() goes through it.
 * Refused: an offset that is no entry's, bytes between or behind entries, a trailer that is not the
 * hash of what stands before it.
 * Spec: gitformat-pack(5). Fuzzed by tests/fuzz/fuzz_pack.c.
 */
#include "gitproxy/gate/pack.h"

#include <errno.h>
#include <libdeflate.h>
#include <openssl/evp.h>
#include <sys/mman.h>
#include <sys/stat.h>

enum { PACK_HEAD = 12, VERSION_MIN = 2, VERSION_MAX = 3, DELTA_HEAD = 20 };

int pack_fail(struct pack *p, int err, const char *why)
{
	int none = 0;

	if (__atomic_compare_exchange_n(&p->failed, &none, err, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
		p->why = why;
	return err;
}

static int map(struct pack *p)
{
	struct stat st;
	void *at;

	if (fstat(p->spec.fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode) || st.st_size < PACK_HEAD + (off_t)oid_size(p->spec.format))
		return pack_fail(p, -EBADMSG, "it is cut short");
	at = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, p->spec.fd, 0);
	if (at == MAP_FAILED)
		return -errno;
	p->file = rd_of(at, (size_t)st.st_size);
	return 0;
}

static int check_trailer(struct pack *p)
{
	const EVP_MD *md = p->spec.format == OBJECT_SHA256 ? EVP_sha256() : EVP_sha1();
	size_t n = p->file.n - oid_size(p->spec.format);

	memcpy(p->trailer.byte, p->file.p + n, oid_size(p->spec.format));
	uint8_t is[EVP_MAX_MD_SIZE];
	if (EVP_Digest(p->file.p, n, is, NULL, md, NULL) != 1)
		return -ENOMEM;
	return memcmp(is, p->trailer.byte, oid_size(p->spec.format)) ?
		       pack_fail(p, -EBADMSG, "its checksum is wrong") : 0;
}

static int read_head(struct pack *p, struct rd *in)
{
	uint32_t version, n;
	struct rd magic;

	if (!rd_take(in, 4, &magic) || !rd_eq_str(magic, "PACK") || !rd_u32(in, &version) ||
	    version < VERSION_MIN || version > VERSION_MAX || !rd_u32(in, &n))
		return pack_fail(p, -EBADMSG, "it does not begin as a pack does");
	if (n > p->spec.max_objects)
		return pack_fail(p, -EFBIG, "it has too many objects");
	/* An entry takes two bytes at least, whatever the head says. */
	if (n > rd_left(in) / 2)
		return pack_fail(p, -EBADMSG, "it is cut short");
	p->n = n;
	p->entry = calloc((size_t)n + 1, sizeof(*p->entry));
	p->oid = calloc((size_t)n + 1, sizeof(*p->oid));
	return p->entry && p->oid ? 0 : -ENOMEM;
}

/* While entries are found. */
struct finder {
	struct pack *p;
	struct rd in;
	struct inflater *z;
	uint8_t *room;			/* PACK_LARGE bytes */
	struct inflater_sink sink;	/* a larger one's bytes are of no interest, but for the first */
	uint8_t first[DELTA_HEAD];
	size_t first_n;
};

static bool keep_first(struct inflater_sink *s, struct rd bytes)
{
	struct finder *f = container_of(s, struct finder, sink);
	size_t n = sizeof(f->first) - f->first_n;

	if (n > bytes.n)
		n = bytes.n;
	if (n)
		memcpy(f->first + f->first_n, bytes.p, n);
	f->first_n += n;
	return true;
}

static enum parse inflate_entry(struct finder *f, uint64_t size, struct rd *ret_begin)
{
	enum parse r;
	size_t used;

	if (size <= PACK_LARGE) {
		r = inflater_whole(f->z, f->in, f->room, (size_t)size, &used);
		*ret_begin = rd_of(f->room, (size_t)size);
	} else {
		f->first_n = 0;
		r = inflater_stream(f->z, f->in, size, &f->sink, &used);
		*ret_begin = rd_of(f->first, f->first_n);
	}
	return r == PARSE_OK && rd_skip(&f->in, used) ? PARSE_OK : PARSE_BAD;
}

/* The entry that begins at this offset, before entry n. */
static uint32_t entry_at(const struct pack *p, uint32_t n, uint64_t at)
{
	uint32_t low = 0, high = n;

	while (low < high) {
		uint32_t mid = low + (high - low) / 2;

		if (p->entry[mid].at < at)
			low = mid + 1;
		else
			high = mid;
	}
	return low < n && p->entry[low].at == at ? low : PACK_NONE;
}

/* Where it leans on an entry: `next` names the base until all are known. */
static int lean(struct pack *p, uint32_t i, const struct entry_head *h)
{
	struct pack_entry *e = &p->entry[i];

	e->next = PACK_NONE;
	if (h->type == ENTRY_REF_DELTA)
		p->n_lean++;
	if (h->type != ENTRY_OFS_DELTA)
		return 0;
	e->next = h->back < e->at ? entry_at(p, i, e->at - h->back) : PACK_NONE;
	if (e->next == PACK_NONE)
		return pack_fail(p, -EBADMSG, "a delta's base is no object of it");
	if (p->entry[e->next].depth >= PACK_DEPTH_MAX)
		return pack_fail(p, -EFBIG, "its deltas lean on too many others");
	e->depth = p->entry[e->next].depth + 1;
	return 0;
}

static int measure(struct pack *p, struct pack_entry *e, struct rd begin)
{
	struct entry_delta d;

	e->size = e->stored;
	if (entry_is_delta(e->kind)) {
		if (entry_delta(&begin, &d) != PARSE_OK)
			return pack_fail(p, -EBADMSG, "a delta is malformed");
		e->size = d.result;
		if (d.result > PACK_WHOLE_MAX || e->stored > PACK_WHOLE_MAX)
			return pack_fail(p, -EFBIG, "a delta makes an object of more than 256 MiB; "
						    "git -c core.bigFileThreshold=100m push");
	} else if (e->kind != OBJECT_BLOB && e->size > PACK_LARGE) {
		return pack_fail(p, -EFBIG, "a commit, tree or tag of it has more than 16 MiB");
	}
	if (e->size > p->spec.max_inflated - p->inflated)
		return pack_fail(p, -EFBIG, "its objects have too many bytes, inflated");
	p->inflated += e->size;
	return 0;
}

static int find_entry(struct finder *f, uint32_t i)
{
	struct pack *p = f->p;
	struct pack_entry *e = &p->entry[i];
	const uint8_t *from = f->in.p;
	struct entry_head h;
	struct rd begin;
	int r;

	e->at = (uint64_t)(from - p->file.p);
	e->first = PACK_NONE;
	e->weight = 1;
	if (entry_head(&f->in, p->spec.format, &h) != PARSE_OK)
		return pack_fail(p, -EBADMSG, "an entry's head is malformed");
	if (h.size > p->spec.max_inflated)
		return pack_fail(p, -EFBIG, "an object of it has too many bytes, inflated");
	e->data = (uint32_t)(f->in.p - from);
	e->kind = h.type;
	e->type = entry_is_delta(h.type) ? OBJECT_NONE : h.type;
	e->stored = h.size;
	if (inflate_entry(f, h.size, &begin) != PARSE_OK)
		return pack_fail(p, -EBADMSG, "an entry's bytes are malformed");
	r = measure(p, e, begin);
	if (!r)
		r = lean(p, i, &h);
	e->crc = libdeflate_crc32(0, from, (size_t)(f->in.p - from));
	return r;
}

/* From bases to lists of children. A base stands before what leans on it, so backwards the weights add up. */
static void plant(struct pack *p)
{
	for (uint32_t i = p->n; i--;) {
		struct pack_entry *e = &p->entry[i], *base;

		if (e->next == PACK_NONE)
			continue;
		base = &p->entry[e->next];
		base->weight += e->weight;
		e->next = base->first;
		base->first = i;
	}
}

static int by_base(const void *a, const void *b)
{
	return oid_compare(&((const struct pack_lean *)a)->base, &((const struct pack_lean *)b)->base);
}

static int list_leans(struct pack *p)
{
	uint32_t n = 0;

	p->lean = calloc((size_t)p->n_lean + 1, sizeof(*p->lean));
	if (!p->lean)
		return -ENOMEM;
	for (uint32_t i = 0; i < p->n; i++) {
		struct rd in = rd_of(p->file.p + p->entry[i].at, p->entry[i].data);
		struct entry_head h;

		if (p->entry[i].kind != ENTRY_REF_DELTA || entry_head(&in, p->spec.format, &h) != PARSE_OK)
			continue;
		p->lean[n].base = h.base;
		p->lean[n++].entry = i;
	}
	qsort(p->lean, n, sizeof(*p->lean), by_base);
	for (uint32_t i = n; i--;)
		p->lean[i].end = i + 1 < n && !by_base(&p->lean[i], &p->lean[i + 1]) ? p->lean[i + 1].end : i + 1;
	return 0;
}

static int find_entries(struct pack *p, struct rd in)
{
	AUTO(inflater) struct inflater *z = NULL;
	AUTO(mem) uint8_t *room = malloc(PACK_LARGE);
	struct finder f = { .p = p, .in = in, .room = room, .sink.piece = keep_first };
	int r = room ? inflater_new(&z) : -ENOMEM;

	f.z = z;
	for (uint32_t i = 0; i < p->n && !r; i++)
		r = find_entry(&f, i);
	if (!r && !rd_done(&f.in))
		r = pack_fail(p, -EBADMSG, "there are bytes behind its last object");
	if (r)
		return r;
	plant(p);
	return list_leans(p);
}

int pack_open(const struct pack_spec *spec, struct pack *ret)
{
	struct rd in, body;
	int r;

	*ret = (struct pack){ .spec = *spec, .large = PTHREAD_MUTEX_INITIALIZER };
	r = map(ret);
	if (!r)
		r = check_trailer(ret);
	if (r)
		return r;
	in = ret->file;
	if (!rd_take(&in, in.n - oid_size(spec->format), &body))
		return -EBADMSG;
	r = read_head(ret, &body);
	return r ? r : find_entries(ret, body);
}

void pack_done(struct pack *p)
{
	free(p->added);
	free(p->lean);
	free(p->oid);
	free(p->entry);
	if (p->file.p)
		munmap((void *)(uintptr_t)p->file.p, p->file.n);
	*p = (struct pack){ 0 };
}
