/*
 * registry.c - the table of sandboxes
 *
 * Theory of operation: the kernel knows a packet's sandbox by interface, MAC and source address, so
 * none of these may belong to two. The table is an array by id, with one hash table over all other
 * keys: name, interface, addresses, and the index of its link. Whoever may use an interface is in
 * its chain, so nothing here walks all sandboxes. Names and addresses are the administrator's, so
 * the hash need not resist an attacker. Ids are handed out round robin from a random start and rest
 * ten minutes after their last use, so that an answer, a log line or a late conntrack entry of the
 * old owner is not taken for one of the new. Invariants: id 0 is never used (mark 0 is "nobody");
 * what registry_check() passed inserts, unless the ids are used up.
 */
#include "netd/registry.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "policy/interface.h"
#include "policy/mark.h"

enum { BUCKETS = 1 << 15 };

struct registry {
	struct sandbox *by_id[MARK_SANDBOX_MAX + 1];
	uint64_t free_at[MARK_SANDBOX_MAX + 1]; /* resting until then */
	size_t count;
	uint32_t cursor; /* the id given out last */
	struct sandbox_place *bucket[BUCKETS];
};

int registry_new(struct registry **ret)
{
	struct registry *r = calloc(1, sizeof(*r));
	uint16_t start = 0;

	if (!r)
		return -ENOMEM;
	if (getrandom(&start, sizeof(start), 0) == sizeof(start))
		r->cursor = start;
	*ret = r;
	return 0;
}

static void sandbox_free(struct sandbox *s)
{
	free(s->wild);
	free(s);
}

void registry_free(struct registry *r)
{
	if (!r)
		return;
	for (size_t i = 0; i < ARRAY_SIZE(r->by_id); i++)
		if (r->by_id[i])
			sandbox_free(r->by_id[i]);
	free(r);
}

struct sandbox *registry_by_id(const struct registry *r, uint16_t id)
{
	return r->by_id[id];
}

struct sandbox *registry_after(const struct registry *r, uint32_t id)
{
	for (uint32_t i = id + 1; i <= MARK_SANDBOX_MAX; i++)
		if (r->by_id[i])
			return r->by_id[i];
	return NULL;
}

/* ---- by other keys ---- */

struct key {
	const void *bytes;
	size_t n; /* 0: has none */
};

static struct key key_of(const struct sandbox *s, enum sandbox_key kind)
{
	switch (kind) {
	case SANDBOX_NAME:
		return (struct key){ s->name, strlen(s->name) };
	case SANDBOX_INTERFACE:
		return (struct key){ s->interface, strlen(s->interface) };
	case SANDBOX_V4:
		return (struct key){ s->addr[0].b, addr_len(&s->addr[0]) };
	case SANDBOX_V6:
		return (struct key){ s->addr[1].b, addr_len(&s->addr[1]) };
	case SANDBOX_LINK:
		return (struct key){ &s->link, s->link ? sizeof(s->link) : 0 };
	case SANDBOX_STRAY:
		return (struct key){ &s->stray, s->stray ? sizeof(s->stray) : 0 };
	case SANDBOX_KEYS:
		break;
	}
	return (struct key){ NULL, 0 };
}

/* FNV-1a. */
static size_t bucket_of(enum sandbox_key kind, struct key k)
{
	uint32_t h = 2166136261u ^ kind;

	for (size_t i = 0; i < k.n; i++)
		h = (h ^ ((const uint8_t *)k.bytes)[i]) * 16777619u;
	return (h ^ h >> 16) % BUCKETS;
}

static bool has_key(const struct sandbox_place *at, enum sandbox_key kind, struct key k)
{
	struct key have;

	if (at != &at->sandbox->place[kind])
		return false; /* another kind of key */
	have = key_of(at->sandbox, kind);
	return have.n == k.n && !memcmp(have.bytes, k.bytes, k.n);
}

/* The first from `at` on. */
static struct sandbox *find_from(const struct sandbox_place *at, enum sandbox_key kind, struct key k)
{
	while (at && !has_key(at, kind, k))
		at = at->next;
	return at ? at->sandbox : NULL;
}

static struct sandbox *find(const struct registry *r, enum sandbox_key kind, struct key k)
{
	return k.n ? find_from(r->bucket[bucket_of(kind, k)], kind, k) : NULL;
}

static void place(struct registry *r, struct sandbox *s, enum sandbox_key kind)
{
	struct key k = key_of(s, kind);
	struct sandbox_place **bucket = &r->bucket[bucket_of(kind, k)];

	if (!k.n)
		return;
	s->place[kind] = (struct sandbox_place){ *bucket, s };
	*bucket = &s->place[kind];
}

/* While the key is still what it was when it was placed. */
static void unplace(struct registry *r, struct sandbox *s, enum sandbox_key kind)
{
	struct sandbox_place **at = &r->bucket[bucket_of(kind, key_of(s, kind))];

	if (!s->place[kind].sandbox)
		return;
	while (*at != &s->place[kind])
		at = &(*at)->next;
	*at = (*at)->next;
	s->place[kind] = (struct sandbox_place){ NULL, NULL };
}

