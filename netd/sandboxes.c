/*
 * sandboxes.c - opening and closing sandboxes
 *
 * Theory of operation: `add` is answered when every part knows the sandbox and the kernel has it, in that
 * order: the parts are told and acknowledge, then the link gets its sysctls, backstop, route and neighbour,
 * then the identity element lets its packets in. `rm` goes the other way: the element is deleted, then the
 * flows, then the parts drop what they hold and forget it. The kernel is the database: after a restart the
 * identity elements (note "NAME PROFILE", and "run" for those of `cordon run`) are read back, and what the
 * policy no longer knows is removed.
 *
 * Links come and go under a sandbox. Its element names the interface, so a link of another name is nobody
 * to the ruleset; and one that was renamed out of the patterns is not even policed, so it is taken down.
 * Invariants: no element without the parts' acknowledgement; a half-opened sandbox is undone.
 */
#include "netd/sandboxes.h"

#include <errno.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "netd/parts.h"
#include "netd/profiles.h"
#include "nft/firewall.h"
#include "nft/rtnl.h"
#include "policy/mark.h"

enum { REFILL_CHUNK = 256, HOST_ADDRESSES_MAX = 1024 };

void sandbox_audit(struct netd *n, const struct sandbox *s, const char *what)
{
	const struct policy *policy = profiles_policy(n->profiles, s->profile);
	struct audit_head h = { .event = "sandbox", .sandbox = s->name,
				.profile = profiles_name(n->profiles, s->profile), .decision = "",
				.policy = policy ? policy_sha256(policy) : "" };
	char text[ADDR_TEXT_MAX];
	struct audit_line l;

	audit_begin(&l, &h);
	audit_str(&l, "what", what);
	audit_str(&l, "interface", s->interface);
	for (int i = 0; i < 2; i++) {
		if (!s->addr[i].family)
			continue;
		addr_format(&s->addr[i], text);
		audit_str(&l, i ? "ipv6" : "ipv4", text);
	}
	audit_put(n->audit, &l);
}

/* ---- elements ---- */

static struct ruleset_elem identity(const struct netd *n, const struct sandbox *s, int i)
{
	struct ruleset_elem e = { .map = MAP_IDENTITY, .addr = s->addr[i],
				  .mark = mark_of(s->profile, s->id) };

	memcpy(e.interface, s->interface, sizeof(e.interface));
	memcpy(e.mac, s->mac, sizeof(e.mac));
	snprintf(e.note, sizeof(e.note), "%s %s%s", s->name, profiles_name(n->profiles, s->profile),
		 s->run ? " run" : "");
	return e;
}

static int put_identity(struct netd *n, const struct sandbox *s)
{
	int r = 0;

	for (int i = 0; r >= 0 && i < 2; i++) {
		struct ruleset_elem e = identity(n, s, i);

		if (e.addr.family)
			r = ruleset_put(n->rules, &e);
	}
	return r;
}

static int finish(struct netd *n, int r)
{
	if (r >= 0)
		return ruleset_commit(n->rules);
	ruleset_abort(n->rules);
	return r;
}

static int open_in_kernel(struct netd *n, const struct sandbox *s)
{
	int r = ruleset_begin(n->rules);

	if (r >= 0)
		r = put_identity(n, s);
	return finish(n, r);
}

/* Each on its own: one that is gone already must not keep the other. */
static int close_in_kernel(struct netd *n, const struct sandbox *s)
{
	int worst = 0;

	for (int i = 0; i < 2; i++) {
		struct ruleset_elem e = identity(n, s, i);
		int r;

		if (!e.addr.family)
			continue;
		r = ruleset_begin(n->rules);
		if (r >= 0)
			r = ruleset_del(n->rules, &e);
		r = finish(n, r);
		if (r < 0 && r != -ENOENT)
			worst = r;
	}
	return worst;
}

