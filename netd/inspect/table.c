/*
 * table.c - hash table, buffers and shares
 *
 * Theory of operation: records live in one array. Chained hashing with a key drawn at start (a sandbox
 * chooses ports, and must not choose buckets). Recorded bytes are in two pools: small buffers hold any
 * usual hello, large ones a hello with a first flight of early data; when there is none left, the segment
 * that needs it is dropped and TCP sends it again in smaller pieces.
 * Fairness: each sandbox has a list of its records by age, and shares of records and buffers that it
 * cannot exceed, so a sandbox that holds flows half open loses its own. When all records are in use the
 * sandbox that holds most, of a few looked at, gives its oldest.
 * Invariant: a record that passed a packet less than FLOW_QUIET_MS ago is never given away: flow.c
 * relies on its memory of sequence numbers. So a sandbox has at most share_flows new connections in that
 * time; further SYNs are refused.
 * Memory: arrays are mapped at start and touched when first used; the free lists are last in, first out.
 */
#include "netd/inspect/table.h"

#include <errno.h>
#include <sys/mman.h>
#include <sys/random.h>

enum { NONE = UINT32_MAX, SANDBOXES = 1 << 16, LOOKED_AT = 16 };

/* How long a record without packets is kept. */
enum { AGE_SYN_SENT_MS = 30000, AGE_OPEN_MS = 300000, AGE_DECIDED_MS = 10000, AGE_REFUSED_MS = 60000 };

const struct table_sizes table_default_sizes = {
	.flows = 65536, .small = 8192, .large = 256,
	.share_flows = 1024, .share_small = 512, .share_large = 16,
};

struct slot {
	struct flow_key key;
	struct flow flow;
	uint32_t next;			/* in its bucket, or in the free list */
	uint32_t older, newer;		/* of the same sandbox */
	uint16_t sandbox;
	bool used;
};

struct share {
	uint32_t oldest, newest;
	uint32_t flows, small, large;
};

struct pool {
	uint8_t *base;
	uint32_t *free;			/* stack of buffer numbers */
	uint32_t n_free, count;
	size_t size;
};

struct table {
	struct table_sizes sizes;
	uint64_t secret[2];
	struct slot *slots;
	uint32_t *buckets;		/* a power of two of them */
	uint32_t bucket_mask;
	uint32_t free, high, count;	/* free list; slots ever used; slots in use */
	struct share *shares;
	struct pool small, large;
	uint32_t look;			/* where the search for a victim goes on */
};

/* ---- the hash: SipHash-1-3 over the key ---- */

static uint64_t rotl(uint64_t v, unsigned n)
{
	return v << n | v >> (64 - n);
}

static void sip_round(uint64_t v[4])
{
	v[0] += v[1]; v[1] = rotl(v[1], 13); v[1] ^= v[0]; v[0] = rotl(v[0], 32);
	v[2] += v[3]; v[3] = rotl(v[3], 16); v[3] ^= v[2];
	v[0] += v[3]; v[3] = rotl(v[3], 21); v[3] ^= v[0];
	v[2] += v[1]; v[1] = rotl(v[1], 17); v[1] ^= v[2]; v[2] = rotl(v[2], 32);
}

_Static_assert(sizeof(struct flow_key) == 40, "hashed as five words, without padding");

static uint32_t key_hash(const struct table *t, const struct flow_key *key)
{
	uint64_t v[4] = { t->secret[0] ^ 0x736f6d6570736575, t->secret[1] ^ 0x646f72616e646f6d,
			  t->secret[0] ^ 0x6c7967656e657261, t->secret[1] ^ 0x7465646279746573 };
	uint64_t words[sizeof(*key) / 8];

	memcpy(words, key, sizeof(*key));
	for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
		v[3] ^= words[i];
		sip_round(v);
		v[0] ^= words[i];
	}
	v[2] ^= 0xff;
	for (int i = 0; i < 3; i++)
		sip_round(v);
	return (uint32_t)(v[0] ^ v[1] ^ v[2] ^ v[3]) & t->bucket_mask;
}

struct flow_key flow_key_of(enum flow_side from, const struct packet *p)
{
	bool client = from == FLOW_CLIENT;
	struct flow_key key = { .family = p->src.family };

	memcpy(key.guest, client ? p->src.b : p->dst.b, sizeof(key.guest));
	memcpy(key.server, client ? p->dst.b : p->src.b, sizeof(key.server));
	key.guest_port = client ? p->sport : p->dport;
	key.server_port = client ? p->dport : p->sport;
	return key;
}

/* ---- memory ---- */

static void *map(size_t n)
{
	void *p = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return p == MAP_FAILED ? NULL : p;
}

