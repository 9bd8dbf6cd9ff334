/*
 * resolve.c - each object of a pack, once for its id and once to be seen
 *
 * Theory of operation: twice over the pack: pack_ids() hashes, pack_show() shows, since who looks
 * at an object wants to know which ids are the pack's. Threads take entries that are no deltas, in
 * the order of the file. Each is inflated, and hashed or shown; then what leans on it, depth first,
 * each made from its base while that is at hand: so every object is made once each time. The child
 * on which most others lean comes last, and its base is let go before it is gone into: no more
 * objects are held than the logarithm of the number of objects, whatever trees a client makes of
 * its deltas. Deltas whose base is named by id are children of whatever gets that id. What then
 * remains leans on objects outside, which are read and gone into in the same way. Only one thread
 * at a time goes into objects of more than PACK_LARGE bytes.
 * Invariants: an entry is shown once (done); an id that comes twice is refused later, when all are
 * sorted (index.c); what is held of all threads is counted and bounded.
 */
#include <errno.h>
#include <openssl/evp.h>
#include <stdio.h>

#include "gitproxy/gate/pack.h"

enum { FEW = 2000, FEW_BYTES = 4 << 20, TURN = 16, TELL_EVERY = 64 };

static const char too_much[] = "its deltas need too much memory; git -c core.bigFileThreshold=100m push";

struct frame {				/* an object on which others lean that are still to come */
	uint8_t *bytes;
	size_t n;
	uint32_t next, heavy;		/* children by offset; the one that comes last */
	uint32_t lean, lean_end;	/* and by id */
	uint16_t depth;
	uint8_t type;
};

struct crowd {
	struct pack *p;
	struct pack_visitor *v;
	uint32_t turn;			/* the next entry nobody has taken; or the next added */
	bool outside;			/* of what was added */
	bool shows;			/* ids are known: to the visitor; else to find them */
};

struct worker {
	struct crowd *crowd;
	unsigned number;
	struct inflater *z;
	EVP_MD_CTX *hash;
	EVP_MD *md;
	uint8_t *delta;			/* room for instructions */
	size_t delta_cap;
	struct frame *stack;
	size_t frames, frames_cap;
	bool large;			/* holds the lock of that name */
	uint32_t told;
	pthread_t thread;
	struct inflater_sink sink;
};

static int take(struct worker *w, uint64_t n, uint8_t **ret)
{
	struct pack *p = w->crowd->p;

	if (n > PACK_LARGE && !w->large) {
		pthread_mutex_lock(&p->large);
		w->large = true;
	}
	if (n > PACK_WHOLE_MAX || __atomic_add_fetch(&p->held, n, __ATOMIC_RELAXED) > PACK_HELD_MAX)
		return pack_fail(p, -EFBIG, too_much);
	*ret = malloc(n ? n : 1);
	return *ret ? 0 : -ENOMEM;
}

static void give_back(struct worker *w, uint8_t *bytes, size_t n)
{
	free(bytes);
	__atomic_sub_fetch(&w->crowd->p->held, n, __ATOMIC_RELAXED);
}

static bool hash_begin(struct worker *w, enum object_type type, uint64_t size)
{
	static const char *const names[] = { "", "commit", "tree", "blob", "tag" };
	char head[32];
	int n = snprintf(head, sizeof(head), "%s %llu", names[type], (unsigned long long)size);

	return EVP_DigestInit_ex(w->hash, w->md, NULL) == 1 && EVP_DigestUpdate(w->hash, head, (size_t)n + 1) == 1;
}

static int hash_end(struct worker *w, struct oid *ret)
{
	uint8_t out[EVP_MAX_MD_SIZE];

	*ret = (struct oid){ 0 };
	if (EVP_DigestFinal_ex(w->hash, out, NULL) != 1)
		return -ENOMEM;
	memcpy(ret->byte, out, oid_size(w->crowd->p->spec.format));
	return 0;
}

/* Count it, and say so now and then. */
static int seen(struct worker *w)
{
	struct pack *p = w->crowd->p;
	uint32_t n = __atomic_add_fetch(&p->seen, 1, __ATOMIC_RELAXED);

	if (w->number || ++w->told % TELL_EVERY || !w->crowd->v->progress)
		return 0;
	return w->crowd->v->progress(w->crowd->v, n, p->n);
}

static int show(struct worker *w, uint32_t i, enum object_type type, struct rd bytes)
{
	struct pack *p = w->crowd->p;
	int r = -ENOMEM;

	if (w->crowd->shows) {
		r = w->crowd->v->object(w->crowd->v, w->number, &p->oid[i], type, bytes);
	} else if (hash_begin(w, type, bytes.n) && EVP_DigestUpdate(w->hash, bytes.p, bytes.n) == 1) {
		r = hash_end(w, &p->oid[i]);
		p->entry[i].type = (uint8_t)type;
	}
	return r ? r : seen(w);
}

