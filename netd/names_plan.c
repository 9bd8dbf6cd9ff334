/*
 * names_plan.c - what the kernel holds for a name
 *
 * Theory of operation: that is a function of three things: the name's real addresses, the profiles
 * that pinned it, and their policies. plan_make() computes it; the difference to what is there is
 * written in one transaction, and only when the kernel has acknowledged it does the table change.
 * The same plan serves pins (some names, perhaps new real addresses), a reload (all names, other
 * policies) and a restart (all names as read back).
 *
 * Invariants: a family is granted for forwarding or inspection only while a real address is there
 * that this very profile may use: a private one serves only profiles whose rule says private, also
 * when it was another profile's pin that brought it. Proxied grants need no real address. A real
 * address stays as long as the newest answer still has it, so that flows of one client meet one
 * server. The other usable addresses of that answer are kept for names_move(), which takes no grant
 * away from anybody: while a profile may not use the next address, the name does not go there.
 */
#include "netd/names_table.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* ---- plans ---- */

struct plan {
	struct name *nm;
	struct addr real[2];
	struct name_grant *grants; /* sorted */
	size_t n_grants, cap;
};

static void plan_done(struct plan *p)
{
	free(p->grants);
	*p = (struct plan){ 0 };
}

int names_grant_compare(const void *va, const void *vb)
{
	const struct name_grant *a = va, *b = vb;

	if (a->profile != b->profile)
		return a->profile < b->profile ? -1 : 1;
	if (a->family != b->family)
		return a->family < b->family ? -1 : 1;
	if (a->proto != b->proto)
		return a->proto < b->proto ? -1 : 1;
	if (a->port != b->port)
		return a->port < b->port ? -1 : 1;
	return (a->action > b->action) - (a->action < b->action);
}

static int plan_push(struct plan *p, const struct name_grant *g)
{
	struct name_grant *more;

	if (p->n_grants == p->cap) {
		more = reallocarray(p->grants, p->cap ? p->cap * 2 : 8, sizeof(*more));
		if (!more)
			return -ENOMEM;
		p->grants = more;
		p->cap = p->cap ? p->cap * 2 : 8;
	}
	p->grants[p->n_grants++] = *g;
	return 0;
}

/* What one profile is granted on this name, with the plan's real addresses. */
static int plan_profile(const struct names *t, struct plan *p, const struct profiles *profiles,
			uint16_t profile)
{
	const struct policy *policy = profiles_policy(profiles, profile);
	struct name_decision d;
	int r = 0;

	if (!policy)
		return 0;
	policy_decide_name(policy, p->nm->text, &d);
	if (!d.allowed)
		return 0;
	for (int f = 0; f < 2; f++) {
		bool usable = p->real[f].family && names_usable(t, &p->real[f], d.private_ok);

		for (size_t i = 0; r >= 0 && i < d.n_grants; i++) {
			struct name_grant g = { profile, f ? 6 : 4, d.grants[i].proto,
						d.grants[i].port, d.grants[i].action };

			if (g.action != GRANT_NONE && (usable || g.action == GRANT_PROXY))
				r = plan_push(p, &g);
		}
	}
	return r;
}

/* Every profile that has a grant on this name, and `extra` (0: none). */
static int plan_make(const struct names *t, struct plan *p, const struct profiles *profiles,
		     uint16_t extra)
{
	uint16_t last = 0;
	int r = 0;

	for (size_t i = 0; r >= 0 && i < p->nm->n_grants; i++) {
		uint16_t profile = p->nm->grants[i].profile;

		if (profile == last)
			continue;
		last = profile;
		if (profile != extra)
			r = plan_profile(t, p, profiles, profile);
	}
	if (r >= 0 && extra)
		r = plan_profile(t, p, profiles, extra);
	if (r >= 0 && p->n_grants)
		qsort(p->grants, p->n_grants, sizeof(*p->grants), names_grant_compare);
	return r;
}

static bool plan_changes(const struct plan *p)
{
	const struct name *nm = p->nm;

	if (!nm->in_kernel || p->n_grants != nm->n_grants)
		return true;
	for (int f = 0; f < 2; f++)
		if (!addr_eq(&p->real[f], &nm->real[f]))
			return true;
	for (size_t i = 0; i < p->n_grants; i++)
		if (names_grant_compare(&p->grants[i], &nm->grants[i]))
			return true;
	return false;
}

/* Walk `a` and call fn for what is not in `b`; both sorted. */
typedef int grant_fn(void *owner, const struct name *nm, const struct name_grant *g);
static int grants_minus(const struct name *nm, const struct name_grant *a, size_t na,
			const struct name_grant *b, size_t nb, grant_fn *fn, void *owner)
{
	int r = 0;

	for (size_t i = 0, j = 0; r >= 0 && i < na; i++) {
		while (j < nb && names_grant_compare(&b[j], &a[i]) < 0)
			j++;
		if (j == nb || names_grant_compare(&b[j], &a[i]))
			r = fn(owner, nm, &a[i]);
	}
	return r;
}

