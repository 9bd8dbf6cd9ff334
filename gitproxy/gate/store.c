/*
 * store.c - objects by id, out of packs and loose files
 *
 * Theory of operation: the packs of the folder are found once, at the beginning: what is mapped stays,
 * though maintenance removes the file. What came later is not seen, and is then missing: the
 * whole judgement is made anew. Reading follows a chain of deltas to its base, then makes one object after
 * the other; those in between are kept in a small cache by place, since neighbours lean on them too.
 * Sizes come out of files: each is bounded before room is made for it, and so is the chain.
 */
#include "gitproxy/gate/store.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

enum { STORE_PATH = 4096, PACKS_MAX = 4096, SLOTS = 4096, CACHE_BYTES = 64 << 20, CACHED_MAX = 8 << 20 };

struct object {				/* counted: the cache holds some, a reader one or two */
	unsigned users;
	enum object_type type;
	size_t n;
	uint8_t *bytes;
};

struct store_pack {
	struct rd pack;			/* n 0: not mapped yet */
	struct rd file;			/* of the index, mapped; n 0: borrowed */
	struct index index;
	char *path;			/* of the pack; NULL: borrowed */
};

struct slot { const struct store_pack *pack; uint64_t at; struct object *object; };

struct store {
	enum object_format format;
	char *dir;
	struct store *beyond;
	struct store_pack *pack;
	size_t n_packs, last;		/* where something was found last */
	struct inflater *z;
	struct slot slot[SLOTS];
	size_t cached, hand;
	struct object *given;		/* to whom read last */
	bool loose[256];		/* there are loose ones whose id begins so */
};

struct step { const struct store_pack *pack; struct rd stored; uint64_t size, at; };
struct chain { struct step *step; size_t n, cap; };

static void put(struct object *o)
{
	if (!o || --o->users)
		return;
	free(o->bytes);
	free(o);
}

static int object_new(uint64_t n, enum object_type type, struct object **ret)
{
	struct object *o = calloc(1, sizeof(*o));

	if (o)
		o->bytes = malloc(n ? n : 1);
	if (!o || !o->bytes) {
		free(o);
		return -ENOMEM;
	}
	o->users = 1;
	o->n = n;
	o->type = type;
	*ret = o;
	return 0;
}

/* ---- files ---- */

static int map_file(const char *path, struct rd *ret)
{
	AUTO(fd) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	struct stat st;
	void *at;

	if (fd < 0 || fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode) || st.st_size <= 0)
		return -EBADMSG;
	at = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (at == MAP_FAILED)
		return -errno;
	*ret = rd_of(at, (size_t)st.st_size);
	return 0;
}

static void unmap(struct rd file)
{
	if (file.n)
		munmap((void *)(uintptr_t)file.p, file.n);
}

static int grow(struct store *s)
{
	struct store_pack *more;

	if (s->n_packs == PACKS_MAX)
		return -EMFILE;
	more = realloc(s->pack, (s->n_packs + 1) * sizeof(*more));
	if (!more)
		return -ENOMEM;
	s->pack = more;
	s->pack[s->n_packs] = (struct store_pack){ 0 };
	return 0;
}

/* A pack that went away in between is no error: what was in it is in another one. */
static int add_file(struct store *s, const char *name)
{
	char path[STORE_PATH];
	size_t n = (size_t)snprintf(path, sizeof(path), "%s/objects/pack/%s", s->dir, name);
	struct store_pack p = { 0 };
	int r = n < sizeof(path) ? grow(s) : -ENAMETOOLONG;

	if (!r)
		r = map_file(path, &p.file);
	if (r)
		return r == -ENOENT ? 0 : r;
	if (index_open(p.file, s->format, &p.index) != PARSE_OK) {
		unmap(p.file);
		return -EBADMSG;
	}
	memcpy(path + n - 3, "pack", 5);
	p.path = strdup(path);
	if (!p.path) {
		unmap(p.file);
		return -ENOMEM;
	}
	s->pack[s->n_packs++] = p;
	return 0;
}