static void unmap(void *p, size_t n)
{
	if (p)
		munmap(p, n);
}

static bool pool_init(struct pool *p, uint32_t count, size_t size)
{
	p->count = p->n_free = count;
	p->size = size;
	p->base = map(count * size);
	p->free = map(count * sizeof(*p->free));
	if (!p->base || !p->free)
		return false;
	for (uint32_t i = 0; i < count; i++)
		p->free[i] = count - 1 - i;		/* the first to go is the lowest */
	return true;
}

static void pool_done(struct pool *p)
{
	unmap(p->base, p->count * p->size);
	unmap(p->free, p->count * sizeof(*p->free));
}

static uint8_t *pool_get(struct pool *p)
{
	return p->n_free ? p->base + p->free[--p->n_free] * p->size : NULL;
}

static void pool_put(struct pool *p, const uint8_t *buf)
{
	p->free[p->n_free++] = (uint32_t)((size_t)(buf - p->base) / p->size);
}

static uint32_t buckets_for(uint32_t flows)
{
	uint32_t n = 1;

	while (n < flows)
		n <<= 1;
	return n;
}

int table_new(const struct table_sizes *sizes, struct table **ret)
{
	AUTO(table) struct table *t = calloc(1, sizeof(*t));
	uint32_t buckets = buckets_for(sizes->flows);

	if (!t)
		return -ENOMEM;
	t->sizes = *sizes;
	t->free = NONE;
	t->bucket_mask = buckets - 1;
	t->slots = map(sizes->flows * sizeof(*t->slots));
	t->buckets = map(buckets * sizeof(*t->buckets));
	t->shares = map(SANDBOXES * sizeof(*t->shares));
	if (!t->slots || !t->buckets || !t->shares)
		return -ENOMEM;
	if (!pool_init(&t->small, sizes->small, TABLE_SMALL) ||
	    !pool_init(&t->large, sizes->large, TABLE_LARGE))
		return -ENOMEM;
	memset(t->buckets, 0xff, buckets * sizeof(*t->buckets));
	if (getrandom(t->secret, sizeof(t->secret), 0) != sizeof(t->secret))
		return -EIO;
	*ret = STEAL(t);
	return 0;
}

void table_free(struct table *t)
{
	if (!t)
		return;
	unmap(t->slots, t->sizes.flows * sizeof(*t->slots));
	unmap(t->buckets, (t->bucket_mask + (size_t)1) * sizeof(*t->buckets));
	unmap(t->shares, SANDBOXES * sizeof(*t->shares));
	pool_done(&t->small);
	pool_done(&t->large);
	free(t);
}

/* ---- a sandbox's records by age. Slot numbers are stored plus one, so that zeroed memory is empty. ---- */

static void share_add(struct table *t, struct slot *s)
{
	struct share *sh = &t->shares[s->sandbox];
	uint32_t at = (uint32_t)(s - t->slots) + 1;

	s->newer = 0;
	s->older = sh->newest;
	if (sh->newest)
		t->slots[sh->newest - 1].newer = at;
	else
		sh->oldest = at;
	sh->newest = at;
}

static void share_remove(struct table *t, struct slot *s)
{
	struct share *sh = &t->shares[s->sandbox];

	if (s->older)
		t->slots[s->older - 1].newer = s->newer;
	else
		sh->oldest = s->newer;
	if (s->newer)
		t->slots[s->newer - 1].older = s->older;
	else
		sh->newest = s->older;
}

/* ---- buffers ---- */

static void buffer_drop(struct table *t, struct slot *s)
{
	struct share *sh = &t->shares[s->sandbox];
	struct flow *f = &s->flow;

	if (!f->buf)
		return;
	if (f->cap == TABLE_SMALL) {
		pool_put(&t->small, f->buf);
		sh->small--;
	} else {
		pool_put(&t->large, f->buf);
		sh->large--;
	}
	f->buf = NULL;
	f->cap = 0;
}

void table_room(struct table *t, struct flow *f, uint32_t need)
{
	struct slot *s = container_of(f, struct slot, flow);
	struct share *sh = &t->shares[s->sandbox];
	bool small = need <= TABLE_SMALL;
	uint8_t *buf;

	if (need <= f->cap)
		return;
	if (small ? sh->small >= t->sizes.share_small : sh->large >= t->sizes.share_large)
		return;
	buf = pool_get(small ? &t->small : &t->large);
	if (!buf)
		return;
	if (f->n)
		memcpy(buf, f->buf, f->n);
	buffer_drop(t, s);
	f->buf = buf;
	f->cap = small ? TABLE_SMALL : TABLE_LARGE;
	*(small ? &sh->small : &sh->large) += 1;
}

