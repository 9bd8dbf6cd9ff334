/*
 * sandbox_restore.c - what the kernel's identity maps still hold after a restart
 *
 * Theory of operation: the kernel is the database. Each identity element's note is "NAME PROFILE",
 * with "run" and "dhcp" behind it where they apply; its mark is profile and sandbox. First the
 * profiles' ids are reserved as the elements have them, then every element whose profile is still
 * written down becomes (half of) a sandbox again. What no policy stands behind, or what the
 * configuration would refuse today, is deleted together with its flows. The other elements of a
 * sandbox are brought into line with what is known then, and flows whose sandbox is gone are ended.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "netd/flows.h"
#include "netd/profiles.h"
#include "netd/sandbox_elements.h"
#include "netd/sandboxes.h"
#include "policy/mark.h"

struct found {
	struct ruleset_elem *e;
	size_t n, cap;
};

static int collect(void *owner, const struct ruleset_elem *e)
{
	struct found *f = owner;
	struct ruleset_elem *more;

	if (f->n == f->cap) {
		more = reallocarray(f->e, f->cap ? f->cap * 2 : 64, sizeof(*more));
		if (!more)
			return -ENOMEM;
		f->e = more;
		f->cap = f->cap ? f->cap * 2 : 64;
	}
	f->e[f->n++] = *e;
	return 0;
}

/* "NAME PROFILE", then words. */
static bool note_parse(const char *note, struct msg_add *m, bool *ret_run)
{
	char word[2][8] = { "", "" };
	int n = sscanf(note, "%63s %63s %7s %7s", m->name, m->profile, word[0], word[1]);

	*ret_run = false;
	for (int i = 0; i < n - 2; i++) {
		*ret_run |= !strcmp(word[i], SANDBOX_NOTE_RUN);
		m->dhcp |= !strcmp(word[i], SANDBOX_NOTE_DHCP);
	}
	return n >= 2 && registry_label_ok(m->name) && registry_label_ok(m->profile);
}

static void reserve_profiles(struct netd *n, const struct found *f)
{
	for (size_t i = 0; i < f->n; i++) {
		struct msg_add m = { 0 };
		bool run;

		if (note_parse(f->e[i].note, &m, &run))
			profiles_reserve(n->profiles, mark_profile(f->e[i].mark), m.profile);
	}
}

/* The second address of a sandbox that the first element brought. */
static bool merge(struct netd *n, const struct ruleset_elem *e, const struct msg_add *m)
{
	struct sandbox *s = registry_by_id(n->registry, mark_sandbox(e->mark));

	if (!s || strcmp(s->name, m->name) || strcmp(s->interface, e->interface) ||
	    memcmp(s->mac, e->mac, 6) || s->profile != mark_profile(e->mark))
		return false;
	if (s->addr[e->addr.family == 6].family || registry_by_addr(n->registry, &e->addr))
		return false;
	registry_set_addr(n->registry, s, &e->addr);
	return true;
}

static bool restore(struct netd *n, const struct ruleset_elem *e)
{
	uint16_t profile = mark_profile(e->mark), id = mark_sandbox(e->mark);
	struct msg_add m = { 0 };
	char why[SANDBOX_WHY_MAX];
	struct sandbox *s;
	bool run;

	if (!id || !note_parse(e->note, &m, &run) || profiles_id(n->profiles, m.profile) != profile)
		return false;
	memcpy(m.interface, e->interface, sizeof(m.interface));
	memcpy(m.mac, e->mac, sizeof(m.mac));
	m.addr[e->addr.family == 6] = e->addr;
	if (merge(n, e, &m))
		return true;
	if (!registry_check(n->registry, n->config, &m, why, sizeof(why)) ||
	    registry_insert(n->registry, &m, profile, id, loop_now(n->loop), &s) < 0)
		return false;
	s->run = run;
	s->state = SANDBOX_OPEN;
	return true;
}

/* An element that no policy stands behind: out, with its flows. */
static int expel(struct netd *n, const struct ruleset_elem *e)
{
	int r = ruleset_begin(n->rules);

	if (r >= 0)
		r = ruleset_del(n->rules, e);
	if (r >= 0)
		r = ruleset_commit(n->rules);
	else
		ruleset_abort(n->rules);
	if (r >= 0 && mark_sandbox(e->mark) && !registry_by_id(n->registry, mark_sandbox(e->mark)))
		r = ruleset_flows_close(n->rules, mark_of(0, mark_sandbox(e->mark)),
					MARK_SANDBOX_MASK);
	log_line(LOG_NOTE, "event=identity_expelled interface=%s note=\"%s\"", e->interface,
		 e->note);
	return r;
}

int sandboxes_read_back(struct netd *n)
{
	struct found f = { 0 };
	int r = ruleset_each(n->rules, MAP_IDENTITY, 4, collect, &f);

	if (r >= 0)
		r = ruleset_each(n->rules, MAP_IDENTITY, 6, collect, &f);
	if (r >= 0) {
		reserve_profiles(n, &f);
		r = profiles_assign(n->profiles);
	}
	for (size_t i = 0; r >= 0 && i < f.n; i++)
		if (!restore(n, &f.e[i]))
			r = expel(n, &f.e[i]);
	free(f.e);
	if (r >= 0)
		r = sandbox_elements_reconcile(n);
	return r < 0 ? r : flows_close_orphans(n->rules, n->registry);
}