static int add_files(struct store *s)
{
	char path[STORE_PATH];
	struct dirent *e;
	DIR *dir;
	int r = 0;

	if (snprintf(path, sizeof(path), "%s/objects/pack", s->dir) >= (int)sizeof(path))
		return -ENAMETOOLONG;
	dir = opendir(path);
	if (!dir)
		return errno == ENOENT ? 0 : -errno;
	while (!r && (e = readdir(dir))) {
		size_t n = strlen(e->d_name);

		if (n > 9 && n < 200 && !strncmp(e->d_name, "pack-", 5) && !strcmp(e->d_name + n - 4, ".idx"))
			r = add_file(s, e->d_name);
	}
	closedir(dir);
	return r;
}

/* Mostly there are none, and nobody need look for each. */
static int see_loose(struct store *s)
{
	char path[STORE_PATH];
	struct dirent *e;
	struct oid first;
	DIR *dir;

	if (snprintf(path, sizeof(path), "%s/objects", s->dir) >= (int)sizeof(path))
		return -ENAMETOOLONG;
	dir = opendir(path);
	if (!dir)
		return -errno;
	while ((e = readdir(dir))) {
		char full[2 * 20 + 1];

		if (strlen(e->d_name) != 2)
			continue;
		snprintf(full, sizeof(full), "%.2s%038d", e->d_name, 0);
		if (oid_parse(rd_str(full), OBJECT_SHA1, &first))
			s->loose[first.byte[0]] = true;
	}
	closedir(dir);
	return 0;
}

static bool has_loose(const struct store *s, const struct oid *oid)
{
	return s->loose[oid->byte[0]] && loose_has(s->dir, oid, s->format);
}

int store_new(const char *git_dir, enum object_format format, struct store *beyond, struct store **ret)
{
	AUTO(store) struct store *s = calloc(1, sizeof(*s));
	int r = s ? inflater_new(&s->z) : -ENOMEM;

	if (r)
		return r;
	s->format = format;
	s->beyond = beyond;
	if (git_dir) {
		s->dir = strdup(git_dir);
		r = s->dir ? see_loose(s) : -ENOMEM;
		if (!r)
			r = add_files(s);
	}
	if (!r)
		*ret = STEAL(s);
	return r;
}

void store_free(struct store *s)
{
	if (!s)
		return;
	for (size_t i = 0; i < SLOTS; i++)
		put(s->slot[i].object);
	put(s->given);
	for (size_t i = 0; i < s->n_packs; i++) {
		if (s->pack[i].path)
			unmap(s->pack[i].pack);
		unmap(s->pack[i].file);
		free(s->pack[i].path);
	}
	inflater_free(s->z);
	free(s->pack);
	free(s->dir);
	free(s);
}

int store_add(struct store *s, struct rd pack, const struct index *index)
{
	int r = grow(s);

	if (r)
		return r;
	s->pack[s->n_packs++] = (struct store_pack){ .pack = pack, .index = *index };
	return 0;
}

/* ---- the cache ---- */

static struct slot *slot_of(struct store *s, const struct store_pack *p, uint64_t at)
{
	return &s->slot[(at * 0x9e3779b97f4a7c15u ^ (uintptr_t)(p - s->pack) * 0x2545f491u) >> 32 & (SLOTS - 1)];
}

static void empty(struct store *s, struct slot *at)
{
	if (at->object)
		s->cached -= at->object->n;
	put(STEAL(at->object));
}

static void cache(struct store *s, const struct store_pack *p, uint64_t place, struct object *o)
{
	struct slot *at = slot_of(s, p, place);

	if (o->n > CACHED_MAX)
		return;
	empty(s, at);
	while (s->cached + o->n > CACHE_BYTES)
		empty(s, &s->slot[s->hand++ & (SLOTS - 1)]);
	o->users++;
	s->cached += o->n;
	*at = (struct slot){ p, place, o };
}

static struct object *cached(struct store *s, const struct store_pack *p, uint64_t place)
{
	struct slot *at = slot_of(s, p, place);

