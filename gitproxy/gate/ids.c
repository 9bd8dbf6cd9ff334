/*
 * ids.c - a table of object ids, numbered as they came
 *
 * Theory of operation: ids are spread evenly already, but by whoever made the objects, and those that
 * a tree names need not be of any: so all of their bytes, eight at a time, are multiplied by odd
 * numbers that are drawn when the table is made, and the upper bits of the sum say where to look
 * first. At most half of the slots are taken. Ids are kept without the zeros behind those of SHA-1.
 * Growing moves them: keep numbers, no pointers.
 */
#include "gitproxy/gate/ids.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/random.h>

static uint32_t slot_of(const struct ids *t, const uint8_t *id)
{
	uint64_t sum = 0, v;

	for (size_t i = 0, n; i < t->size; i += n) {
		n = t->size - i < sizeof(v) ? t->size - i : sizeof(v);
		v = 0;
		memcpy(&v, id + i, n);
		sum += v * t->seed[i / sizeof(v)];
	}
	return (uint32_t)(sum >> (64 - t->bits));
}

static const uint8_t *at(const struct ids *t, uint32_t i)
{
	return t->bytes + (size_t)i * t->size;
}

static int grow(struct ids *t, size_t room)
{
	uint8_t *bytes;
	uint32_t *slots;

	if (room > IDS_MAX)
		return -E2BIG;
	bytes = realloc(t->bytes, room * t->size);
	if (!bytes)
		return -ENOMEM;
	t->bytes = bytes;
	t->cap = (uint32_t)room;
	while ((1ULL << t->bits) < 2 * room)
		t->bits++;
	slots = calloc(1ULL << t->bits, sizeof(*slots));
	if (!slots)
		return -ENOMEM;
	free(t->slots);
	t->slots = slots;
	for (uint32_t i = 0; i < t->n; i++) {
		uint32_t s = slot_of(t, at(t, i));

		while (slots[s])
			s = (s + 1) & ((1U << t->bits) - 1);
		slots[s] = i + 1;
	}
	return 0;
}

int ids_init(struct ids *t, enum object_format format, size_t room)
{
	*t = (struct ids){ .size = oid_size(format), .bits = 4 };
	if (getrandom(t->seed, sizeof(t->seed), 0) != sizeof(t->seed))
		return -EIO;
	for (size_t i = 0; i < ARRAY_SIZE(t->seed); i++)
		t->seed[i] |= 1;
	return grow(t, room < 8 ? 8 : room);
}

void ids_done(struct ids *t)
{
	free(t->bytes);
	free(t->slots);
	*t = (struct ids){ 0 };
}

/* The slot it is in, or the free one where it belongs. */
static uint32_t look(const struct ids *t, const uint8_t *id)
{
	uint32_t s = slot_of(t, id);

	while (t->slots[s] && memcmp(at(t, t->slots[s] - 1), id, t->size))
		s = (s + 1) & ((1U << t->bits) - 1);
	return s;
}

uint32_t ids_find(const struct ids *t, const uint8_t *id)
{
	uint32_t taken = t->slots[look(t, id)];

	return taken ? taken - 1 : IDS_NONE;
}

int ids_add(struct ids *t, const uint8_t *id, uint32_t *ret)
{
	uint32_t s = look(t, id);
	int r;

	if (!t->slots[s] && t->n == t->cap) {
		r = grow(t, 2 * (size_t)t->cap);
		if (r < 0)
			return r;
		s = look(t, id);
	}
	if (!t->slots[s]) {
		memcpy(t->bytes + (size_t)t->n * t->size, id, t->size);
		t->slots[s] = ++t->n;
	}
	*ret = t->slots[s] - 1;
	return 0;
}

struct oid ids_at(const struct ids *t, uint32_t i)
{
	struct oid oid = { 0 };

	memcpy(oid.byte, at(t, i), t->size);
	return oid;
}
