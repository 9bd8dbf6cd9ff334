/*
 * reload.c - a new generation of the policy
 *
 * Theory of operation: two phases. Everything is compiled first; what does not compile changes
 * nothing. PREPARE and the new profiles go to the parts, which compile them again and answer READY;
 * one that refuses makes everybody drop it (ABORT). Then one nft transaction takes grants away and
 * adds those of names that are already pinned: from that moment the new policy is what the kernel
 * enforces. COMMIT makes the parts follow. Last, what the old policy let in is ended: flows of lost
 * grants by conntrack, connections of sandboxes whose profile changed at the proxy, since the proxy
 * alone knows what is in them.
 *
 * While it runs nothing is added or removed and no part is given a snapshot: each sees one
 * generation or the other. Pins go on: each is decided by the generation in force at its turn. What
 * cannot change without a restart (addresses, interfaces, directories) is refused, not ignored.
 */
#include "netd/reload.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "netd/flows.h"
#include "netd/names.h"
#include "netd/parts.h"
#include "netd/profiles.h"
#include "netd/ranges.h"
#include "netd/registry.h"
#include "netd/sandbox_elements.h"
#include "netd/sandbox_links.h"
#include "netd/sandboxes.h"

enum { WHY_MAX = 512 };

struct reload {
	struct publish publish;
	struct host_config *config;
	struct profiles *next;
	bool credentials;  /* their list has changed, which is the keeper's at its start only */
	char *diagnostics; /* of diag_print(), or NULL */
	uint64_t who;
	reload_fn *fn;
	struct flow_list lost;
};

static void reload_free(struct reload *r)
{
	if (!r)
		return;
	host_config_free(r->config);
	profiles_free(r->next);
	free(r->diagnostics);
	free(r->lost.key);
	free(r);
}

static void reload_drop(struct netd *n, struct publish *publish)
{
	(void)n;
	reload_free(container_of(publish, struct reload, publish));
}

static void audit_policy(struct netd *n, const char *decision, const char *what)
{
	struct audit_head h = { .event = "policy",
				.decision = decision,
				.policy = n->profiles->sha256 };
	struct audit_line l;

	audit_begin(&l, &h);
	audit_str(&l, "what", what);
	audit_put(n->audit, &l);
}

static void finish(struct reload *r, struct netd *n, int code, const char *why)
{
	n->reloading = false;
	audit_policy(n, "", why);
	log_line(code < 0 ? LOG_WARN : LOG_NOTE, "event=reload code=%d why=\"%s\"", code, why);
	parts_admit_waiting(n->parts);
	r->fn(n, r->who, code, why, r->diagnostics ? r->diagnostics : "");
	reload_free(r);
	if (code >= 0)
		sandboxes_of_config(n);
	sandbox_links_check_runs(n);
}

/* ---- third: the new policy is in force ---- */

static void committed(struct netd *n, struct publish *publish)
{
	struct reload *r = container_of(publish, struct reload, publish);
	char why[WHY_MAX];

	snprintf(why, sizeof(why), "policy %.12s is in force: %zu profile%s, %zu grant%s ended%s",
		 n->profiles->sha256, n->profiles->count, n->profiles->count == 1 ? "" : "s",
		 r->lost.lost, r->lost.lost == 1 ? "" : "s",
		 r->credentials ? "; credentials have changed: restart cordon-gitproxy to use them" : "");
	finish(r, n, 0, why);
}

static bool same_text(const struct policy *a, const struct policy *b)
{
	return a && b && !strcmp(policy_sha256(a), policy_sha256(b));
}

static void close_changed(struct netd *n, struct publish *publish, const struct profiles *before)
{
	REGISTRY_EACH (n->registry, s) {
		struct msg_close m = { .sandbox = s->id };

		if (!same_text(profiles_policy(before, s->profile),
			       profiles_policy(n->profiles, s->profile)))
			publish_send(publish, TO_GITPROXY, MSG_CLOSE, &m, NULL);
	}
}