struct sandbox *registry_by_name(const struct registry *r, const char *name)
{
	return find(r, SANDBOX_NAME, (struct key){ name, strlen(name) });
}

struct sandbox *registry_by_addr(const struct registry *r, const struct addr *a)
{
	return find(r, a->family == 6 ? SANDBOX_V6 : SANDBOX_V4, (struct key){ a->b, addr_len(a) });
}

struct sandbox *registry_by_interface(const struct registry *r, const char *interface)
{
	return find(r, SANDBOX_INTERFACE, (struct key){ interface, strlen(interface) });
}

struct sandbox *registry_next_on(const struct sandbox *s)
{
	return find_from(s->place[SANDBOX_INTERFACE].next, SANDBOX_INTERFACE,
			 key_of(s, SANDBOX_INTERFACE));
}

struct sandbox *registry_by_link(const struct registry *r, int index)
{
	return find(r, SANDBOX_LINK, (struct key){ &index, sizeof(index) });
}

struct sandbox *registry_next_of_link(const struct sandbox *s)
{
	return find_from(s->place[SANDBOX_LINK].next, SANDBOX_LINK, key_of(s, SANDBOX_LINK));
}

struct sandbox *registry_by_stray(const struct registry *r, int index)
{
	return find(r, SANDBOX_STRAY, (struct key){ &index, sizeof(index) });
}

void registry_set_addr(struct registry *r, struct sandbox *s, const struct addr *a)
{
	enum sandbox_key kind = a->family == 6 ? SANDBOX_V6 : SANDBOX_V4;

	unplace(r, s, kind);
	s->addr[a->family == 6] = *a;
	place(r, s, kind);
}

void registry_set_link(struct registry *r, struct sandbox *s, int link, int stray)
{
	unplace(r, s, SANDBOX_LINK);
	unplace(r, s, SANDBOX_STRAY);
	s->link = link;
	s->stray = stray;
	place(r, s, SANDBOX_LINK);
	place(r, s, SANDBOX_STRAY);
}

size_t registry_count(const struct registry *r)
{
	return r->count;
}

static bool PRINTF_LIKE(3, 4) refuse(char *why, size_t cap, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(why, cap, fmt, ap);
	va_end(ap);
	return false;
}

/* A name goes into element comments, audit lines and tables: letters, digits and . _ - only. */
bool registry_label_ok(const char *text)
{
	size_t n =
		strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-");

	return n && !text[n] && text[0] != '-' && text[0] != '.';
}

static bool check_form(const struct host_config *c, const struct msg_add *m, char *why, size_t cap)
{
	static const uint8_t zero[6];

	if (!registry_label_ok(m->name))
		return refuse(why, cap,
			      "a sandbox's name has letters, digits and . _ - only, and starts "
			      "with a letter or digit");
	if (!registry_label_ok(m->interface))
		return refuse(why, cap, "%s: no interface is given; name one with --interface",
			      m->name);
	if (!interface_is_policed(c, m->interface))
		return refuse(why, cap,
			      "interface %s matches none of sandbox_interfaces; rename it or add "
			      "a pattern to %s and reload the firewall",
			      m->interface, c->file);
	if (!memcmp(m->mac, zero, 6) || m->mac[0] & 1)
		return refuse(why, cap,
			      "%s: give the guest's own MAC address with --mac (not a group "
			      "address, not zero)",
			      m->name);
	return true;
}

static bool in_networks(const struct host_config *c, const struct addr *a)
{
	for (size_t i = 0; i < c->n_networks; i++)
		if (prefix_has(&c->networks[i], a))
			return true;
	return prefix_has(&c->run4, a) || prefix_has(&c->run6, a);
}

static bool check_addresses(const struct registry *r, const struct host_config *c,
			    const struct msg_add *m, char *why, size_t cap)
{
	if (!m->addr[0].family && !m->addr[1].family)
		return refuse(why, cap, "%s: no address is given; give at least one with --ip",
			      m->name);
	for (int i = 0; i < 2; i++) {
		const struct addr *a = &m->addr[i];
		const struct sandbox *other;
		char text[ADDR_TEXT_MAX];

		if (!a->family)
			continue;
		if (a->family != (i ? 6 : 4))
			return refuse(why, cap, "%s: the addresses are in the wrong order",
				      m->name);
		addr_format(a, text);
		if (!in_networks(c, a))
			return refuse(why, cap,
				      "address %s is outside sandbox_networks; choose one inside, "
				      "or add its network to %s",
				      text, c->file);
		other = registry_by_addr(r, a);
		if (other)
			return refuse(why, cap,
				      "address %s is taken by sandbox %s; choose another or "
				      "`cordon rm %s`",
				      text, other->name, other->name);
	}
	return true;
}