/* The first lean on this id or a greater one. */
static uint32_t first_lean(const struct pack *p, const struct oid *oid)
{
	uint32_t low = 0, high = p->n_lean;

	while (low < high) {
		uint32_t mid = low + (high - low) / 2;

		if (oid_compare(&p->lean[mid].base, oid) < 0)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

/*
 * What leans on an object; its bytes are the frame's, which is not on the stack yet. By its id that is one
 * object's alone: a pack may have it many times, and very many that lean on it.
 */
static struct frame frame_of(const struct pack *p, const struct pack_entry *e, const struct oid *oid,
			     enum object_type type)
{
	struct frame f = { .next = e ? e->first : PACK_NONE, .heavy = PACK_NONE, .type = (uint8_t)type,
			   .depth = e ? e->depth : 0 };

	for (uint32_t c = f.next; c != PACK_NONE; c = p->entry[c].next)
		if (f.heavy == PACK_NONE || p->entry[c].weight > p->entry[f.heavy].weight)
			f.heavy = c;
	f.lean = f.lean_end = p->n_lean ? first_lean(p, oid) : 0;
	if (f.lean == p->n_lean || oid_compare(&p->lean[f.lean].base, oid))
		return f;
	if (!__atomic_exchange_n(&p->lean[f.lean].taken, true, __ATOMIC_ACQ_REL))
		f.lean_end = p->lean[f.lean].end;
	return f;
}

static bool childless(const struct frame *f)
{
	return f->next == PACK_NONE && f->heavy == PACK_NONE && f->lean == f->lean_end;
}

/* The next child; the heavy one is the last. */
static uint32_t child(const struct pack *p, struct frame *f)
{
	uint32_t c = f->next;

	if (c != PACK_NONE && c == f->heavy)
		c = p->entry[c].next;
	f->next = c == PACK_NONE ? PACK_NONE : p->entry[c].next;
	if (f->next != PACK_NONE && f->next == f->heavy)
		f->next = p->entry[f->next].next;
	if (c != PACK_NONE)
		return c;
	if (f->lean < f->lean_end)
		return p->lean[f->lean++].entry;
	c = f->heavy;
	f->heavy = PACK_NONE;
	return c;
}

static int push(struct worker *w, struct frame f)
{
	if (w->frames == w->frames_cap) {
		size_t cap = w->frames_cap ? 2 * w->frames_cap : 64;
		struct frame *more = realloc(w->stack, cap * sizeof(*more));

		if (!more) {
			give_back(w, f.bytes, f.n);
			return -ENOMEM;
		}
		w->stack = more;
		w->frames_cap = cap;
	}
	w->stack[w->frames++] = f;
	return 0;
}

static struct rd stored(const struct pack *p, const struct pack_entry *e)
{
	return rd_of(p->file.p + e->at + e->data, p->file.n - oid_size(p->spec.format) - e->at - e->data);
}

static int instructions(struct worker *w, const struct pack_entry *e, struct rd *ret)
{
	size_t used;

	if (e->stored > w->delta_cap) {
		free(w->delta);
		w->delta = malloc(e->stored);
		w->delta_cap = w->delta ? e->stored : 0;
		if (!w->delta)
			return -ENOMEM;
	}
	if (inflater_whole(w->z, stored(w->crowd->p, e), w->delta, e->stored, &used) != PARSE_OK)
		return pack_fail(w->crowd->p, -EBADMSG, "an entry's bytes are malformed");
	*ret = rd_of(w->delta, e->stored);
	return 0;
}

/* Make a delta's object from its base. */
static int make(struct worker *w, const struct pack_entry *e, const struct frame *base, uint8_t **ret)
{
	struct entry_delta d;
	struct rd in;
	struct wr to;
	int r = instructions(w, e, &in);

	if (r)
		return r;
	if (entry_delta(&in, &d) != PARSE_OK || d.base != base->n || d.result != e->size)
		return pack_fail(w->crowd->p, -EBADMSG, "a delta does not fit its base");
	r = take(w, e->size, ret);
	if (r)
		return r;
	to = wr_of(*ret, e->size);
	if (entry_patch(in, rd_of(base->bytes, base->n), &to) == PARSE_OK)
		return 0;
	give_back(w, STEAL(*ret), e->size);
	return pack_fail(w->crowd->p, -EBADMSG, "a delta is malformed");
}

static void pop(struct worker *w)
{
	struct frame *top = &w->stack[--w->frames];

	give_back(w, top->bytes, top->n);
}

/* One step: the next child of the topmost, which goes when that was its last. */
static int descend(struct worker *w)
{
	struct pack *p = w->crowd->p;
	struct frame *top = &w->stack[w->frames - 1], f;
	uint32_t c = child(p, top);
	struct pack_entry *e = &p->entry[c];
	uint16_t depth = top->depth + 1;
	enum object_type type = (enum object_type)top->type;
	/* An id may be both outside and in the pack: who comes first makes what leans on it. */
	bool mine = !__atomic_exchange_n(&e->done, true, __ATOMIC_ACQ_REL);
	uint8_t *bytes = NULL;
	int r = 0;

	if (depth > PACK_DEPTH_MAX)
		return pack_fail(p, -EFBIG, "its deltas lean on too many others");
	if (mine)
		r = make(w, e, top, &bytes);
	if (childless(top))
		pop(w);
	if (r || !mine)
		return r;
	e->depth = depth;
	r = show(w, c, type, rd_of(bytes, e->size));
	f = frame_of(p, e, &p->oid[c], type);
	f.bytes = bytes;
	f.n = e->size;
	if (!r && !childless(&f))
		return push(w, f);
	give_back(w, bytes, e->size);
	return r;
}

static int go_through(struct worker *w, struct frame f)
{
	int r = push(w, f);

	while (!r && w->frames) {
		r = descend(w);
		if (!r && __atomic_load_n(&w->crowd->p->failed, __ATOMIC_ACQUIRE))
			r = -ECANCELED;
	}
	while (w->frames)
		pop(w);
	return r;
}

static bool hash_piece(struct inflater_sink *s, struct rd bytes)
{
	struct worker *w = container_of(s, struct worker, sink);

	return EVP_DigestUpdate(w->hash, bytes.p, bytes.n) == 1;
}

static bool show_piece(struct inflater_sink *s, struct rd bytes)
{
	struct worker *w = container_of(s, struct worker, sink);

	return !w->crowd->v->piece(w->crowd->v, w->number, bytes);
}

static int stream(struct worker *w, const struct pack_entry *e, bool (*piece)(struct inflater_sink *, struct rd))
{
	size_t used;

	w->sink.piece = piece;
	return inflater_stream(w->z, stored(w->crowd->p, e), e->size, &w->sink, &used) == PARSE_OK ?
		       0 : pack_fail(w->crowd->p, -EIO, "an object of it could not be read");
}

static int show_large(struct worker *w, uint32_t i)
{
	struct pack *p = w->crowd->p;
	struct pack_visitor *v = w->crowd->v;
	const struct pack_entry *e = &p->entry[i];
	int r;

	if (w->crowd->shows) {
		r = v->begin(v, w->number, &p->oid[i], e->size);
		r = r ? r : stream(w, e, show_piece);
		r = r ? r : v->end(v, w->number);
	} else {
		r = hash_begin(w, OBJECT_BLOB, e->size) ? 0 : -ENOMEM;
		r = r ? r : stream(w, e, hash_piece);
		r = r ? r : hash_end(w, &p->oid[i]);
	}
	return r ? r : seen(w);
}

static int load(struct worker *w, const struct pack_entry *e, uint8_t **ret)
{
	size_t used;
	int r = take(w, e->size, ret);

	if (r)
		return r;
	if (inflater_whole(w->z, stored(w->crowd->p, e), *ret, e->size, &used) == PARSE_OK)
		return 0;
	give_back(w, STEAL(*ret), e->size);
	return pack_fail(w->crowd->p, -EBADMSG, "an entry's bytes are malformed");
}

/* An object that is no delta, and all that leans on it. */
static int root(struct worker *w, uint32_t i)
{
	struct pack *p = w->crowd->p;
	struct pack_entry *e = &p->entry[i];
	bool large = e->size > PACK_LARGE;
	uint8_t *bytes = NULL;
	struct frame f;
	int r;

	e->done = true;
	r = large ? show_large(w, i) : load(w, e, &bytes);
	if (!r && !large)
		r = show(w, i, (enum object_type)e->kind, rd_of(bytes, e->size));
	f = frame_of(p, e, &p->oid[i], (enum object_type)e->kind);
	if (!r && large && !childless(&f))
		r = load(w, e, &bytes);
	f.bytes = bytes;
	f.n = e->size;
	if (!r && !childless(&f))
		return go_through(w, f);
	if (bytes)
		give_back(w, bytes, e->size);
	return r;
}

/* What leans on an object outside. */
static int outside(struct worker *w, struct pack_added *a)
{
	struct pack *p = w->crowd->p;
	struct frame f = { 0 };
	uint8_t *bytes = NULL;
	size_t n = 0;
	int r = p->spec.outside->read(p->spec.outside, &a->oid, PACK_WHOLE_MAX, &a->type, &bytes, &n);

	if (r == -ENOENT)
		return 0;	/* an object of the pack may be it, once that is made */
	if (r == -EFBIG)
		return pack_fail(p, r, "a delta leans on an object of more than 256 MiB");
	if (r)
		return r;
	f = frame_of(p, NULL, &a->oid, a->type);
	f.bytes = bytes;
	f.n = n;
	if (__atomic_add_fetch(&p->held, n, __ATOMIC_RELAXED) <= PACK_HELD_MAX)
		return go_through(w, f);
	give_back(w, bytes, n);
	return pack_fail(p, -EFBIG, too_much);
}

static void *work(void *arg)
{
	struct worker *w = arg;
	struct crowd *c = w->crowd;
	struct pack *p = c->p;
	uint32_t n = c->outside ? p->n_added : p->n, i, end;
	int r = 0;

	while (!r && !__atomic_load_n(&p->failed, __ATOMIC_ACQUIRE)) {
		i = __atomic_fetch_add(&c->turn, TURN, __ATOMIC_RELAXED);
		if (i >= n)
			break;
		for (end = n - i < TURN ? n : i + TURN; i < end && !r; i++) {
			if (c->outside)
				r = outside(w, &p->added[i]);
			else if (!entry_is_delta(p->entry[i].kind))
				r = root(w, i);
			if (w->large) {
				w->large = false;
				pthread_mutex_unlock(&p->large);
			}
		}
	}
	if (r)
		pack_fail(p, r, "");
	return NULL;
}

static int worker_init(struct worker *w, struct crowd *c, unsigned number)
{
	*w = (struct worker){ .crowd = c, .number = number };
	w->md = EVP_MD_fetch(NULL, c->p->spec.format == OBJECT_SHA256 ? "SHA256" : "SHA1", NULL);
	w->hash = EVP_MD_CTX_new();
	return w->md && w->hash ? inflater_new(&w->z) : -ENOMEM;
}

static void worker_done(struct worker *w)
{
	inflater_free(w->z);
	EVP_MD_CTX_free(w->hash);
	EVP_MD_free(w->md);
	free(w->delta);
	free(w->stack);
}

/* All workers once over the roots, or over what was added. */
static int together(struct crowd c)
{
	struct pack *p = c.p;
	struct worker w[PACK_THREADS] = { 0 };
	unsigned n = p->n < FEW && p->inflated < FEW_BYTES ? 1 : PACK_THREADS, started = 1;
	int r = 0;

	for (unsigned i = 0; i < n && !r; i++)
		r = worker_init(&w[i], &c, i);
	for (; !r && started < n; started++)
		if (pthread_create(&w[started].thread, NULL, work, &w[started]))
			break;				/* fewer do it too */
	if (!r)
		work(&w[0]);
	for (unsigned i = 1; i < started; i++)
		pthread_join(w[i].thread, NULL);
	for (unsigned i = 0; i < PACK_THREADS; i++)
		worker_done(&w[i]);
	return r ? r : p->failed;
}

/* The bases of what is left, each once: to be looked for outside. */
static int list_bases(struct pack *p)
{
	p->added = calloc((size_t)p->n_lean + 1, sizeof(*p->added));
	if (!p->added)
		return -ENOMEM;
	for (uint32_t i = 0; i < p->n_lean; i++)
		if (!p->entry[p->lean[i].entry].done &&
		    (!p->n_added || oid_compare(&p->added[p->n_added - 1].oid, &p->lean[i].base)))
			p->added[p->n_added++].oid = p->lean[i].base;
	return 0;
}

/* Without those that were not there, after all. */
static void drop_absent(struct pack *p)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < p->n_added; i++)
		if (p->added[i].type != OBJECT_NONE)
			p->added[n++] = p->added[i];
	p->n_added = n;
}