static void swap(struct netd *n, struct reload *r)
{
	struct profiles *profiles = n->profiles;
	struct host_config *config = n->config;

	n->profiles = r->next;
	r->next = profiles;
	n->config = r->config;
	r->config = config;
	names_set_config(n->names, n->config);
}

static void commit(struct netd *n, struct reload *r)
{
	struct msg_reload m = { .generation = r->next->generation,
				.count = (uint32_t)r->next->count };

	swap(n, r); /* r holds the old ones now; freed at the end */
	publish_begin(n, &r->publish, committed);
	r->publish.drop = reload_drop;
	publish_send(&r->publish, TO_VIEWS, MSG_COMMIT, &m, NULL);
	flows_close(&r->lost);
	close_changed(n, &r->publish, r->next);
	publish_end(&r->publish);
}

/* ---- second: everyone is ready, or not ---- */

static void abandon(struct netd *n, struct reload *r, int code, const char *why)
{
	struct msg_reload m = { .generation = r->next->generation, .result = code };

	publish_tell(n, TO_VIEWS, MSG_ABORT, &m, NULL);
	finish(r, n, code, why);
}

static int grants_in_kernel(struct netd *n, struct reload *r)
{
	int e = ranges_rebase(n->rules, r->next, &r->lost);

	if (e < 0)
		return e;
	names_set_config(n->names, r->config);
	e = names_rebase(n->names, r->next, flows_add, &r->lost);
	names_set_config(n->names, n->config);
	return e;
}

/* Limits and ranges can be put back when the grants of names are refused, one transaction. */
static int in_kernel(struct netd *n, struct reload *r)
{
	int e = sandbox_limits_replace(n, n->profiles, r->next);

	if (e < 0)
		return e;
	e = grants_in_kernel(n, r);
	if (e < 0) {
		sandbox_limits_replace(n, r->next, n->profiles);
		if (ranges_rebase(n->rules, n->profiles, NULL) < 0)
			log_line(LOG_ERR, "event=ranges_not_restored");
	}
	return e;
}

static void prepared(struct netd *n, struct publish *publish)
{
	struct reload *r = container_of(publish, struct reload, publish);
	int e;

	if (publish->late || publish->result) {
		abandon(n, r, publish->late ? -ETIMEDOUT : -EPROTO,
			publish->late
				? "a part did not answer in time; the old policy stays in force"
				: "a part refuses the new policy; the old one stays in force");
		return;
	}
	e = in_kernel(n, r);
	if (e < 0)
		abandon(n, r, e,
			"the kernel refuses the new grants; the old policy stays in force");
	else
		commit(n, r);
}

static void prepare(struct netd *n, struct reload *r)
{
	struct msg_reload m = { .generation = r->next->generation,
				.count = (uint32_t)r->next->count };

	parts_complete(n->parts);
	publish_begin(n, &r->publish, prepared);
	r->publish.drop = reload_drop;
	publish_send(&r->publish, TO_VIEWS, MSG_PREPARE, &m, NULL);
	for (uint16_t id = 1; id <= MARK_PROFILE_MAX; id++) {
		struct policy *policy = profiles_policy(r->next, id);
		struct msg_profile p;

		if (!policy)
			continue;
		profile_message(r->next, id, &p);
		publish_tell(n, TO_VIEWS, MSG_PROFILE, &p, policy);
	}
	publish_end(&r->publish);
}

/* ---- first: compile and look ---- */

static bool same_list(char *const *a, size_t na, char *const *b, size_t nb)
{
	if (na != nb)
		return false;
	for (size_t i = 0; i < na; i++)
		if (strcmp(a[i], b[i]))
			return false;
	return true;
}

static bool prefix_eq(const struct prefix *a, const struct prefix *b)
{
	return a->bits == b->bits && addr_eq(&a->addr, &b->addr);
}