int sandboxes_refill(struct netd *n)
{
	struct sandbox *s = registry_after(n->registry, 0);
	int r = 0;

	while (r >= 0 && s) {
		r = ruleset_begin(n->rules);
		for (int i = 0; r >= 0 && s && i < REFILL_CHUNK; i++, s = registry_after(n->registry, s->id))
			if (s->state == SANDBOX_OPEN)
				r = put_identity(n, s);
		r = finish(n, r);
	}
	return r;
}

/* ---- links ---- */

/* Routes and neighbours want a link that is up; check_links comes back when it is. */
static int link_fit(struct sandbox *s, const struct rtnl_link *link)
{
	int r = firewall_interface_sysctls(s->interface);

	if (r >= 0 && s->addr[1].family)
		r = rtnl_backstop_add(s->interface);
	s->link = link->index;
	s->link_up = link->up;
	for (int i = 0; r >= 0 && link->up && i < 2; i++) {
		if (!s->addr[i].family)
			continue;
		r = rtnl_route_add(link->index, &s->addr[i]);
		if (r >= 0)
			r = rtnl_neigh_add(link->index, &s->addr[i], s->mac);
	}
	return r;
}

static void link_unfit(const struct netd *n, const struct sandbox *s)
{
	bool shared = false;

	REGISTRY_EACH(n->registry, other)
		shared |= other != s && !strcmp(other->interface, s->interface);
	if (!shared)
		rtnl_backstop_del(s->interface);
	for (int i = 0; s->link && i < 2; i++) {
		if (!s->addr[i].family)
			continue;
		rtnl_neigh_del(s->link, &s->addr[i]);
		rtnl_route_del(s->link, &s->addr[i]);
	}
}

static void link_down(struct netd *n, struct sandbox *s, const char *what)
{
	int r = rtnl_link_set(s->link, false);

	if (r < 0 && r != -ENODEV)
		log_line(LOG_ERR, "event=link_down_failed sandbox=%s errno=%d", s->name, -r);
	s->downed = r >= 0;
	s->link_up = false;
	sandbox_audit(n, s, what);
}

/* Gone under its name. What it is called now, the ruleset may not know: down with it. */
static void link_lost(struct netd *n, struct sandbox *s)
{
	link_down(n, s, "interface lost");
	s->stray = s->downed ? s->link : 0;
	s->link = 0;
}

/* Whoever renamed it may take it up afterwards. Back under its name it is no stray any more. */
static void check_stray(struct sandbox *s)
{
	char name[IF_NAMESIZE];
	struct rtnl_link link;

	if (!if_indextoname((unsigned)s->stray, name) || !strcmp(name, s->interface)) {
		s->stray = 0;
		return;
	}
	if (rtnl_link_get(name, &link) < 0 || link.index != s->stray || !link.up)
		return;
	log_line(LOG_WARN, "event=stray_link_down sandbox=%s interface=%s", s->name, name);
	rtnl_link_set(s->stray, false);
}

/* A run's interface does not come back, and after a restart nobody else would remove it. */
static void run_ended(struct netd *n, struct sandbox *s)
{
	if (s->run && !n->reloading)
		sandbox_rm(n, s->name, 0, NULL);
}

static void link_found(struct netd *n, struct sandbox *s, struct rtnl_link *link)
{
	int r;

	if (link->bridged) {
		s->link = link->index;
		if (link->up)
			link_down(n, s, "interface is in a bridge");
		return;
	}
	if (s->link == link->index && s->link_up == link->up && !s->downed)
		return;
	if (s->downed && !link->up && rtnl_link_set(link->index, true) >= 0)
		link->up = true;
	s->downed = false;
	r = link_fit(s, link);
	if (r < 0)
		log_line(LOG_ERR, "event=link_setup_failed sandbox=%s interface=%s errno=%d", s->name,
			 s->interface, -r);
}

static void check_link(struct netd *n, struct sandbox *s)
{
	struct rtnl_link link = { 0 };
	int r = rtnl_link_get(s->interface, &link);

	if (s->link && (r < 0 || link.index != s->link))
		link_lost(n, s);
	if (s->stray)
		check_stray(s);
	if (r == -ENODEV)
		run_ended(n, s);
	else if (r >= 0)
		link_found(n, s, &link);
}

