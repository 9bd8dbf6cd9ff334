/*
 * sandboxes.c - opening and closing sandboxes
 *
 * Theory of operation: `add` is answered when every part knows the sandbox and the kernel has it,
 * in that order: the parts are told and acknowledge, then the link gets its sysctls, backstop,
 * route and neighbour, then the identity element lets its packets in. `rm` goes the other way: the
 * element is deleted, then the flows, then the parts drop what they hold and forget it. What a link
 * needs is netd/sandbox_links.c's, what is found after a restart netd/sandbox_restore.c's.
 * Invariants: no element without the parts' acknowledgement; a half-opened sandbox is undone.
 */
#include "netd/sandboxes.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "netd/host_addresses.h"
#include "netd/parts.h"
#include "netd/profiles.h"
#include "netd/recent.h"
#include "netd/refusals.h"
#include "netd/sandbox_elements.h"
#include "netd/sandbox_links.h"
#include "netd/scopes.h"
#include "nft/rtnl.h"
#include "policy/mark.h"

enum { REFILL_CHUNK = 256 };

void sandbox_audit(struct netd *n, const struct sandbox *s, const char *what)
{
	const struct policy *policy = profiles_policy(n->profiles, s->profile);
	struct audit_head h = { .event = "sandbox",
				.sandbox = s->name,
				.profile = profiles_name(n->profiles, s->profile),
				.decision = "",
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
		r = sandbox_elements_put(n, s);
	return finish(n, r);
}

int sandboxes_refill(struct netd *n)
{
	struct sandbox *s = registry_after(n->registry, 0);
	int r = 0;

	while (r >= 0 && s) {
		r = ruleset_begin(n->rules);
		for (int i = 0; r >= 0 && s && i < REFILL_CHUNK;
		     i++, s = registry_after(n->registry, s->id))
			if (s->state == SANDBOX_OPEN)
				r = sandbox_elements_put(n, s);
		r = finish(n, r);
	}
	return r;
}

/* ---- add ---- */

struct add {
	struct publish publish;
	uint16_t id;
	uint64_t who;
	sandbox_fn *fn;
};

static void add_drop(struct netd *n, struct publish *publish)
{
	(void)n;
	free(container_of(publish, struct add, publish));
}

static void end(struct netd *n, sandbox_fn *fn, uint64_t who, int code, const char *why,
		struct sandbox *s)
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
		r = sandbox_link_fit(n, s, &link);
	else if (s->fixed)
		r = 0; /* fitted out when it appears */
	if (r < 0) {
		snprintf(why, cap, "interface %s cannot be set up (%s); see the log of cordon-netd",
			 s->interface, strerror(-r));
		return r;
	}
	r = open_in_kernel(n, s);
	if (r < 0)
		snprintf(why, cap,
			 "the kernel refuses the identity of %s (%s); `cordon firewall start` "
			 "loads the ruleset",
			 s->name, strerror(-r));
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
		sandbox_link_unfit(s);
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

static int check_link(const struct msg_add *m, bool fixed, char *why, size_t cap)
{
	struct rtnl_link link;
	int r = rtnl_link_get(m->interface, &link);

	if (r == -ENODEV && fixed)
		return 0; /* fitted out when it appears */
	if (r == -ENODEV)
		snprintf(why, cap, "interface %s does not exist; create it first", m->interface);
	else if (r < 0)
		snprintf(why, cap, "interface %s cannot be read (%s)", m->interface, strerror(-r));
	if (r < 0 || !link.bridged)
		return r;
	snprintf(why, cap,
		 "interface %s is in a bridge, where packets pass by the policy; take it out "
		 "(ip link set %s nomaster) and route it",
		 m->interface, m->interface);
	return -EBUSY;
}

static int check_own(const struct netd *n, const struct msg_add *m, char *why, size_t cap)
{
	char text[ADDR_TEXT_MAX];

	for (int i = 0; i < 2; i++) {
		if (!host_addresses_has(n->addresses, &m->addr[i]))
			continue;
		addr_format(&m->addr[i], text);
		snprintf(why, cap, "address %s is this host's own; give the guest's", text);
		return -EADDRINUSE;
	}
	return 0;
}

static int profile_for(const struct netd *n, const struct msg_add *m, uint16_t *ret, char *why,
		       size_t cap)
{
	*ret = profiles_id(n->profiles, m->profile);
	if (*ret)
		return 0;
	snprintf(why, cap,
		 "there is no profile %s; write %s/%s.yaml and `cordon reload`, or choose another",
		 registry_label_ok(m->profile) ? m->profile : "of that name",
		 n->config->profiles_dir, registry_label_ok(m->profile) ? m->profile : "NAME");
	return -ENOENT;
}

static bool text_ok(const struct msg_add *m)
{
	return msg_text_ok(m->name, sizeof(m->name)) &&
	       msg_text_ok(m->profile, sizeof(m->profile)) &&
	       msg_text_ok(m->interface, sizeof(m->interface));
}

/* What still bears the id of somebody before: his flows went with him, but one packet may have been on
 * its way. */
static int claim_id(struct netd *n, struct sandbox *s, char *why, size_t cap)
{
	int r = 0;

	if (registry_id_was_used(n->registry, s->id))
		r = ruleset_flows_close(n->rules, mark_of(0, s->id), MARK_SANDBOX_MASK);
	if (r < 0) {
		snprintf(why, cap, "the flows of a former sandbox cannot be ended (%s); try again",
			 strerror(-r));
		forget(n, s);
	}
	return r;
}

/* Everything up to the table: 0 with the sandbox in it, else -errno and why. */
static int enter(struct netd *n, const struct msg_add *m, bool fixed, struct sandbox **ret,
		 char *why, size_t cap)
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
		r = check_link(m, fixed, why, cap);
	if (r >= 0)
		r = check_own(n, m, why, cap);
	if (r < 0)
		return r;
	r = registry_insert(n->registry, m, profile, 0, loop_now(n->loop), ret);
	if (r == -ENOSPC)
		snprintf(why, cap,
			 "all ids are taken or rest, ten minutes after their sandbox was removed; "
			 "try again later");
	else if (r < 0)
		snprintf(why, cap, "no room for another sandbox (%s)", strerror(-r));
	return r < 0 ? r : claim_id(n, *ret, why, cap);
}