static bool same_networks(const struct host_config *a, const struct host_config *b)
{
	if (a->n_networks != b->n_networks)
		return false;
	for (size_t i = 0; i < a->n_networks; i++)
		if (!prefix_eq(&a->networks[i], &b->networks[i]))
			return false;
	return prefix_eq(&a->run4, &b->run4) && prefix_eq(&a->run6, &b->run6);
}

/* The key whose change needs a restart, or NULL. */
static const char *fixed_key(const struct host_config *a, const struct host_config *b)
{
	if (!prefix_eq(&a->pool.v4, &b->pool.v4) || !prefix_eq(&a->pool.v6, &b->pool.v6))
		return "addresses";
	if (!same_networks(a, b))
		return "sandbox_networks";
	if (!same_list(a->interfaces, a->n_interfaces, b->interfaces, b->n_interfaces))
		return "sandbox_interfaces";
	if (!same_list(a->uplinks, a->n_uplinks, b->uplinks, b->n_uplinks))
		return "uplink";
	if (strcmp(a->run_dir, b->run_dir) || strcmp(a->state_dir, b->state_dir) ||
	    strcmp(a->log_dir, b->log_dir))
		return "directories";
	return NULL;
}

static int in_use(const struct netd *n, const struct profiles *next, char *why, size_t cap)
{
	REGISTRY_EACH (n->registry, s) {
		if (profiles_policy(next, s->profile))
			continue;
		snprintf(why, cap,
			 "profile %s is gone but sandbox %s uses it; keep it, or `cordon rm %s`",
			 profiles_name(n->profiles, s->profile), s->name, s->name);
		return -EBUSY;
	}
	return 0;
}

static int compile(struct netd *n, struct reload *r, struct diag *d, char *why, size_t cap)
{
	const char *key;
	int e = host_config_load(n->config_file, d, &r->config);

	if (e >= 0)
		e = profiles_load(r->config, d, &r->next);
	if (e < 0) {
		diag_summary(d, why, cap);
		if (!*why)
			snprintf(why, cap, "%s cannot be read: %s", n->config_file, strerror(-e));
		return e;
	}
	key = fixed_key(n->config, r->config);
	if (key) {
		snprintf(why, cap, "%s: a change of %s needs `cordon down` and `cordon up`",
			 n->config_file, key);
		return -EBUSY;
	}
	if (n->pinned_sha256 && strcmp(n->pinned_sha256, r->next->sha256)) {
		snprintf(why, cap, "the policy is %s, not the one this daemon was started for (%s)",
			 r->next->sha256, n->pinned_sha256);
		return -EPERM;
	}
	r->credentials = !host_credentials_same(n->config, r->config);
	e = profiles_inherit(r->next, n->profiles);
	if (e >= 0)
		e = profiles_assign(r->next);
	if (e < 0)
		snprintf(why, cap, "no ids are left for new profiles; restart cordon-netd");
	return e < 0 ? e : in_use(n, r->next, why, cap);
}

static char *printed(const struct diag *d)
{
	char *text = NULL;
	size_t n;
	FILE *f = open_memstream(&text, &n);

	if (!f)
		return NULL;
	diag_print(d, f);
	fclose(f);
	return text;
}

void reload_start(struct netd *n, uint64_t who, reload_fn *fn)
{
	struct reload *r = calloc(1, sizeof(*r));
	AUTO(diag) struct diag *d = NULL;
	char why[WHY_MAX] = "";
	int e = r ? diag_new(&d) : -ENOMEM;

	if (e < 0 || n->reloading) {
		fn(n, who, e < 0 ? e : -EAGAIN,
		   e < 0 ? "out of memory" : "a reload is running; try again", "");
		reload_free(r);
		return;
	}
	r->who = who;
	r->fn = fn;
	e = compile(n, r, d, why, sizeof(why));
	r->diagnostics = printed(d);
	n->reloading = true;
	if (e < 0)
		finish(r, n, e, why);
	else
		prepare(n, r);
}