/* rm takes a sandbox out of the table later or at once, so the walk goes by number. */
void sandboxes_check_links(struct netd *n)
{
	uint32_t id = 0;

	for (struct sandbox *s; (s = registry_after(n->registry, id));) {
		id = s->id;
		if (s->state == SANDBOX_OPEN)
			check_link(n, s);
	}
}

void sandboxes_links(struct netd *n, bool up)
{
	REGISTRY_EACH(n->registry, s) {
		struct rtnl_link link;

		if (rtnl_link_get(s->interface, &link) < 0)
			continue;
		if (!up && link.up && rtnl_link_set(link.index, false) >= 0)
			s->downed = true;
	}
	if (up)
		sandboxes_check_links(n);
}

/* ---- add ---- */

struct add {
	struct publish publish;
	uint16_t id;
	uint64_t who;
	sandbox_fn *fn;
};

static void end(struct netd *n, sandbox_fn *fn, uint64_t who, int code, const char *why, struct sandbox *s)
{
	if (fn)
		fn(n, who, code, why, s);
	else if (code < 0)
		log_line(LOG_ERR, "event=sandbox_failed errno=%d why=\"%s\"", -code, why);
}

static int open_now(struct netd *n, struct sandbox *s, char *why, size_t cap)
{
	struct rtnl_link link;
	int r = rtnl_link_get(s->interface, &link);

	if (r >= 0)
		r = link_fit(s, &link);
	else if (s->fixed)
		r = 0;				/* fitted out when it appears */
	if (r < 0) {
		snprintf(why, cap, "interface %s cannot be set up (%s); see the log of cordon-netd",
			 s->interface, strerror(-r));
		return r;
	}
	r = open_in_kernel(n, s);
	if (r < 0)
		snprintf(why, cap, "the kernel refuses the identity of %s (%s); `cordon firewall start` "
			 "loads the ruleset", s->name, strerror(-r));
	return r;
}

static void forget(struct netd *n, struct sandbox *s)
{
	registry_remove(n->registry, s, loop_now(n->loop));
}

static void add_published(struct netd *n, struct publish *publish)
{
	struct add *a = container_of(publish, struct add, publish);
	struct sandbox *s = registry_by_id(n->registry, a->id);
	struct msg_gone gone = { s->id };
	char why[SANDBOX_WHY_MAX] = "";
	int r = open_now(n, s, why, sizeof(why));

	if (r < 0) {
		link_unfit(n, s);
		publish_tell(n, TO_VIEWS, MSG_GONE, &gone, NULL);
		forget(n, s);
		s = NULL;
	} else {
		s->state = SANDBOX_OPEN;
		snprintf(why, sizeof(why), "%s is registered on %s", s->name, s->interface);
		sandbox_audit(n, s, "added");
	}
	end(n, a->fn, a->who, r, why, s);
	free(a);
}

/* What only the host can tell. */
static int check_host(const struct msg_add *m, bool fixed, char *why, size_t cap)
{
	AUTO(mem) struct addr *own = calloc(HOST_ADDRESSES_MAX, sizeof(*own));
	struct rtnl_link link;
	int r = rtnl_link_get(m->interface, &link);
	int count = own ? rtnl_host_addresses(own, HOST_ADDRESSES_MAX) : -ENOMEM;

	if (r < 0 && !(fixed && r == -ENODEV)) {
		snprintf(why, cap, "interface %s does not exist; create it first", m->interface);
		return r;
	}
	if (r >= 0 && link.bridged) {
		snprintf(why, cap, "interface %s is in a bridge, where packets pass by the policy; take it "
			 "out (ip link set %s nomaster) and route it", m->interface, m->interface);
		return -EBUSY;
	}
	for (int i = 0; i < count * 2; i++) {
		char text[ADDR_TEXT_MAX];

		if (!addr_eq(&own[i / 2], &m->addr[i % 2]) || !own[i / 2].family)
			continue;
		addr_format(&own[i / 2], text);
		snprintf(why, cap, "address %s is this host's own; give the guest's", text);
		return -EADDRINUSE;
	}
	return count < 0 ? count : 0;
}