static int nothing_left(struct pack *p)
{
	for (uint32_t i = 0; i < p->n_lean; i++)
		if (!p->entry[p->lean[i].entry].done) {
			p->missing = p->lean[i].base;
			return pack_fail(p, -ENOENT, "a delta's base is missing");
		}
	return p->seen == p->n ? 0 : pack_fail(p, -EBADMSG, "some of its deltas lean on each other");
}

int pack_ids(struct pack *p, struct pack_visitor *v)
{
	int r = together((struct crowd){ .p = p, .v = v });

	if (!r && p->seen < p->n)
		r = list_bases(p);
	if (!r && p->n_added && p->spec.outside)
		r = together((struct crowd){ .p = p, .v = v, .outside = true });
	drop_absent(p);
	return r ? r : nothing_left(p);
}

int pack_show(struct pack *p, struct pack_visitor *v)
{
	int r;

	for (uint32_t i = 0; i < p->n; i++)
		p->entry[i].done = false;
	for (uint32_t i = 0; i < p->n_lean; i++)
		p->lean[i].taken = false;
	p->seen = 0;
	r = together((struct crowd){ .p = p, .v = v, .shows = true });
	if (!r && p->n_added)
		r = together((struct crowd){ .p = p, .v = v, .shows = true, .outside = true });
	return r ? r : nothing_left(p);
}