	if (!at->object || at->pack != p || at->at != place)
		return NULL;
	at->object->users++;
	return at->object;
}

/* ---- reading ---- */

static struct store_pack *find(struct store *s, const struct oid *oid, uint64_t *ret_at)
{
	for (size_t i = 0; i < s->n_packs; i++) {
		size_t k = (s->last + i) % s->n_packs;

		if (index_find(&s->pack[k].index, oid, ret_at)) {
			s->last = k;
			return &s->pack[k];
		}
	}
	return NULL;
}

int store_has(struct store *s, const struct oid *oid)
{
	uint64_t at;

	return find(s, oid, &at) || has_loose(s, oid);
}

static int read_object(struct store *s, const struct oid *oid, uint64_t max, struct object **ret);

static int note(struct chain *c, struct step step)
{
	if (c->n > PACK_DEPTH_MAX)
		return -ELOOP;
	if (c->n == c->cap) {
		struct step *more = realloc(c->step, (2 * c->cap + 8) * sizeof(*more));

		if (!more)
			return -ENOMEM;
		c->step = more;
		c->cap = 2 * c->cap + 8;
	}
	c->step[c->n++] = step;
	return 0;
}

static int inflate_base(struct store *s, const struct entry_head *h, struct rd stored, struct object **ret)
{
	struct object *o;
	size_t used;
	int r = h->size > PACK_WHOLE_MAX ? -EFBIG : object_new(h->size, (enum object_type)h->type, &o);

	if (r)
		return r;
	if (inflater_whole(s->z, stored, o->bytes, o->n, &used) != PARSE_OK) {
		put(o);
		return -EBADMSG;
	}
	*ret = o;
	return 0;
}

/* Where the base of a delta is. With *ret_object it is none of a pack here. */
static int base_of(struct store *s, struct store_pack **p, uint64_t *at, const struct entry_head *h,
		   struct object **ret_object)
{
	struct store_pack *other;

	if (h->type == ENTRY_OFS_DELTA) {
		if (h->back >= *at)
			return -EBADMSG;
		*at -= h->back;
		return 0;
	}
	if (index_find(&(*p)->index, &h->base, at))
		return 0;
	other = find(s, &h->base, at);
	if (other) {
		*p = other;
		return 0;
	}
	if (has_loose(s, &h->base))
		return read_object(s, &h->base, PACK_WHOLE_MAX, ret_object);
	return s->beyond ? read_object(s->beyond, &h->base, PACK_WHOLE_MAX, ret_object) : -ENOENT;
}

/* From a place down to an object that is no delta, noting the deltas on the way. */
static int follow(struct store *s, struct store_pack *p, uint64_t at, struct chain *c, struct object **ret)
{
	struct object *o = NULL;
	int r = 0;

	while (!r && !o) {
		struct entry_head h;
		struct rd in;

		o = cached(s, p, at);
		if (o)
			break;
		if (!p->pack.n)
			r = map_file(p->path, &p->pack);
		in = p->pack;
		if (r || !rd_skip(&in, at) || entry_head(&in, s->format, &h) != PARSE_OK)
			return r ? r : -EBADMSG;
		if (!entry_is_delta(h.type)) {
			r = inflate_base(s, &h, in, &o);
			if (!r)
				cache(s, p, at, o);
			break;
		}
		r = h.size > PACK_WHOLE_MAX ? -EFBIG : note(c, (struct step){ p, in, h.size, at });
		r = r ? r : base_of(s, &p, &at, &h, &o);
	}
	*ret = o;
	return r;
}

