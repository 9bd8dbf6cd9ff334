/*
 * names.c - granted names: their synthetic addresses, real addresses and grants
 *
 * Theory of operation: a name owns one index of the pool, so one synthetic address per family. The
 * table finds names by text (hash), by index (array), and walks them in order of their indexes.
 * What the kernel holds for a name is netd/names_plan.c's, what is found there after a restart
 * netd/names_restore.c's. A used-up pool refuses new names.
 *
 * A name that is forgotten leaves its index behind, which some client may still know for that name's:
 * it is given to another name only when every part has forgotten the old one and NAMES_REST_MS have
 * passed, and after all others (indexes go round). When memory is short it is never given out again.
 */
#include "netd/names.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "netd/names_table.h"

enum { NAMES_BUCKETS_MIN = 1024 };

int names_new(const struct host_config *config, struct ruleset *rules, struct names **ret)
{
	AUTO(names) struct names *t = calloc(1, sizeof(*t));

	if (!t)
		return -ENOMEM;
	t->config = config;
	t->rules = rules;
	t->size = pool_size(&config->pool);
	t->cursor = POOL_FIRST_NAME;
	t->n_buckets = NAMES_BUCKETS_MIN;
	t->by_index = calloc(t->size, sizeof(*t->by_index));
	t->bucket = calloc(t->n_buckets, sizeof(*t->bucket));
	t->taken = calloc(t->size / 8 + 1, 1);
	if (!t->by_index || !t->bucket || !t->taken)
		return -ENOMEM;
	*ret = STEAL(t);
	return 0;
}

static void name_free(struct name *nm)
{
	for (int f = 0; f < 2; f++)
		free(nm->others[f].a);
	free(nm->grants);
	free(nm);
}

void names_free(struct names *t)
{
	if (!t)
		return;
	for (uint32_t i = 0; t->by_index && i < t->size; i++)
		if (t->by_index[i])
			name_free(t->by_index[i]);
	free(t->by_index);
	free(t->bucket);
	free(t->taken);
	free(t->rest);
	free(t);
}

void names_set_config(struct names *t, const struct host_config *config)
{
	t->config = config;
}

void names_set_own(struct names *t, names_own_fn *fn, const struct host_addresses *h)
{
	t->own = fn;
	t->own_addresses = h;
}

bool names_usable(const struct names *t, const struct addr *a, bool private_ok)
{
	struct address_context ctx = { t->config->forbidden, t->config->n_forbidden };

	return address_usable(a, &ctx, private_ok) && !(t->own && t->own(t->own_addresses, a));
}

bool names_lead_to(const struct names *t, const struct addr *real)
{
	for (struct name *nm = names_after(t, 0); nm; nm = names_after(t, nm->index))
		if (addr_eq(&nm->real[real->family == 6], real))
			return true;
	return false;
}

/* FNV-1a; the names are bounded by policy and by the pool, an attacker gains a slow look-up at
 * most. */
static size_t hash(const char *text)
{
	uint64_t h = 0xcbf29ce484222325u;

	for (; *text; text++)
		h = (h ^ (uint8_t)*text) * 0x100000001b3u;
	return h ^ h >> 32;
}

struct name *names_find(const struct names *t, const char *text)
{
	struct name *nm = t->bucket[hash(text) & (t->n_buckets - 1)];

	while (nm && strcmp(nm->text, text))
		nm = nm->next;
	return nm;
}

struct name *names_at(const struct names *t, uint32_t index)
{
	return index < t->size ? t->by_index[index] : NULL;
}

struct name *names_after(const struct names *t, uint32_t index)
{
	for (uint32_t i = index + 1; i < t->size; i++)
		if (t->by_index[i])
			return t->by_index[i];
	return NULL;
}

size_t names_count(const struct names *t)
{
	return t->count;
}

