/*
 * rules.c - find the rule that a name meets
 *
 * Theory of operation: one hash table keyed by pattern base. A name is looked up as it is, then
 * each of its suffixes from the longest: the first wildcard found is the one with the longest
 * suffix, whatever the order of the file. *.x and **.x have the same suffix; for a name one label
 * below x the narrower * is taken. At most 127 look-ups, no allocation. Ancestors of what is
 * granted are marked in the same table, so that the resolver can answer "no data" instead of "no
 * such name" for them (RFC 8020).
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
	free(r);
}

static const char *above(const char *name)
{
	const char *dot = strchr(name, '.');

	return dot ? dot + 1 : NULL;
}

static size_t hash(const char *name)
{
	uint64_t h = 0xcbf29ce484222325u; /* FNV-1a */

	for (; *name; name++)
		h = (h ^ (uint8_t)*name) * 0x100000001b3u;
	return (size_t)(h ^ h >> 32);
}

/* The slot of a name, or the free one where it would stand. cap is not 0. */
static struct slot *slot_at(const struct rule_index *x, const char *name)
{
	size_t i = hash(name) & (x->cap - 1);

	while (x->slots[i].name && strcmp(x->slots[i].name, name))
		i = (i + 1) & (x->cap - 1);
	return &x->slots[i];
}

static const struct slot *slot_find(const struct rule_index *x, const char *name)
{
	const struct slot *s = x->cap ? slot_at(x, name) : NULL;

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
			*slot_at(&more, x->slots[i].name) = x->slots[i];
	free(x->slots);
	*x = more;
	return 0;
}

/* The slot of a name, made when it is not there; NULL: out of memory. */
static struct slot *slot_make(struct rule_index *x, const char *name)
{
	struct slot *s;

	if (index_grow(x))
		return NULL;
	s = slot_at(x, name);
	if (!s->name) {
		s->name = name;
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
	const struct slot *s = slot_find(x, p->base);

	return s ? s->rule[v][p->kind] : NULL;
}

const struct rule *rule_index_match(const struct rule_index *x, enum verdict v, const char *name)
{
	const struct slot *s = slot_find(x, name);
	const char *base = above(name);

	if (s && s->rule[v][PATTERN_EXACT])
		return s->rule[v][PATTERN_EXACT];
	for (bool first = true; base; base = above(base), first = false) {
		s = slot_find(x, base);
		if (s && first && s->rule[v][PATTERN_ONE])
			return s->rule[v][PATTERN_ONE];
		if (s && s->rule[v][PATTERN_ANY])
			return s->rule[v][PATTERN_ANY];
	}
	return NULL;
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
	const struct slot *s = slot_find(x, name);

	return s && s->ancestor;
}

void rule_index_done(struct rule_index *x)
{
	free(x->slots);
	*x = (struct rule_index){ 0 };
}