/* The next object of a chain; the base's count is ours. */
static int make(struct store *s, const struct step *step, struct object *base, struct object **ret)
{
	AUTO(mem) uint8_t *delta = malloc(step->size ? step->size : 1);
	struct rd in = rd_of(delta, step->size);
	struct object *o = NULL;
	struct entry_delta d;
	struct wr to;
	size_t used;
	int r = delta ? 0 : -ENOMEM;

	if (!r && (inflater_whole(s->z, step->stored, delta, step->size, &used) != PARSE_OK ||
		   entry_delta(&in, &d) != PARSE_OK || d.base != base->n))
		r = -EBADMSG;
	if (!r)
		r = d.result > PACK_WHOLE_MAX ? -EFBIG : object_new(d.result, base->type, &o);
	if (!r) {
		to = wr_of(o->bytes, o->n);
		r = entry_patch(in, rd_of(base->bytes, base->n), &to) == PARSE_OK ? 0 : -EBADMSG;
	}
	put(base);
	if (r) {
		put(o);
		return r;
	}
	cache(s, step->pack, step->at, o);
	*ret = o;
	return 0;
}

static int read_packed(struct store *s, struct store_pack *p, uint64_t at, struct object **ret)
{
	struct chain c = { 0 };
	struct object *o = NULL;
	int r = follow(s, p, at, &c, &o);

	while (!r && c.n)
		r = make(s, &c.step[--c.n], o, &o);
	free(c.step);
	if (!r)
		*ret = o;
	return r;
}

static int read_loose(struct store *s, const struct oid *oid, uint64_t max, struct object **ret)
{
	struct object *o = calloc(1, sizeof(*o));
	int r = !o ? -ENOMEM : s->loose[oid->byte[0]] ? loose_read(s->dir, oid, s->format, max, &o->type, &o->bytes, &o->n) : -ENOENT;

	if (r) {
		free(o);
		return r;
	}
	o->users = 1;
	*ret = o;
	return 0;
}

static int read_object(struct store *s, const struct oid *oid, uint64_t max, struct object **ret)
{
	uint64_t at;
	struct store_pack *p = find(s, oid, &at);
	int r = p ? read_packed(s, p, at, ret) : read_loose(s, oid, max, ret);

	if (!r && (*ret)->n > max) {
		put(*ret);
		return -EFBIG;
	}
	return r;
}

int store_read(struct store *s, const struct oid *oid, uint64_t max, enum object_type *ret_type, struct rd *ret_bytes)
{
	int r;

	put(STEAL(s->given));
	r = read_object(s, oid, max, &s->given);
	if (r) {
		s->given = NULL;
		return r;
	}
	*ret_type = s->given->type;
	*ret_bytes = rd_of(s->given->bytes, s->given->n);
	return 0;
}

/* ---- types ---- */

/* The head of the entry at this place. */
static int head_at(struct store *s, struct store_pack *p, uint64_t at, struct entry_head *ret)
{
	int r = p->pack.n ? 0 : map_file(p->path, &p->pack);
	struct rd in = p->pack;

	if (r)
		return r;
	return rd_skip(&in, at) && entry_head(&in, s->format, ret) == PARSE_OK ? 0 : -EBADMSG;
}

static int type_by_reading(struct store *s, const struct oid *oid, enum object_type *ret)
{
	struct rd bytes;
	int r = store_read(s, oid, PACK_WHOLE_MAX, ret, &bytes);

	if (r == -EFBIG)
		*ret = OBJECT_BLOB;		/* others are never that large */
	return r == -EFBIG ? 0 : r;
}

/* A delta has the type of its base: the heads tell it, down the chain. */
int store_type(struct store *s, const struct oid *oid, enum object_type *ret)
{
	struct entry_head h = { .type = ENTRY_REF_DELTA, .base = *oid };
	struct store_pack *p = NULL;
	uint64_t at = 0;

	for (size_t n = 0; n <= PACK_DEPTH_MAX && entry_is_delta(h.type); n++) {
		int r;

		if (h.type == ENTRY_REF_DELTA)
			p = find(s, &h.base, &at);
		else if (h.back < at)
			at -= h.back;
		else
			return -EBADMSG;
		if (!p)
			return type_by_reading(s, &h.base, ret);
		r = head_at(s, p, at, &h);
		if (r)
			return r;
	}
	if (entry_is_delta(h.type))
		return -ELOOP;
	*ret = (enum object_type)h.type;
	return 0;
}