static int grant_del(void *owner, const struct name *nm, const struct name_grant *g)
{
	return names_write_grant(owner, nm, g, false);
}

static int grant_put(void *owner, const struct name *nm, const struct name_grant *g)
{
	return names_write_grant(owner, nm, g, true);
}

/* Deletions first: a grant whose action changes is deleted and put under the same key. */
static int plan_write(struct names *t, const struct plan *p)
{
	const struct name *nm = p->nm;
	int r = 0;

	if (!nm->in_kernel)
		r = names_write_name(t, nm, true);
	if (r >= 0)
		r = grants_minus(nm, nm->grants, nm->n_grants, p->grants, p->n_grants, grant_del,
				 t);
	for (int f = 0; r >= 0 && f < 2; f++)
		r = names_write_real(t, nm, f, &p->real[f]);
	if (r >= 0)
		r = grants_minus(nm, p->grants, p->n_grants, nm->grants, nm->n_grants, grant_put,
				 t);
	return r;
}

static void plan_apply(struct plan *p)
{
	struct name *nm = p->nm;

	nm->in_kernel = true;
	memcpy(nm->real, p->real, sizeof(nm->real));
	free(nm->grants);
	nm->grants = STEAL(p->grants);
	nm->n_grants = p->n_grants;
}

/* All or nothing. Plans that change nothing are not written. */
static int plans_commit(struct names *t, struct plan *plans, size_t n)
{
	size_t changed = 0;
	int r;

	for (size_t i = 0; i < n; i++)
		changed += plan_changes(&plans[i]);
	if (!changed)
		return 0;
	r = ruleset_begin(t->rules);
	for (size_t i = 0; r >= 0 && i < n; i++)
		if (plan_changes(&plans[i]))
			r = plan_write(t, &plans[i]);
	if (r < 0)
		ruleset_abort(t->rules);
	else
		r = ruleset_commit(t->rules);
	return r;
}

/* ---- pin ---- */

/* Keep the real address while it is still offered, else take the first usable one. */
static bool choose_real(const struct names *t, const struct name_ask *o, int f, bool private_ok,
			struct addr *real)
{
	const struct addr *first = NULL;

	for (size_t i = 0; i < o->n[f]; i++) {
		const struct addr *a = &o->a[f][i];

		if (a->family != (f ? 6 : 4) || !names_usable(t, a, private_ok))
			continue;
		if (addr_eq(a, real))
			return true;
		if (!first)
			first = a;
	}
	if (first)
		*real = *first;
	return first != NULL;
}

/* Those besides the chosen one, each once; without memory there are none to move to. */
static void keep_others(const struct names *t, const struct name_ask *o, int f, bool private_ok)
{
	struct name_others *others = &o->nm->others[f];
	struct addr keep[MSG_ADDRS];
	uint8_t n = 0;

	for (size_t i = 0; i < o->n[f] && n < MSG_ADDRS; i++) {
		const struct addr *a = &o->a[f][i];
		bool known = addr_eq(a, &o->nm->real[f]);

		for (size_t k = 0; k < n; k++)
			known |= addr_eq(a, &keep[k]);
		if (!known && a->family == (f ? 6 : 4) && names_usable(t, a, private_ok))
			keep[n++] = *a;
	}
	if (n != others->n) {
		free(others->a);
		others->a = n ? calloc(n, sizeof(keep[0])) : NULL;
		others->n = others->a ? n : 0;
	}
	if (others->n)
		memcpy(others->a, keep, n * sizeof(keep[0]));
}

bool name_serves(const struct name *nm, uint16_t profile)
{
	for (size_t i = 0; i < nm->n_grants; i++)
		if (nm->grants[i].profile == profile)
			return true;
	return false;
}

static bool has_family(const struct name *nm, uint16_t profile, uint8_t family)
{
	for (size_t i = 0; i < nm->n_grants; i++)
		if (nm->grants[i].profile == profile && nm->grants[i].family == family)
			return true;
	return false;
}

static enum reason plan_ask(const struct names *t, const struct profiles *p,
			    struct name_ask *a, struct plan *plan)
{
	const struct policy *policy = profiles_policy(p, a->profile);
	struct name_decision d = { 0 };
	bool usable = false;

	plan->nm = a->nm;
	memcpy(plan->real, a->nm->real, sizeof(plan->real));
	if (policy)
		policy_decide_name(policy, a->nm->text, &d);
	if (!d.allowed)
		return d.reason ? d.reason : REASON_NAME_NOT_ALLOWED;
	a->private_ok = d.private_ok;
	for (int f = 0; f < 2 && !d.proxied; f++)
		usable |= choose_real(t, a, f, d.private_ok, &plan->real[f]);
	if (!d.proxied && !usable && a->n[0] + a->n[1])
		return REASON_REBINDING_BLOCKED;
	return plan_make(t, plan, p, a->profile) < 0 ? REASON_INTERNAL_ERROR : REASON_NONE;
}

