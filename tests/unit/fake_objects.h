/*
 * fake_objects.h - struct objects without a repository: objects of a pack and of a mirror, in memory
 */
#ifndef UNIT_FAKE_OBJECTS_H
#define UNIT_FAKE_OBJECTS_H

#include <errno.h>
#include <stdlib.h>

#include "gitproxy/gate/objects.h"

enum { FAKE_PACK = 1, FAKE_MIRROR = 2 };

struct fake_object {
	struct oid oid;
	enum object_type type;
	uint8_t *bytes;			/* exactly n, for the sanitizer */
	size_t n;
	int where;
};

struct objects {
	struct fake_object *all;	/* sorted by id when fake_done_adding() was called */
	size_t n, cap;
	struct oid *pack;
	size_t n_pack;
	size_t limit;			/* bytes; 0: none */
	unsigned reads, asked;
	int fail;			/* what a read comes to; 0: nothing */
	uint8_t *last;			/* of the read before: freed by the next one */
};

static inline void fake_add(struct objects *o, const struct oid *oid, enum object_type type, struct rd bytes, int where)
{
	struct fake_object *f;

	if (o->n == o->cap) {
		o->cap = 2 * o->cap + 64;
		o->all = realloc(o->all, o->cap * sizeof(*o->all));
		if (!o->all)
			abort();
	}
	f = &o->all[o->n++];
	*f = (struct fake_object){ .oid = *oid, .type = type, .bytes = malloc(bytes.n), .n = bytes.n, .where = where };
	if (bytes.n)
		memcpy(f->bytes, bytes.p, bytes.n);
}

/* Call once, when all are there. */
static inline void fake_ready(struct objects *o)
{
	if (o->n)
		qsort(o->all, o->n, sizeof(*o->all), oid_compare);
	o->pack = calloc(o->n + 1, sizeof(*o->pack));
	for (size_t i = 0; i < o->n; i++)
		if (o->all[i].where & FAKE_PACK)
			o->pack[o->n_pack++] = o->all[i].oid;
}

static inline void fake_free(struct objects *o)
{
	for (size_t i = 0; i < o->n; i++)
		free(o->all[i].bytes);
	free(o->all);
	free(o->pack);
	free(o->last);
	*o = (struct objects){ 0 };
}

static inline struct fake_object *fake_find(const struct objects *o, const struct oid *oid)
{
	return o->n ? bsearch(oid, o->all, o->n, sizeof(*o->all), oid_compare) : NULL;
}

size_t objects_count(const struct objects *o)
{
	return o->n_pack;
}

const struct oid *objects_at(const struct objects *o, size_t i)
{
	return &o->pack[i];
}

bool objects_in_pack(const struct objects *o, const struct oid *oid)
{
	struct fake_object *f = fake_find(o, oid);

	return f && f->where & FAKE_PACK;
}

int objects_in_mirror(struct objects *o, const struct oid *oid)
{
	struct fake_object *f = fake_find(o, oid);

	o->asked++;
	return o->fail ? o->fail : f && f->where & FAKE_MIRROR;
}

int objects_mirror_type(struct objects *o, const struct oid *oid, enum object_type *ret)
{
	struct fake_object *f = fake_find(o, oid);

	o->asked++;
	if (o->fail || !f || !(f->where & FAKE_MIRROR))
		return o->fail ? o->fail : -ENOENT;
	*ret = f->type;
	return 0;
}

int objects_read(struct objects *o, const struct oid *oid, enum object_type *ret_type, struct rd *ret_bytes)
{
	struct fake_object *f = fake_find(o, oid);

	o->reads++;
	if (o->fail)
		return o->fail;
	if (!f)
		return -ENOENT;
	if (o->limit && f->n > o->limit)
		return -EFBIG;
	free(o->last);
	o->last = malloc(f->n);
	if (f->n)
		memcpy(o->last, f->bytes, f->n);
	*ret_type = f->type;
	*ret_bytes = rd_of(o->last, f->n);
	return 0;
}

#endif
