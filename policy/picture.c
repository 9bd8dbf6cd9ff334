/*
 * picture.c - what netd told: policies by id, sandboxes by address, names by index
 *
 * Theory of operation: ids and indexes are small numbers, so policies, sandboxes and names are
 * arrays of pointers; the only search is by guest address, a chained hash table in which each
 * sandbox stands once per address. Addresses are given out by the administrator, so the hash need
 * not resist an attacker.
 */
#include "policy/picture.h"

#include <errno.h>
#include <string.h>

enum { PICTURE_BUCKETS = 8192, PICTURE_NAMES_FIRST = 1024 };

struct place {				/* one address of a sandbox */
	struct place *next;
	struct addr addr;
	struct guest *guest;
};

struct guest {
	struct msg_sandbox m;
	struct place place[2];
};

struct picture {
	struct policies *policies;
	struct guest *by_id[MARK_SANDBOX_MAX + 1];
	struct place *buckets[PICTURE_BUCKETS];
	char **names;
	uint32_t cap_names, names_max;
};

void policies_free(struct policies *ps)
{
	if (!ps)
		return;
	for (size_t i = 0; i < ARRAY_SIZE(ps->by_id); i++)
		policy_unref(ps->by_id[i]);
	free(ps);
}

int policies_put(struct policies *ps, uint16_t id, struct policy *taken)
{
	AUTO(policy) struct policy *p = taken;

	if (!id || id > MARK_PROFILE_MAX)
		return -EPROTO;
	policy_unref(ps->by_id[id]);
	ps->by_id[id] = STEAL(p);
	return 0;
}

int picture_new(uint32_t names_max, struct picture **ret)
{
	AUTO(picture) struct picture *pic = calloc(1, sizeof(*pic));

	if (!pic)
		return -ENOMEM;
	pic->names_max = names_max;
	pic->policies = calloc(1, sizeof(*pic->policies));
	if (!pic->policies)
		return -ENOMEM;
	*ret = STEAL(pic);
	return 0;
}

void picture_free(struct picture *pic)
{
	if (!pic)
		return;
	policies_free(pic->policies);
	for (size_t i = 0; i < ARRAY_SIZE(pic->by_id); i++)
		free(pic->by_id[i]);
	for (uint32_t i = 0; i < pic->cap_names; i++)
		free(pic->names[i]);
	free(pic->names);
	free(pic);
}

struct policies *picture_policies(struct picture *pic)
{
	return pic->policies;
}

void picture_set_policies(struct picture *pic, struct policies *ps)
{
	policies_free(pic->policies);
	pic->policies = ps;
}

static unsigned bucket_of(const struct addr *a)
{
	uint32_t h = 2166136261u ^ a->family;

	for (unsigned i = 0; i < addr_len(a); i++)
		h = (h ^ a->b[i]) * 16777619u;
	return (h ^ h >> 16) % PICTURE_BUCKETS;
}

static struct guest *guest_at(const struct picture *pic, const struct addr *a)
{
	struct place *at = pic->buckets[bucket_of(a)];

	if (!addr_len(a))
		return NULL;
	while (at && !addr_eq(&at->addr, a))
		at = at->next;
	return at ? at->guest : NULL;
}

const struct msg_sandbox *picture_sandbox(const struct picture *pic, const struct addr *guest)
{
	struct guest *g = guest_at(pic, guest);

	return g ? &g->m : NULL;
}

const struct msg_sandbox *picture_sandbox_by_id(const struct picture *pic, uint16_t id)
{
	return pic->by_id[id] ? &pic->by_id[id]->m : NULL;
}

static int sandbox_check(const struct picture *pic, const struct msg_sandbox *m)
{
	static const uint8_t family[2] = { 4, 6 };

	if (!m->id || !m->profile || m->profile > MARK_PROFILE_MAX ||
	    !msg_text_ok(m->name, sizeof(m->name)))
		return -EPROTO;
	for (size_t i = 0; i < 2; i++) {
		const struct guest *other = guest_at(pic, &m->addr[i]);

		if (m->addr[i].family != 0 && m->addr[i].family != family[i])
			return -EPROTO;
		if (other && other->m.id != m->id)
			return -EEXIST;
	}
	return 0;
}

static void place_link(struct picture *pic, struct guest *g, size_t i)
{
	struct place *at = &g->place[i], **bucket = &pic->buckets[bucket_of(&g->m.addr[i])];

	if (!addr_len(&g->m.addr[i]))
		return;
	*at = (struct place){ *bucket, g->m.addr[i], g };
	*bucket = at;
}

static void place_unlink(struct picture *pic, struct guest *g, size_t i)
{
	struct place **at = &pic->buckets[bucket_of(&g->m.addr[i])];

	if (!g->place[i].guest)
		return;
	while (*at != &g->place[i])
		at = &(*at)->next;
	*at = (*at)->next;
}

int picture_put_sandbox(struct picture *pic, const struct msg_sandbox *m)
{
	struct guest *g;
	int r = sandbox_check(pic, m);

	if (r < 0)
		return r;
	g = calloc(1, sizeof(*g));
	if (!g)
		return -ENOMEM;
	picture_del_sandbox(pic, m->id);
	g->m = *m;
	place_link(pic, g, 0);
	place_link(pic, g, 1);
	pic->by_id[m->id] = g;
	return 0;
}

void picture_del_sandbox(struct picture *pic, uint16_t id)
{
	struct guest *g = pic->by_id[id];

	if (!g)
		return;
	place_unlink(pic, g, 0);
	place_unlink(pic, g, 1);
	pic->by_id[id] = NULL;
	free(g);
}

static int names_grow(struct picture *pic, uint32_t index)
{
	uint64_t cap = pic->cap_names ? pic->cap_names : PICTURE_NAMES_FIRST;
	char **names;

	if (index < pic->cap_names)
		return 0;
	while (cap <= index)
		cap *= 2;
	names = realloc(pic->names, cap * sizeof(*names));
	if (!names)
		return -ENOMEM;
	memset(names + pic->cap_names, 0, (cap - pic->cap_names) * sizeof(*names));
	pic->names = names;
	pic->cap_names = (uint32_t)cap;
	return 0;
}

int picture_put_name(struct picture *pic, const struct msg_name *m)
{
	AUTO(mem) char *name = NULL;
	int r;

	if (m->index >= pic->names_max || !msg_text_ok(m->name, sizeof(m->name)) || !m->name[0])
		return -EPROTO;
	r = names_grow(pic, m->index);
	if (r < 0)
		return r;
	name = strdup(m->name);
	if (!name)
		return -ENOMEM;
	free(pic->names[m->index]);
	pic->names[m->index] = STEAL(name);
	return 0;
}

void picture_del_name(struct picture *pic, uint32_t index)
{
	if (index >= pic->cap_names)
		return;
	free(pic->names[index]);
	pic->names[index] = NULL;
}

const char *picture_name(const struct picture *pic, uint32_t index)
{
	return index < pic->cap_names ? pic->names[index] : NULL;
}