/* After a restart of netd, a running `cordon run` registers again what is still there. */
static struct sandbox *orphan_of(const struct netd *n, const struct msg_add *m)
{
	struct sandbox *s;

	if (!text_ok(m))
		return NULL;
	s = registry_by_name(n->registry, m->name);
	if (!s || !s->run || s->owner || s->state != SANDBOX_OPEN || memcmp(s->mac, m->mac, 6) ||
	    strcmp(s->interface, m->interface) ||
	    profiles_id(n->profiles, m->profile) != s->profile)
		return NULL;
	return addr_eq(&s->addr[0], &m->addr[0]) && addr_eq(&s->addr[1], &m->addr[1]) ? s : NULL;
}

static void add(struct netd *n, const struct msg_add *m, bool run, bool fixed, uint64_t who,
		sandbox_fn *fn)
{
	char why[SANDBOX_WHY_MAX] = "out of memory";
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
	a->publish.drop = add_drop;
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

static bool as_configured(const struct netd *n, const struct sandbox *s, const struct host_sandbox *h)
{
	return !strcmp(s->interface, h->interface) && !memcmp(s->mac, h->mac, sizeof(s->mac)) &&
	       addr_eq(&s->addr[0], &h->addr[0]) && addr_eq(&s->addr[1], &h->addr[1]) &&
	       s->dhcp == h->dhcp &&
	       !strcmp(profiles_name(n->profiles, s->profile), h->profile);
}

static void add_configured(struct netd *n, const struct host_sandbox *h)
{
	struct sandbox *there = registry_by_name(n->registry, h->name);
	struct msg_add m = { .dhcp = h->dhcp };

	if (there) {
		there->fixed = true;
		if (!as_configured(n, there, h))
			log_line(LOG_WARN,
				 "event=sandbox_differs sandbox=%s do=\"cordon rm %s, cordon reload\"",
				 h->name, h->name);
		return;
	}
	if (!msg_text_set(m.name, sizeof(m.name), h->name) ||
	    !msg_text_set(m.profile, sizeof(m.profile), h->profile) ||
	    !msg_text_set(m.interface, sizeof(m.interface), h->interface))
		return;
	memcpy(m.mac, h->mac, sizeof(m.mac));
	memcpy(m.addr, h->addr, sizeof(m.addr));
	add(n, &m, false, true, 0, NULL);
}

void sandboxes_of_config(struct netd *n)
{
	for (size_t i = 0; i < n->config->n_sandboxes; i++)
		add_configured(n, &n->config->sandboxes[i]);
}

/* ---- rm ---- */

static void rm_published(struct netd *n, struct publish *publish)
{
	struct add *a = container_of(publish, struct add, publish);
	struct sandbox *s = registry_by_id(n->registry, a->id);
	char why[SANDBOX_WHY_MAX];

	refusals_forget(n->refusals, s); /* told first: by now nothing of it passes */
	sandbox_audit(n, s, "removed");
	snprintf(why, sizeof(why), "%s is removed", s->name);
	sandbox_link_unfit(s);
	refusals_forget(n->refusals, s);
	recent_forget(n->recent, s->id);
	scopes_forget(n->scopes, s->id);
	forget(n, s);
	end(n, a->fn, a->who, 0, why, NULL);
	free(a);
}

static void rm_publish(struct netd *n, struct sandbox *s, struct add *a)
{
	struct msg_close close = { .sandbox = s->id };
	struct msg_gone gone = { s->id };

	publish_begin(n, &a->publish, rm_published);
	a->publish.drop = add_drop;
	publish_send(&a->publish, TO_VIEWS, MSG_GONE, &gone,
		     NULL); /* no new ones, then no old ones */
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
	int r = no ? -ENOENT : sandbox_elements_del(n, s);

	if (!no && r >= 0)
		r = ruleset_flows_close(n->rules, mark_of(0, s->id), MARK_SANDBOX_MASK);
	if (r < 0) {
		free(a);
		end(n, fn, who, r, no ? no : "the kernel refuses; see the log of cordon-netd",
		    NULL);
		return;
	}
	s->state = SANDBOX_CLOSING;
	a->id = s->id;
	a->who = who;
	a->fn = fn;
	rm_publish(n, s, a);
}
