/*
 * rules.c - find the rule that a name meets
 *
 * Theory of operation: one hash table keyed by pattern base. The hash runs from the end of a name
 * to its beginning, so one pass gives the hash of every suffix, from the shortest to the whole
 * name; the last rule that is found is the one with the longest suffix, whatever the order of the
 * file. *.x and
 * **.x have the same suffix; for a name one label below x the narrower * is taken. A look-up costs
 * the length of the name, allocates nothing, and does not depend on the number of rules. Ancestors
 * of what is granted are marked in the same table, so that the resolver can answer "no data"
 * instead of "no such name" for them (RFC 8020).
 */
#include "policy/compiled.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

const char *rule_host(const struct rule *r)
{
	return strchr(r->text, ' ') + 1; /* after "network.allow:" */
}

void rule_free(struct rule *r)
{
	if (!r)
		return;
	free(r->text);
	free(r->grants);
	free(r->protocols);
	free(r->credential);
	http_rules_done(&r->http);
	free(r);
}

static const char *above(const char *name)
{
	const char *dot = strchr(name, '.');

	return dot ? dot + 1 : NULL;
}

/* FNV-1a from the last byte to the first: one pass over a name gives the hash of each suffix. */
enum { HASH_START = 0x811c9dc5, HASH_PRIME = 0x01000193 };

static uint32_t hash_byte(uint32_t h, char c)
{
	return (h ^ (uint8_t)c) * HASH_PRIME;
}

static uint32_t hash_of(const char *name)
{
	uint32_t h = HASH_START;

	for (size_t i = strlen(name); i--;)
		h = hash_byte(h, name[i]);
	return h;
}

/* The slot of a name, or the free one where it would stand. cap is not 0. */
static struct slot *slot_at(const struct rule_index *x, const char *name, uint32_t hash)
{
	size_t i = (hash ^ hash >> 15) & (x->cap - 1);

	while (x->slots[i].name && (x->slots[i].hash != hash || strcmp(x->slots[i].name, name)))
		i = (i + 1) & (x->cap - 1);
	return &x->slots[i];
}

static const struct slot *slot_find(const struct rule_index *x, const char *name, uint32_t hash)
{
	const struct slot *s = x->cap ? slot_at(x, name, hash) : NULL;

	return s && s->name ? s : NULL;
}

static int index_grow(struct rule_index *x)
{
	struct rule_index more = { .cap = x->cap ? 2 * x->cap : 64, .n = x->n };

	if (x->n * 2 < x->cap)
		return 0;
	more.slots = calloc(more.cap, sizeof(*more.slots));
	if (!more.slots)
		return -ENOMEM;
	for (size_t i = 0; i < x->cap; i++)
		if (x->slots[i].name)
			*slot_at(&more, x->slots[i].name, x->slots[i].hash) = x->slots[i];
	free(x->slots);
	*x = more;
	return 0;
}

/* The slot of a name, made when it is not there; NULL: out of memory. */
static struct slot *slot_make(struct rule_index *x, const char *name)
{
	uint32_t hash = hash_of(name);
	struct slot *s;

	if (index_grow(x))
		return NULL;
	s = slot_at(x, name, hash);
	if (!s->name) {
		s->name = name;
		s->hash = hash;
		x->n++;
	}
	return s;
}

int rule_index_add(struct rule_index *x, const struct rule *r)
{
	struct slot *s = slot_make(x, r->base);

	if (!s)
		return -ENOMEM;
	s->rule[r->verdict][r->kind] = r;
	return 0;
}

const struct rule *rule_index_get(const struct rule_index *x, enum verdict v,
				  const struct name_pattern *p)
{
	const struct slot *s = slot_find(x, p->base, hash_of(p->base));

	return s ? s->rule[v][p->kind] : NULL;
}

/* What a slot holds for a name of which its base is the part from `at` on; the second label is at
 * `one`. */
static const struct rule *slot_rule(const struct slot *s, enum verdict v, size_t at, size_t one)
{
	if (!at)
		return s->rule[v][PATTERN_EXACT];
	if (at == one && s->rule[v][PATTERN_ONE])
		return s->rule[v][PATTERN_ONE];
	return s->rule[v][PATTERN_ANY];
}

const struct rule *rule_index_match(const struct rule_index *x, enum verdict v, const char *name)
{
	const struct rule *best = NULL;
	size_t one = strcspn(name, ".") + 1;
	uint32_t hash = HASH_START;

	for (size_t i = strlen(name); i--;) {
		const struct slot *s;
		const struct rule *r;

		hash = hash_byte(hash, name[i]);
		if (i && name[i - 1] != '.')
			continue;
		s = slot_find(x, name + i, hash);
		r = s ? slot_rule(s, v, i, one) : NULL;
		best = r ? r : best; /* the suffixes come longer and longer */
	}
	return best;
}

/* Is everything that this rule grants denied? Asked for a name no policy can hold, at the rule's
 * depth. */
static bool rule_is_dead(const struct rule_index *x, const struct rule *r)
{
	static const char *const fronts[] = {
		[PATTERN_EXACT] = "", [PATTERN_ONE] = "*.", [PATTERN_ANY] = "*.*."
	};
	char name[POLICY_NAME_MAX + 8];

	snprintf(name, sizeof(name), "%s%s", fronts[r->kind], r->base);
	return rule_index_match(x, RULE_DENY, name) != NULL;
}

int rule_index_mark_ancestors(struct rule_index *x, struct rule *const *rules, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		const char *name = rules[i]->base;

		if (rules[i]->verdict != RULE_ALLOW || rule_is_dead(x, rules[i]))
			continue;
		if (rules[i]->kind == PATTERN_EXACT)
			name = above(name);
		for (; name; name = above(name)) {
			struct slot *s = slot_make(x, name);

			if (!s)
				return -ENOMEM;
			s->ancestor = true;
		}
	}
	return 0;
}

bool rule_index_is_ancestor(const struct rule_index *x, const char *name)
{
	const struct slot *s = slot_find(x, name, hash_of(name));

	return s && s->ancestor;
}

void rule_index_done(struct rule_index *x)
{
	free(x->slots);
	*x = (struct rule_index){ 0 };
}