static void ask_granted(const struct names *t, struct name_ask *a, struct plan *plan)
{
	plan_apply(plan);
	for (int f = 0; f < 2; f++)
		if (a->n[f])	/* an answer for one family leaves the other */
			keep_others(t, a, f, a->private_ok);
	a->has[0] = has_family(a->nm, a->profile, 4);
	a->has[1] = has_family(a->nm, a->profile, 6);
	if (!a->has[0] && !a->has[1])
		a->reason = REASON_RESOLVER_UNREACHABLE;
}

/* An element that somebody else deleted makes every change of its name fail: put back what is
 * missing. */
static int plans_commit_or_repair(struct names *t, struct plan *plans, size_t n)
{
	int r = plans_commit(t, plans, n);

	if (r == -ENOENT && names_refill(t) >= 0)
		r = plans_commit(t, plans, n);
	return r;
}

void names_grant(struct names *t, const struct profiles *p, struct name_ask *asks, size_t n)
{
	struct plan plans[NAMES_ASKS_MAX] = { 0 };
	size_t of[NAMES_ASKS_MAX], m = 0;
	int r;

	for (size_t i = 0; i < n; i++) {
		asks[i].reason = plan_ask(t, p, &asks[i], &plans[m]);
		asks[i].has[0] = asks[i].has[1] = false;
		if (asks[i].reason)
			plan_done(&plans[m]);
		else
			of[m++] = i;
	}
	r = plans_commit_or_repair(t, plans, m);
	for (size_t i = 0; i < m; i++) {
		struct name_ask *a = &asks[of[i]];

		if (r >= 0)
			ask_granted(t, a, &plans[i]);
		else
			a->reason = REASON_INTERNAL_ERROR;
		plan_done(&plans[i]);
		if (r < 0 && n > 1)
			names_grant(t, p, a, 1);
	}
}

/* ---- move ---- */

/* The k-th of the others becomes the real address, which goes behind the rest. */
static void others_turn(struct name *nm, int f, size_t k, const struct addr *was)
{
	struct name_others *o = &nm->others[f];

	memmove(&o->a[k], &o->a[k + 1], (o->n - k - 1u) * sizeof(*o->a));
	o->a[o->n - 1] = *was;
}

static int move_to(struct names *t, const struct profiles *p, struct name *nm, int f, size_t k)
{
	struct plan plan = { .nm = nm };
	struct addr was = nm->real[f];
	int r;

	memcpy(plan.real, nm->real, sizeof(plan.real));
	plan.real[f] = nm->others[f].a[k];
	r = plan_make(t, &plan, p, 0);
	if (r >= 0 && plan.n_grants != nm->n_grants)
		r = -EACCES;
	if (r >= 0)
		r = plans_commit_or_repair(t, &plan, 1);
	if (r >= 0) {
		plan_apply(&plan);
		others_turn(nm, f, k, &was);
	}
	plan_done(&plan);
	return r;
}

int names_move(struct names *t, const struct profiles *p, struct name *nm, int f)
{
	int r = -EACCES;

	for (size_t k = 0; r == -EACCES && k < nm->others[f].n; k++)
		r = move_to(t, p, nm, f, k);
	return r;
}

/* ---- reload ---- */

struct lost {
	struct names *t;
	names_lost_fn *fn;
	void *owner;
};

static int grant_lost(void *owner, const struct name *nm, const struct name_grant *g)
{
	struct lost *l = owner;
	struct addr synthetic = names_synthetic(l->t, nm, g->family);

	l->fn(l->owner, &synthetic, g);
	return 0;
}

static int plans_make(struct names *t, const struct profiles *p, struct plan *plans)
{
	size_t i = 0;
	int r = 0;

	for (struct name *nm = names_after(t, 0); r >= 0 && nm;
	     nm = names_after(t, nm->index), i++) {
		plans[i].nm = nm;
		memcpy(plans[i].real, nm->real, sizeof(nm->real));
		r = plan_make(t, &plans[i], p, 0);
	}
	return r;
}

int names_rebase(struct names *t, const struct profiles *p, names_lost_fn *fn, void *owner)
{
	AUTO(mem) struct plan *plans = calloc(t->count + 1, sizeof(*plans));
	struct lost lost = { t, fn, owner };
	int r;

	if (!plans)
		return -ENOMEM;
	r = plans_make(t, p, plans);
	if (r >= 0)
		r = plans_commit(t, plans, t->count);
	for (size_t i = 0; i < t->count; i++) {
		struct plan *plan = &plans[i];

		if (r >= 0 && plan_changes(plan)) {
			struct name old = *plan->nm; /* the array of old grants, for the report */

			plan->nm->grants = NULL;
			plan_apply(plan);
			if (fn)
				grants_minus(plan->nm, old.grants, old.n_grants, plan->nm->grants,
					     plan->nm->n_grants, grant_lost, &lost);
			free(old.grants);
		}
		plan_done(plan);
	}
	return r;
}