static int profile_for(const struct netd *n, const struct msg_add *m, uint16_t *ret, char *why, size_t cap)
{
	*ret = profiles_id(n->profiles, m->profile);
	if (*ret)
		return 0;
	snprintf(why, cap, "there is no profile %s; write %s/%s.yaml and `cordon reload`, or choose another",
		 registry_label_ok(m->profile) ? m->profile : "of that name", n->config->profiles_dir,
		 registry_label_ok(m->profile) ? m->profile : "NAME");
	return -ENOENT;
}

static bool text_ok(const struct msg_add *m)
{
	return msg_text_ok(m->name, sizeof(m->name)) && msg_text_ok(m->profile, sizeof(m->profile)) &&
	       msg_text_ok(m->interface, sizeof(m->interface));
}

/* Everything up to the table: 0 with the sandbox in it, else -errno and why. */
static int enter(struct netd *n, const struct msg_add *m, bool fixed, struct sandbox **ret, char *why,
		 size_t cap)
{
	uint16_t profile;
	int r;

	snprintf(why, cap, "the request is malformed");
	if (!text_ok(m))
		return -EINVAL;
	if (n->reloading) {
		snprintf(why, cap, "a reload is running; try again");
		return -EAGAIN;
	}
	if (!registry_check(n->registry, n->config, m, why, cap))
		return -EINVAL;
	r = profile_for(n, m, &profile, why, cap);
	if (r >= 0)
		r = check_host(m, fixed, why, cap);
	if (r < 0)
		return r;
	r = registry_insert(n->registry, m, profile, 0, loop_now(n->loop), ret);
	if (r < 0)
		snprintf(why, cap, "no room for another sandbox (%s)", strerror(-r));
	return r;
}

/* After a restart of netd, a running `cordon run` registers again what is still there. */
static struct sandbox *orphan_of(const struct netd *n, const struct msg_add *m)
{
	struct sandbox *s;

	if (!text_ok(m))
		return NULL;
	s = registry_by_name(n->registry, m->name);
	if (!s || !s->run || s->owner || s->state != SANDBOX_OPEN || memcmp(s->mac, m->mac, 6) ||
	    strcmp(s->interface, m->interface) || profiles_id(n->profiles, m->profile) != s->profile)
		return NULL;
	return addr_eq(&s->addr[0], &m->addr[0]) && addr_eq(&s->addr[1], &m->addr[1]) ? s : NULL;
}

static void add(struct netd *n, const struct msg_add *m, bool run, bool fixed, uint64_t who, sandbox_fn *fn)
{
	char why[SANDBOX_WHY_MAX];
	struct add *a = calloc(1, sizeof(*a));
	struct sandbox *s = NULL;
	struct msg_sandbox msg;
	int r = a ? enter(n, m, fixed, &s, why, sizeof(why)) : -ENOMEM;

	if (r < 0) {
		free(a);
		end(n, fn, who, r, why, NULL);
		return;
	}
	s->run = run;
	s->fixed = fixed;
	s->owner = run ? who : 0;
	a->id = s->id;
	a->who = who;
	a->fn = fn;
	sandbox_message(s, &msg);
	publish_begin(n, &a->publish, add_published);
	publish_send(&a->publish, TO_VIEWS, MSG_SANDBOX, &msg, NULL);
	publish_end(&a->publish);
}

void sandbox_add(struct netd *n, const struct msg_add *m, bool run, uint64_t who, sandbox_fn *fn)
{
	struct sandbox *s = run ? orphan_of(n, m) : NULL;

	if (s) {
		s->owner = who;
		end(n, fn, who, 0, "registered again", s);
		return;
	}
	add(n, m, run, false, who, fn);
}

