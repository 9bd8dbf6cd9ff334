/*
 * contents.c - the secrets in what a push brings
 *
 * Theory of operation: every object of the pack is scanned whole, whatever it is and however it is
 * reached: blobs (files, targets of links, notes, .gitmodules), commits and tags with all of their
 * headers, and the names in trees. Of a tree only those: ids are random bytes. Each thread has its own
 * scratch; hits are rare and go to one list under a lock. An accepted secret is in the list once, so
 * that what its operator accepted does not crowd out what counts.
 */
#include "gitproxy/gate/contents.h"

#include <errno.h>
#include <string.h>
#include <time.h>

struct reader {				/* of one thread */
	struct scan_sink sink;
	struct contents *owner;
	struct scan_scratch *scratch;
	uint8_t *names;			/* room for a tree's */
	size_t cap;
	struct contents_hit like;	/* what a hit is of */
};

struct contents {
	size_t oid_size;
	const struct scan_exceptions *exceptions;
	time_t now;
	struct reader reader[PACK_THREADS];
	pthread_mutex_t lock;		/* of what follows */
	struct contents_hit *hit;
	size_t n, cap;
	uint64_t accepted;
	bool failed, cut;
};

static struct contents_hit *place_for(struct contents *c)
{
	if (c->n == CONTENTS_HITS_MAX) {
		c->cut = true;
		return NULL;
	}
	if (c->n == c->cap) {
		size_t cap = c->cap ? 2 * c->cap : 16;
		struct contents_hit *more = realloc(c->hit, cap * sizeof(*more));

		if (!more) {
			c->failed = true;
			return NULL;
		}
		c->hit = more;
		c->cap = cap;
	}
	return &c->hit[c->n++];
}

static bool told_before(const struct contents *c, const char *fingerprint)
{
	for (size_t i = 0; i < c->n; i++)
		if (c->hit[i].weight == GATE_ACCEPTED && !strcmp(c->hit[i].fingerprint, fingerprint))
			return true;
	return false;
}

static void found(struct scan_sink *sink, const struct scan_finding *f)
{
	struct reader *r = container_of(sink, struct reader, sink);
	struct contents *c = r->owner;
	struct contents_hit h = r->like, *to = NULL;

	h.rule = f->rule;
	memcpy(h.fingerprint, f->fingerprint, sizeof(h.fingerprint));
	h.weight = c->exceptions && scan_exceptions_accept(c->exceptions, f->fingerprint, c->now) ? GATE_ACCEPTED : GATE_HELD;
	h.line = h.place == GATE_NAME ? 0 : f->line;
	h.column = h.place == GATE_NAME ? 0 : f->column;
	pthread_mutex_lock(&c->lock);
	if (h.weight == GATE_ACCEPTED)
		c->accepted++;
	if (h.weight == GATE_HELD || !told_before(c, h.fingerprint))
		to = place_for(c);
	if (to)
		*to = h;
	pthread_mutex_unlock(&c->lock);
}

static void judge(struct contents *c, enum scan_verdict v)
{
	if (v == SCAN_CLEAN || v == SCAN_FOUND)
		return;
	pthread_mutex_lock(&c->lock);
	*(v == SCAN_CUT ? &c->cut : &c->failed) = true;
	pthread_mutex_unlock(&c->lock);
}

int contents_new(const struct scan *engine, enum object_format format, const struct scan_exceptions *x,
		 struct contents **ret)
{
	AUTO(contents) struct contents *c = calloc(1, sizeof(*c));
	int r = c ? 0 : -ENOMEM;

	if (r)
		return r;
	c->oid_size = oid_size(format);
	c->exceptions = x;
	c->now = time(NULL);
	pthread_mutex_init(&c->lock, NULL);
	for (unsigned i = 0; i < PACK_THREADS && !r; i++) {
		c->reader[i].owner = c;
		c->reader[i].sink.found = found;
		r = scan_scratch_new(engine, &c->reader[i].scratch);
	}
	if (!r)
		*ret = STEAL(c);
	return r;
}

