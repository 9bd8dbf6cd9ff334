/*
 * host_addresses.c - this host's own addresses, as they are now
 *
 * Theory of operation: no name may lead to the host itself, and no sandbox may have an address of
 * it. On a host with ten thousand sandboxes nearly every link has an address, so they are read once
 * and kept by the kernel's events from then on. One entry per address and link, since two links may
 * have the same and the kernel repeats itself. An entry that could not be kept for want of memory is
 * found missing by nobody, so everything counts as the host's until they have been read again.
 */
#include "netd/host_addresses.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>

#include "nft/rtnl.h"

enum { BUCKETS = 1 << 12 };

struct entry {
	struct entry *next;
	struct addr addr;
	int link;
};

struct host_addresses {
	struct entry *bucket[BUCKETS];
	bool incomplete;
};

static size_t bucket_of(const struct addr *a)
{
	uint32_t h = 2166136261u;

	for (unsigned i = 0; i < addr_len(a); i++)
		h = (h ^ a->b[i]) * 16777619u;
	return (h ^ h >> 16) % BUCKETS;
}

static void clear(struct host_addresses *h)
{
	for (size_t i = 0; i < BUCKETS; i++)
		for (struct entry *e; (e = h->bucket[i]);) {
			h->bucket[i] = e->next;
			free(e);
		}
}

static bool has(const struct host_addresses *h, const struct addr *a)
{
	const struct entry *e = h->bucket[bucket_of(a)];

	while (e && !addr_eq(&e->addr, a))
		e = e->next;
	return e != NULL;
}

bool host_addresses_has(const struct host_addresses *h, const struct addr *a)
{
	return a->family && (h->incomplete || has(h, a));
}

bool host_addresses_put(struct host_addresses *h, const struct addr *a, int link)
{
	struct entry **bucket = &h->bucket[bucket_of(a)], *e = *bucket;
	bool is_new = !has(h, a);

	while (e && (e->link != link || !addr_eq(&e->addr, a)))
		e = e->next;
	if (e)
		return false;
	e = malloc(sizeof(*e));
	if (!e) {
		h->incomplete = true;
		return true;
	}
	*e = (struct entry){ *bucket, *a, link };
	*bucket = e;
	return is_new;
}

void host_addresses_del(struct host_addresses *h, const struct addr *a, int link)
{
	struct entry **at = &h->bucket[bucket_of(a)], *e;

	while ((e = *at) && (e->link != link || !addr_eq(&e->addr, a)))
		at = &e->next;
	if (!e)
		return;
	*at = e->next;
	free(e);
}

static int read_one(void *owner, const struct addr *a, int link)
{
	host_addresses_put(owner, a, link);
	return 0;
}

int host_addresses_read(struct host_addresses *h)
{
	AUTO(host_addresses) struct host_addresses *fresh = calloc(1, sizeof(*fresh));
	struct host_addresses old;
	int r = fresh ? rtnl_addresses_each(read_one, fresh) : -ENOMEM;

	if (r >= 0 && fresh->incomplete)
		r = -ENOMEM;
	if (r < 0)
		return r;
	old = *h;
	*h = *fresh;
	*fresh = old;
	return 0;
}

int host_addresses_new(struct host_addresses **ret)
{
	AUTO(host_addresses) struct host_addresses *h = calloc(1, sizeof(*h));
	int r = h ? host_addresses_read(h) : -ENOMEM;

	if (r < 0)
		return r;
	*ret = STEAL(h);
	return 0;
}

void host_addresses_free(struct host_addresses *h)
{
	if (!h)
		return;
	clear(h);
	free(h);
}
