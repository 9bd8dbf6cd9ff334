/*
 * names.c - granted names: their synthetic addresses, real addresses and grants
 *
 * Theory of operation: a name owns one index of the pool, so one synthetic address per family. The
 * table finds names by text (hash), by index (array), and walks them in order of their indexes.
 * What the kernel holds for a name is netd/names_plan.c's, what is found there after a restart
 * netd/names_restore.c's. Not done: names are not recycled; a used-up pool refuses new names.
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
	if (!t->by_index || !t->bucket)
		return -ENOMEM;
	*ret = STEAL(t);
	return 0;
}

static void name_free(struct name *nm)
{
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

int names_add(struct names *t, const char *text, struct name **ret)
{
	for (uint32_t tried = POOL_FIRST_NAME; tried < t->size; tried++) {
		uint32_t index = t->cursor;

		t->cursor = index + 1 < t->size ? index + 1 : POOL_FIRST_NAME;
		if (!t->by_index[index])
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
