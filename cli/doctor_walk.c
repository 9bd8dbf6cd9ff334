/*
 * doctor_walk.c - a packet's way through one base chain of other software
 *
 * Theory of operation: rules are met in order; a verdict counts when its rule surely matches. A
 * drop that only may happen is left out, since nearly every ruleset drops something; an accept that
 * only may happen makes a later drop a maybe. Chains entered by jump or goto are walked in turn, to
 * a bounded depth (the kernel's own bound) and with a bounded number of rules in all, since jumps
 * can multiply.
 */
#include "cli/doctor_walk.h"

#include <linux/netfilter.h>

enum { DEPTH_MAX = 16, RULES_MAX = 200000 };

enum way { WAY_ON = 0, WAY_RETURNED, WAY_ACCEPTED, WAY_DROPPED };

struct walk {
	struct rules *rules;
	const struct packet *p;
	effect_fn *fn;
	void *owner;
	const struct rules_chain *where;
	bool unsure; /* something may have accepted it before */
	unsigned depth, met;
};

static enum way walk_chain(struct walk *w, const struct rules_chain *c);

static enum way walk_jump(struct walk *w, const struct rules_chain *from, const char *name)
{
	const struct rules_chain *c = rules_chain_named(w->rules, from->family, from->table, name);
	enum way way;

	if (!c || w->depth >= DEPTH_MAX)
		return WAY_ON;
	w->depth++;
	way = walk_chain(w, c);
	w->depth--;
	return way;
}

/* What one verdict makes of the packet, as surely as it is given. */
static enum way walk_verdict(struct walk *w, const struct rules_chain *c,
			     const struct rule_outcome *o, size_t i)
{
	bool sure = o->v[i].sure == SURE_YES;
	enum way way = WAY_ON;

	switch (o->v[i].verdict) {
	case RULE_NEXT:
		break;
	case RULE_ACCEPT:
		way = WAY_ACCEPTED;
		break;
	case RULE_DROP:
		way = WAY_DROPPED;
		if (sure)
			w->where = c;
		break;
	case RULE_RETURN:
		way = WAY_RETURNED;
		break;
	case RULE_JUMP:
		way = walk_jump(w, c, o->v[i].chain);
		break;
	case RULE_GOTO:
		way = walk_jump(w, c, o->v[i].chain);
		way = way == WAY_ON ? WAY_RETURNED : way;
		break;
	}
	if (sure)
		return way;
	if (way == WAY_ACCEPTED)
		w->unsure = true;
	return WAY_ON;
}

/* WAY_ON: it comes back to the caller (or to the policy). */
static enum way walk_chain(struct walk *w, const struct rules_chain *c)
{
	for (size_t i = 0; i < c->n && w->met < RULES_MAX; i++) {
		struct rule_outcome o;

		w->met++;
		packet_meets(w->p, w->rules, c, c->rule[i], w->fn, w->owner, &o);
		for (size_t k = 0; k < o.n; k++) {
			enum way way = walk_verdict(w, c, &o, k);

			if (way == WAY_RETURNED)
				return WAY_ON;
			if (way != WAY_ON)
				return way;
		}
	}
	return WAY_ON;
}

enum fate walk_base(struct rules *r, const struct rules_chain *base, const struct packet *p,
		    effect_fn *fn, void *owner, const struct rules_chain **ret_where)
{
	struct walk w = { .rules = r, .p = p, .fn = fn, .owner = owner, .where = base };
	enum way way = walk_chain(&w, base);

	*ret_where = w.where;
	if (way == WAY_ON && base->policy == NF_DROP) {
		*ret_where = base;
		way = WAY_DROPPED;
	}
	if (way != WAY_DROPPED)
		return FATE_PASSES;
	return w.unsure ? FATE_MAYBE : FATE_DROPPED;
}