/* Twice as many buckets; when memory is short the chains just grow. */
static void grow(struct names *t)
{
	size_t n = t->n_buckets * 2;
	struct name **more = calloc(n, sizeof(*more));

	if (!more)
		return;
	for (struct name *nm = names_after(t, 0); nm; nm = names_after(t, nm->index)) {
		struct name **at = &more[hash(nm->text) & (n - 1)];

		nm->next = *at;
		*at = nm;
	}
	free(t->bucket);
	t->bucket = more;
	t->n_buckets = n;
}

int names_insert(struct names *t, const char *text, uint32_t index, struct name **ret)
{
	size_t n = strlen(text) + 1;
	struct name *nm, **at;

	if (index < POOL_FIRST_NAME || index >= t->size)
		return -ERANGE;
	if (t->by_index[index] || names_find(t, text))
		return -EEXIST;
	nm = calloc(1, sizeof(*nm) + n);
	if (!nm)
		return -ENOMEM;
	memcpy(nm->text, text, n);
	nm->index = index;
	at = &t->bucket[hash(text) & (t->n_buckets - 1)];
	nm->next = *at;
	*at = nm;
	t->by_index[index] = nm;
	if (++t->count > t->n_buckets)
		grow(t);
	*ret = nm;
	return 0;
}

/* ---- indexes that rest ---- */

static bool is_taken(const struct names *t, uint32_t index)
{
	return t->taken[index / 8] & 1u << index % 8;
}

void names_take_out(struct names *t, struct name *nm)
{
	struct name **at = &t->bucket[hash(nm->text) & (t->n_buckets - 1)];

	while (*at != nm)
		at = &(*at)->next;
	*at = nm->next;
	t->by_index[nm->index] = NULL;
	t->taken[nm->index / 8] |= (uint8_t)(1u << nm->index % 8);
	t->count--;
}

static bool rest_room(struct names *t)
{
	size_t cap = t->rest_cap ? t->rest_cap * 2 : 64;
	struct rest *more;

	if (t->rest_n < t->rest_cap)
		return true;
	more = calloc(cap, sizeof(*more));
	if (!more)
		return false;
	for (size_t i = 0; i < t->rest_n; i++)
		more[i] = t->rest[(t->rest_first + i) % t->rest_cap];
	free(t->rest);
	t->rest = more;
	t->rest_cap = cap;
	t->rest_first = 0;
	return true;
}

void names_release(struct names *t, struct name *nm, uint64_t now_ms)
{
	if (rest_room(t))
		t->rest[(t->rest_first + t->rest_n++) % t->rest_cap] =
			(struct rest){ nm->index, now_ms + NAMES_REST_MS };
	name_free(nm);
}

void names_rested(struct names *t, uint64_t now_ms)
{
	while (t->rest_n && t->rest[t->rest_first].until_ms <= now_ms) {
		uint32_t index = t->rest[t->rest_first].index;

		t->taken[index / 8] &= (uint8_t)~(1u << index % 8);
		t->rest_first = (t->rest_first + 1) % t->rest_cap;
		t->rest_n--;
	}
}

int names_add(struct names *t, const char *text, struct name **ret)
{
	for (uint32_t tried = POOL_FIRST_NAME; tried < t->size; tried++) {
		uint32_t index = t->cursor;

		t->cursor = index + 1 < t->size ? index + 1 : POOL_FIRST_NAME;
		if (!t->by_index[index] && !is_taken(t, index))
			return names_insert(t, text, index, ret);
	}
	return -ENOSPC;
}

void name_message(const struct name *nm, struct msg_name *ret)
{
	memset(ret, 0, sizeof(*ret));
	ret->index = nm->index;
	msg_text_set(ret->name, sizeof(ret->name), nm->text);
}

struct addr names_synthetic(const struct names *t, const struct name *nm, uint8_t family)
{
	return family == 4 ? pool_addr4(&t->config->pool, nm->index)
			   : pool_addr6(&t->config->pool, nm->index);
}