void sandboxes_of_config(struct netd *n)
{
	for (size_t i = 0; i < n->config->n_sandboxes; i++) {
		const struct host_sandbox *h = &n->config->sandboxes[i];
		struct sandbox *there = registry_by_name(n->registry, h->name);
		struct msg_add m = { .dhcp = h->dhcp };

		if (there)
			there->fixed = true;
		if (there || !msg_text_set(m.name, sizeof(m.name), h->name) ||
		    !msg_text_set(m.profile, sizeof(m.profile), h->profile) ||
		    !msg_text_set(m.interface, sizeof(m.interface), h->interface))
			continue;
		memcpy(m.mac, h->mac, sizeof(m.mac));
		memcpy(m.addr, h->addr, sizeof(m.addr));
		add(n, &m, false, true, 0, NULL);
	}
}

/* ---- rm ---- */

static void rm_published(struct netd *n, struct publish *publish)
{
	struct add *a = container_of(publish, struct add, publish);
	struct sandbox *s = registry_by_id(n->registry, a->id);
	char why[SANDBOX_WHY_MAX];

	sandbox_audit(n, s, "removed");
	snprintf(why, sizeof(why), "%s is removed", s->name);
	link_unfit(n, s);
	forget(n, s);
	end(n, a->fn, a->who, 0, why, NULL);
	free(a);
}

static void rm_publish(struct netd *n, struct sandbox *s, struct add *a)
{
	struct msg_close close = { .sandbox = s->id };
	struct msg_gone gone = { s->id };

	publish_begin(n, &a->publish, rm_published);
	publish_send(&a->publish, TO_VIEWS, MSG_GONE, &gone, NULL);	/* no new ones, then no old ones */
	publish_send(&a->publish, TO_GITPROXY, MSG_CLOSE, &close, NULL);
	publish_end(&a->publish);
}

static const char *rm_refuse(const struct netd *n, const struct sandbox *s)
{
	if (!s)
		return "there is no sandbox of that name; see cordon ls";
	if (s->state != SANDBOX_OPEN)
		return "it is being added or removed; try again";
	return n->reloading ? "a reload is running; try again" : NULL;
}

void sandbox_rm(struct netd *n, const char *name, uint64_t who, sandbox_fn *fn)
{
	struct sandbox *s = registry_by_name(n->registry, name);
	struct add *a = calloc(1, sizeof(*a));
	const char *no = a ? rm_refuse(n, s) : "out of memory";
	int r = no ? -ENOENT : close_in_kernel(n, s);

	if (!no && r >= 0)
		r = ruleset_flows_close(n->rules, mark_of(0, s->id), MARK_SANDBOX_MASK);
	if (r < 0) {
		free(a);
		end(n, fn, who, r, no ? no : "the kernel refuses; see the log of cordon-netd", NULL);
		return;
	}
	s->state = SANDBOX_CLOSING;
	a->id = s->id;
	a->who = who;
	a->fn = fn;
	rm_publish(n, s, a);
}

/* ---- read back ---- */

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

/* "NAME PROFILE" or "NAME PROFILE run". */
static bool note_parse(const char *note, struct msg_add *m, bool *ret_run)
{
	char tail[8] = "";
	int n = sscanf(note, "%63s %63s %7s", m->name, m->profile, tail);

	*ret_run = n == 3 && !strcmp(tail, "run");
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
	struct addr *slot;

	if (!s || strcmp(s->name, m->name) || strcmp(s->interface, e->interface) ||
	    memcmp(s->mac, e->mac, 6) || s->profile != mark_profile(e->mark))
		return false;
	slot = &s->addr[e->addr.family == 6];
	if (slot->family || registry_by_addr(n->registry, &e->addr))
		return false;
	*slot = e->addr;
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
	r = finish(n, r);
	if (r >= 0 && mark_sandbox(e->mark) && !registry_by_id(n->registry, mark_sandbox(e->mark)))
		r = ruleset_flows_close(n->rules, mark_of(0, mark_sandbox(e->mark)), MARK_SANDBOX_MASK);
	log_line(LOG_NOTE, "event=identity_expelled interface=%s note=\"%s\"", e->interface, e->note);
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
	return r;
}