bool registry_check(const struct registry *r, const struct host_config *c, const struct msg_add *m,
		    char *why, size_t cap)
{
	if (!check_form(c, m, why, cap))
		return false;
	if (registry_by_name(r, m->name))
		return refuse(why, cap,
			      "the name %s is taken; choose another or `cordon rm %s` first",
			      m->name, m->name);
	for (const struct sandbox *s = registry_by_interface(r, m->interface); s;
	     s = registry_next_on(s))
		if (!memcmp(s->mac, m->mac, 6))
			return refuse(why, cap,
				      "interface %s with this MAC address is taken by sandbox %s; "
				      "`cordon rm %s` first",
				      m->interface, s->name, s->name);
	return check_addresses(r, c, m, why, cap);
}

static uint16_t next_id(struct registry *r, uint64_t now_ms)
{
	for (uint32_t tried = 0; tried < MARK_SANDBOX_MAX; tried++) {
		r->cursor = r->cursor % MARK_SANDBOX_MAX + 1;
		if (!r->by_id[r->cursor] && r->free_at[r->cursor] <= now_ms)
			return (uint16_t)r->cursor;
	}
	return 0;
}

int registry_insert(struct registry *r, const struct msg_add *m, uint16_t profile, uint16_t id,
		    uint64_t now_ms, struct sandbox **ret)
{
	struct sandbox *s;

	if (id && r->by_id[id])
		return -EEXIST;
	if (!id)
		id = next_id(r, now_ms);
	if (!id)
		return -ENOSPC;
	s = calloc(1, sizeof(*s));
	if (!s)
		return -ENOMEM;
	s->id = id;
	s->profile = profile;
	memcpy(s->name, m->name, sizeof(s->name));
	memcpy(s->interface, m->interface, sizeof(s->interface));
	memcpy(s->mac, m->mac, sizeof(s->mac));
	memcpy(s->addr, m->addr, sizeof(s->addr));
	s->dhcp = m->dhcp;
	for (int kind = 0; kind < SANDBOX_KEYS; kind++)
		place(r, s, (enum sandbox_key)kind);
	r->by_id[id] = s;
	r->count++;
	*ret = s;
	return 0;
}

void registry_remove(struct registry *r, struct sandbox *s, uint64_t now_ms)
{
	for (int kind = 0; kind < SANDBOX_KEYS; kind++)
		unplace(r, s, (enum sandbox_key)kind);
	r->by_id[s->id] = NULL;
	r->free_at[s->id] = now_ms + REGISTRY_REST_MS;
	r->count--;
	sandbox_free(s);
}

bool registry_id_was_used(const struct registry *r, uint16_t id)
{
	return r->free_at[id] != 0;
}

/* The place of this name, else of one that is long unused, else a new one at the end; NULL at the
 * limit. */
static struct sandbox_wild *wild_place(struct sandbox *s, uint32_t index, uint32_t limit,
				       uint64_t now_ms)
{
	struct sandbox_wild *stale = NULL, *more;

	for (size_t i = 0; i < s->n_wild; i++) {
		if (s->wild[i].index == index)
			return &s->wild[i];
		if (s->wild[i].at_ms + SANDBOX_WILD_KEEP_MS < now_ms)
			stale = &s->wild[i];
	}
	if (stale || s->n_wild >= limit)
		return stale;
	more = reallocarray(s->wild, s->n_wild + 1, sizeof(*more));
	if (!more)
		return NULL;
	s->wild = more;
	return &s->wild[s->n_wild++];
}

bool sandbox_uses_wild(struct sandbox *s, uint32_t index, uint32_t limit, uint64_t now_ms)
{
	struct sandbox_wild *w = wild_place(s, index, limit, now_ms);

	if (!w)
		return false;
	*w = (struct sandbox_wild){ index, now_ms };
	return true;
}

bool sandbox_wild_room(const struct sandbox *s, uint32_t limit, uint64_t now_ms)
{
	if (s->n_wild < limit)
		return true;
	for (size_t i = 0; i < s->n_wild; i++)
		if (s->wild[i].at_ms + SANDBOX_WILD_KEEP_MS < now_ms)
			return true;
	return false;
}

void registry_forget_wild(struct registry *r, bool (*gone)(const void *owner, uint32_t index),
			  const void *owner)
{
	REGISTRY_EACH (r, s) {
		size_t kept = 0;

		for (size_t i = 0; i < s->n_wild; i++)
			if (!gone(owner, s->wild[i].index))
				s->wild[kept++] = s->wild[i];
		s->n_wild = kept;
	}
}

void sandbox_message(const struct sandbox *s, struct msg_sandbox *ret)
{
	memset(ret, 0, sizeof(*ret));
	ret->id = s->id;
	ret->profile = s->profile;
	memcpy(ret->addr, s->addr, sizeof(ret->addr));
	memcpy(ret->name, s->name, sizeof(ret->name));
}