void contents_free(struct contents *c)
{
	if (!c)
		return;
	for (unsigned i = 0; i < PACK_THREADS; i++) {
		scan_scratch_free(c->reader[i].scratch);
		free(c->reader[i].names);
	}
	pthread_mutex_destroy(&c->lock);
	free(c->hit);
	free(c);
}

/* The names of a tree, a line each. What is no tree: as it is. */
static struct rd names_of(struct reader *r, struct rd tree, size_t oid_size_)
{
	struct rd in = tree, mode, name, oid;
	struct wr w;

	if (r->cap < tree.n) {
		free(r->names);
		r->names = malloc(tree.n);
		r->cap = r->names ? tree.n : 0;
	}
	if (r->cap < tree.n)
		return tree;
	w = wr_of(r->names, r->cap);
	while (rd_left(&in)) {
		if (!rd_until(&in, ' ', &mode) || !rd_until(&in, '\0', &name) || !rd_take(&in, oid_size_, &oid))
			return tree;
		wr_rd_all(&w, name);
		wr_u8(&w, '\n');
	}
	return wr_ok(&w) ? wr_rd(&w) : tree;
}

void contents_object(struct contents *c, unsigned thread, const struct oid *oid, enum object_type type, struct rd bytes)
{
	static const uint8_t places[] = { [OBJECT_COMMIT] = GATE_COMMIT, [OBJECT_TREE] = GATE_NAME,
					  [OBJECT_BLOB] = GATE_BLOB, [OBJECT_TAG] = GATE_TAG };
	struct reader *r = &c->reader[thread];

	r->like = (struct contents_hit){ .object = *oid, .place = places[type] };
	if (type == OBJECT_TREE)
		bytes = names_of(r, bytes, c->oid_size);
	judge(c, scan_buffer(r->scratch, NULL, bytes, &r->sink));
}

void contents_begin(struct contents *c, unsigned thread, const struct oid *oid)
{
	struct reader *r = &c->reader[thread];

	r->like = (struct contents_hit){ .place = oid ? GATE_BLOB : GATE_LFS };
	if (oid)
		r->like.object = *oid;
	scan_begin(r->scratch, NULL, &r->sink);
}

void contents_piece(struct contents *c, unsigned thread, struct rd bytes)
{
	scan_feed(c->reader[thread].scratch, bytes);
}

void contents_end(struct contents *c, unsigned thread)
{
	judge(c, scan_end(c->reader[thread].scratch));
}

void contents_text(struct contents *c, enum gate_place place, uint32_t index, struct rd text)
{
	struct reader *r = &c->reader[0];

	r->like = (struct contents_hit){ .place = (uint8_t)place, .index = index };
	judge(c, scan_buffer(r->scratch, NULL, text, &r->sink));
}

bool contents_failed(const struct contents *c)
{
	return c->failed;
}

bool contents_cut(const struct contents *c)
{
	return c->cut;
}

struct contents_hit *contents_hits(struct contents *c, size_t *ret_n)
{
	*ret_n = c->n;
	return c->hit;
}

uint64_t contents_accepted(const struct contents *c)
{
	return c->accepted;
}

struct look { struct scan_sink sink; const struct contents_hit *hit; bool is; };

static void compare(struct scan_sink *sink, const struct scan_finding *f)
{
	struct look *l = container_of(sink, struct look, sink);

	l->is |= f->rule == l->hit->rule && !strcmp(f->fingerprint, l->hit->fingerprint);
}

bool contents_has(struct contents *c, enum object_type type, struct rd bytes, const struct contents_hit *hit)
{
	struct reader *r = &c->reader[0];
	struct look l = { .sink.found = compare, .hit = hit };

	if (type == OBJECT_TREE)
		bytes = names_of(r, bytes, c->oid_size);
	scan_buffer(r->scratch, NULL, bytes, &l.sink);
	return l.is;
}

static void ignore(struct scan_sink *sink, const struct scan_finding *f)
{
	(void)sink, (void)f;
}

bool contents_any(struct contents *c, struct rd text)
{
	struct scan_sink sink = { ignore };

	return scan_buffer(c->reader[0].scratch, NULL, text, &sink) != SCAN_CLEAN;
}
