/*
 * objects.c - the objects of a push: those of its pack, and those the mirror has
 *
 * Theory of operation: two stores. The mirror's is made of files; that of the pack has one pack, an index
 * made in memory, and leans on the mirror's, since a client's deltas do. While the pack is read, threads
 * ask the mirror for bases under a lock. An id that both have must have the same bytes in both: else one
 * of them would be shown to whoever asks for the other.
 */
#include "gitproxy/gate/objects.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>

#include "gitproxy/gate/objects_open.h"
#include "gitproxy/gate/store.h"

struct objects {
	enum object_format format;
	struct store *mirror, *push;
	pthread_mutex_t lock;		/* of mirror, while the pack is read */
	struct pack_outside outside;
	struct index_row *rows;
	size_t n;
	uint8_t *index_bytes;
	struct index index;
};

static int read_outside(struct pack_outside *outside, const struct oid *oid, uint64_t max, enum object_type *ret_type,
			uint8_t **ret_bytes, size_t *ret_n)
{
	struct objects *o = container_of(outside, struct objects, outside);
	uint8_t *copy = NULL;
	struct rd bytes;
	int r;

	pthread_mutex_lock(&o->lock);
	r = store_read(o->mirror, oid, max, ret_type, &bytes);
	if (!r) {
		copy = malloc(bytes.n ? bytes.n : 1);
		r = copy ? 0 : -ENOMEM;
	}
	if (!r && bytes.n)
		memcpy(copy, bytes.p, bytes.n);
	pthread_mutex_unlock(&o->lock);
	if (r)
		return r;
	*ret_bytes = copy;
	*ret_n = bytes.n;
	return 0;
}

int objects_new(const char *git_dir, enum object_format format, struct objects **ret)
{
	AUTO(objects) struct objects *o = calloc(1, sizeof(*o));
	int r;

	if (!o)
		return -ENOMEM;
	o->format = format;
	o->outside.read = read_outside;
	pthread_mutex_init(&o->lock, NULL);
	r = store_new(git_dir, format, NULL, &o->mirror);
	if (!r)
		r = store_new(NULL, format, o->mirror, &o->push);
	if (!r)
		*ret = STEAL(o);
	return r;
}

void objects_free(struct objects *o)
{
	if (!o)
		return;
	store_free(o->push);
	store_free(o->mirror);
	pthread_mutex_destroy(&o->lock);
	free(o->rows);
	free(o->index_bytes);
	free(o);
}

struct pack_outside *objects_outside(struct objects *o)
{
	return &o->outside;
}

/* As git does, whatever a hash's worth. */
static int compare(struct objects *o, const struct oid *oid, struct pack *p)
{
	enum object_type theirs, ours;
	struct rd a, b;
	int r = store_has(o->mirror, oid);

	if (r <= 0)
		return r;
	r = store_read(o->mirror, oid, PACK_WHOLE_MAX, &ours, &b);
	if (!r)
		r = store_read(o->push, oid, PACK_WHOLE_MAX, &theirs, &a);
	if (r)
		return r == -EFBIG ? 0 : r;
	return ours == theirs && rd_eq(a, b.p, b.n) ? 0 : pack_fail(p, -EBADMSG, "an object of it collides with another");
}

int objects_take_pack(struct objects *o, struct pack *p)
{
	size_t n = 0;
	int r = index_rows(p, &o->rows);

	if (!r)
		r = index_make(o->rows, p->n, o->format, &p->trailer, &o->index_bytes, &n);
	if (!r && index_open(rd_of(o->index_bytes, n), o->format, &o->index) != PARSE_OK)
		r = -EIO;
	if (!r)
		r = store_add(o->push, p->file, &o->index);
	o->n = p->n;
	for (size_t i = 0; i < o->n && !r; i++)
		r = compare(o, &o->rows[i].oid, p);
	return r;
}

struct index_row *objects_rows(const struct objects *o)
{
	return o->rows;
}

size_t objects_count(const struct objects *o)
{
	return o->n;
}

const struct oid *objects_at(const struct objects *o, size_t i)
{
	return &o->rows[i].oid;
}

bool objects_in_pack(const struct objects *o, const struct oid *oid)
{
	uint64_t at;

	return o->n && index_find(&o->index, oid, &at);
}

int objects_in_mirror(struct objects *o, const struct oid *oid)
{
	return store_has(o->mirror, oid);
}

int objects_mirror_type(struct objects *o, const struct oid *oid, enum object_type *ret)
{
	return store_type(o->mirror, oid, ret);
}

int objects_read(struct objects *o, const struct oid *oid, enum object_type *ret_type, struct rd *ret_bytes)
{
	return store_read(objects_in_pack(o, oid) ? o->push : o->mirror, oid, PACK_LARGE, ret_type, ret_bytes);
}