/* ---- records ---- */

static struct slot *slot_find(struct table *t, const struct flow_key *key, uint32_t bucket)
{
	for (uint32_t at = t->buckets[bucket]; at != NONE; at = t->slots[at].next)
		if (!memcmp(&t->slots[at].key, key, sizeof(*key)))
			return &t->slots[at];
	return NULL;
}

struct flow *table_find(struct table *t, const struct flow_key *key)
{
	struct slot *s = slot_find(t, key, key_hash(t, key));

	return s ? &s->flow : NULL;
}

static void slot_drop(struct table *t, struct slot *s)
{
	uint32_t self = (uint32_t)(s - t->slots);
	uint32_t *link = &t->buckets[key_hash(t, &s->key)];

	while (*link != self)
		link = &t->slots[*link].next;
	*link = s->next;
	share_remove(t, s);
	buffer_drop(t, s);
	t->shares[s->sandbox].flows--;
	t->count--;
	s->used = false;
	s->next = t->free;
	t->free = self;
}

/* Drop the oldest record of a sandbox, if it is quiet. */
static bool share_shrink(struct table *t, uint16_t sandbox, uint64_t now)
{
	uint32_t oldest = t->shares[sandbox].oldest;

	if (!oldest || now - t->slots[oldest - 1].flow.seen_ms < FLOW_QUIET_MS)
		return false;
	slot_drop(t, &t->slots[oldest - 1]);
	return true;
}

/* All records are in use: look at a few, and take from whoever holds most. */
static bool table_shrink(struct table *t, uint64_t now)
{
	uint16_t most = t->slots[t->look % t->sizes.flows].sandbox;

	for (unsigned i = 0; i < LOOKED_AT; i++) {
		uint16_t sandbox = t->slots[t->look++ % t->sizes.flows].sandbox;

		if (t->shares[sandbox].flows > t->shares[most].flows)
			most = sandbox;
	}
	return share_shrink(t, most, now);
}

static struct slot *slot_take(struct table *t)
{
	struct slot *s;

	if (t->free == NONE)
		return t->high < t->sizes.flows ? &t->slots[t->high++] : NULL;
	s = &t->slots[t->free];
	t->free = s->next;
	return s;
}

struct flow *table_open(struct table *t, const struct flow_key *key, uint16_t sandbox, uint64_t now_ms)
{
	struct share *sh = &t->shares[sandbox];
	uint32_t bucket = key_hash(t, key);
	struct slot *s;

	if (sh->flows >= t->sizes.share_flows && !share_shrink(t, sandbox, now_ms))
		return NULL;
	if (t->count == t->sizes.flows && !share_shrink(t, sandbox, now_ms) && !table_shrink(t, now_ms))
		return NULL;
	s = slot_take(t);
	if (!s)
		return NULL;
	*s = (struct slot){ .key = *key, .sandbox = sandbox, .used = true, .next = t->buckets[bucket] };
	s->flow.seen_ms = now_ms;
	t->buckets[bucket] = (uint32_t)(s - t->slots);
	t->count++;
	sh->flows++;
	share_add(t, s);
	return &s->flow;
}

void table_settle(struct table *t, struct flow *f)
{
	struct slot *s = container_of(f, struct slot, flow);

	if (t->shares[s->sandbox].newest != (uint32_t)(s - t->slots) + 1) {
		share_remove(t, s);
		share_add(t, s);
	}
	if (f->state == FLOW_DECIDED || f->state == FLOW_REFUSED)
		buffer_drop(t, s);
}

static uint64_t age_max(const struct flow *f)
{
	switch ((enum flow_state)f->state) {
	case FLOW_NEW: return FLOW_QUIET_MS;
	case FLOW_SYN_SENT: return AGE_SYN_SENT_MS;
	case FLOW_OPEN: return AGE_OPEN_MS;
	case FLOW_DECIDED: return AGE_DECIDED_MS;
	case FLOW_REFUSED: return AGE_REFUSED_MS;
	}
	return 0;
}

void table_sweep(struct table *t, uint64_t now_ms, table_tell_fn *tell, void *owner)
{
	struct flow_note note;

	for (uint32_t i = 0; i < t->high; i++) {
		struct slot *s = &t->slots[i];

		if (!s->used)
			continue;
		flow_tick(&s->flow, now_ms, &note);
		if (note.tell) {
			tell(owner, &s->key, &s->flow, &note);
			buffer_drop(t, s);
		}
		if (now_ms - s->flow.seen_ms >= age_max(&s->flow))
			slot_drop(t, s);
	}
}

uint32_t table_count(const struct table *t)
{
	return t->count;
}
