/*
 * main.c - cordon-netd: owns the elements of the ruleset, the registry, the names and the policy
 *
 * Theory of operation: starts as root, reads configuration and policy (what does not compile ends
 * it with status 2 before anything is touched), opens what needs root (audit file, sockets,
 * netlink), forks the spawner of the inspector, keeps CAP_NET_ADMIN alone and confines itself
 * (confine.c), reads back from the kernel what an earlier netd left there, brings it into line
 * with the policy, and only then hears anyone. It says that it is ready when the inspector is (or
 * when that takes too long: the rest is worth having, and what wants inspection is dropped
 * meanwhile). Ending changes nothing in the kernel: the ruleset is closed without us, and decided
 * flows go on.
 */
#include <errno.h>
#include <getopt.h>
#include <linux/capability.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/proc.h"
#include "netd/backstops.h"
#include "netd/confine.h"
#include "netd/control.h"
#include "netd/flows.h"
#include "netd/guard.h"
#include "netd/host_addresses.h"
#include "netd/inspector.h"
#include "netd/liveness.h"
#include "netd/names.h"
#include "netd/netd.h"
#include "netd/nflog.h"
#include "netd/parts.h"
#include "netd/pin.h"
#include "netd/profiles.h"
#include "netd/ranges.h"
#include "netd/recent.h"
#include "netd/registry.h"
#include "netd/sandbox_links.h"
#include "netd/sandboxes.h"
#include "netd/scopes.h"
#include "netd/spawner.h"
#include "nft/firewall.h"
#include "nft/offload.h"

enum {
	TICK_MS = 1000,
	READY_POLL_MS = 10,
	READY_PATIENCE_MS = 3000,
	FILES_MAX = 16384, /* one a run and part, and one for each profile text on its way */
	PATH_SIZE = 4096
};

struct options {
	const char *config;
	const char *policy_sha256;
	int ready_fd;
};

struct daemon {
	struct netd n;
	struct options o;
	struct timer ready;
	uint64_t ready_by;
	int control_fd, parts_fd, watch_fd; /* between opening and use; -1 */
};

static int usage(FILE *to)
{
	fprintf(to, "usage: cordon-netd --config FILE [--ready-fd N] [--policy-sha256 HASH]\n"
		    "Started by `cordon up` or a service manager; see cordon(8).\n");
	return to == stdout ? 0 : 2;
}

/* -1: go on; else the exit status. */
static int options_read(int argc, char **argv, struct options *o)
{
	static const struct option table[] = {
		{ "config", required_argument, NULL, 'c' },
		{ "ready-fd", required_argument, NULL, 'r' },
		{ "policy-sha256", required_argument, NULL, 'p' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	int c;

	*o = (struct options){ .config = "/etc/cordon/cordon.yaml", .ready_fd = -1 };
	while ((c = getopt_long(argc, argv, "", table, NULL)) != -1) {
		if (c == 'c')
			o->config = optarg;
		else if (c == 'r')
			o->ready_fd = atoi(optarg);
		else if (c == 'p')
			o->policy_sha256 = optarg;
		else
			return usage(c == 'h' ? stdout : stderr);
	}
	return optind == argc ? -1 : usage(stderr);
}

/* ---- policy ---- */

/* 0, or the exit status; everything that is wrong is on stderr. */
static int policy_read(struct netd *n)
{
	AUTO(diag) struct diag *d = NULL;
	int r = diag_new(&d);

	if (r >= 0)
		r = host_config_load(n->config_file, d, &n->config);
	if (r >= 0)
		r = profiles_load(n->config, d, &n->profiles);
	diag_print(d, stderr);
	if (r < 0) {
		if (!diag_errors(d))
			fprintf(stderr, "cordon-netd: %s: %s\n", n->config_file, strerror(-r));
		return 2;
	}
	n->profiles->generation = 1;
	if (!n->pinned_sha256 || !strcmp(n->pinned_sha256, n->profiles->sha256))
		return 0;
	fprintf(stderr,
		"cordon-netd: the policy is %s, not %s as --policy-sha256 demands; see `cordon "
		"check`\n",
		n->profiles->sha256, n->pinned_sha256);
	return 2;
}

/* ---- as root ---- */

static int say(const char *what, int r)
{
	if (r < 0)
		fprintf(stderr, "cordon-netd: %s: %s\n", what, strerror(-r));
	return r;
}

/* What is in the way is not removed: whoever put it there is to be found. */
static int say_path(const char *path, int r, const char *what)
{
	if (r == -EPERM || r == -EEXIST || r == -ENOTDIR || r == -ELOOP)
		fprintf(stderr, "cordon-netd: %s: %s: %s\n", path, strerror(-r), what);
	else
		say(path, r);
	return r;
}

static int listen_at(const struct host_config *c, const char *name, mode_t mode, gid_t gid)
{
	char path[PATH_SIZE];

	if (snprintf(path, sizeof(path), "%s/%s", c->run_dir, name) >= (int)sizeof(path))
		return -ENAMETOOLONG;
	return say_path(path, ipc_listen(path, mode, gid),
			"something that is no socket lies there; remove it");
}

static int directory(const char *path, mode_t mode, gid_t gid)
{
	return say_path(path, proc_mkdir(path, mode, 0, gid),
			"it must be a directory of root's, no symlink, that nobody else can write "
			"into or replace; remove it, and it is made");
}

static int directories(const struct host_config *c)
{
	char parts[PATH_SIZE];
	int r = directory(c->run_dir, 0711, 0);

	if (snprintf(parts, sizeof(parts), "%s/parts", c->run_dir) >= (int)sizeof(parts))
		return -ENAMETOOLONG;
	if (r >= 0)
		r = directory(parts, 0750, proc_group());
	if (r >= 0)
		r = directory(c->log_dir, 0750, proc_group());
	return r;
}

/* Always loaded: an upgrade may bring other rules, and who knows what was changed meanwhile.
 * Elements stay. */
static int open_ruleset(struct netd *n)
{
	char said[256] = "";
	int r = say("nftables", ruleset_open(&n->rules));

	if (r < 0)
		return r;
	r = firewall_load(n->config, said, sizeof(said));
	if (r < 0)
		fprintf(stderr,
			"cordon-netd: the ruleset cannot be loaded: %s; try `cordon firewall "
			"start`\n",
			*said ? said : strerror(-r));
	else if (offload_missing())
		log_line(LOG_WARN, "event=offload_unchecked why=\"%s\"", offload_missing());
	return r;
}

/* First, while there is nothing yet that it could keep open. */
static int open_spawner(struct netd *n)
{
	int program = say("cordon-inspect", inspector_program());

	if (program < 0)
		return program;
	n->spawner = spawner_start(n->config, program);
	return say("the spawner", n->spawner);
}

static int open_all(struct daemon *d)
{
	struct netd *n = &d->n;
	int r = directories(n->config);

	if (r >= 0)
		r = open_spawner(n);
	if (r < 0)
		return r;
	proc_raise_files(FILES_MAX);
	r = say(n->config->log_dir, audit_open(n->config->log_dir, "netd", proc_role_uid(ROLE_NETD),
					       proc_group(), &n->audit));
	if (r >= 0)
		r = open_ruleset(n);
	if (r < 0)
		return r;
	d->control_fd = listen_at(n->config, "control.sock", 0600, (gid_t)-1);
	d->parts_fd = listen_at(n->config, "parts/netd.sock", 0660, proc_group());
	d->watch_fd = say("nftables events", ruleset_watch_open());
	return d->control_fd < 0 ? d->control_fd
	       : d->parts_fd < 0 ? d->parts_fd
	       : d->watch_fd < 0 ? d->watch_fd
				 : 0;
}

/* ---- with CAP_NET_ADMIN only ---- */

static void audit_daemon(struct netd *n, const char *what)
{
	struct audit_head h = { .event = "daemon", .decision = "", .policy = n->profiles->sha256 };
	struct audit_line l;

	audit_begin(&l, &h);
	audit_str(&l, "what", what);
	audit_u64(&l, "pid", (uint64_t)getpid());
	audit_u64(&l, "sandboxes", registry_count(n->registry));
	audit_u64(&l, "names", names_count(n->names));
	audit_put(n->audit, &l);
}

static void on_tick(struct loop *l, struct timer *t)
{
	struct netd *n = container_of(t, struct netd, tick);

	audit_tick(n->audit, false);
	loop_arm(l, t, TICK_MS);
}

static void on_ready(struct loop *l, struct timer *t)
{
	struct daemon *d = container_of(t, struct daemon, ready);

	if (!d->ready_by) /* the loop's time before it runs is that of its making */
		d->ready_by = loop_now(l) + READY_PATIENCE_MS;
	if (!inspector_serving(d->n.inspector) && loop_now(l) < d->ready_by) {
		loop_arm(l, t, READY_POLL_MS);
		return;
	}
	log_line(LOG_NOTE, "event=ready sandboxes=%zu names=%zu inspector=%d",
		 registry_count(d->n.registry), names_count(d->n.names),
		 inspector_serving(d->n.inspector));
	proc_ready(d->o.ready_fd);
}

/* What the policy no longer gives ends with its flows, as in a reload. */
static int take_back(struct netd *n)
{
	struct flow_list lost = { 0 };
	int r = say("bringing grants into line",
		    names_rebase(n->names, n->profiles, flows_add, &lost));

	if (r >= 0)
		r = say("bringing ranges into line", ranges_rebase(n->rules, n->profiles, &lost));
	if (r >= 0)
		flows_close(&lost);
	free(lost.key);
	return r;
}

/* The kernel's state of before, and what the policy still gives of it. */
static int read_back(struct netd *n)
{
	int r = say("reading sandboxes back", sandboxes_read_back(n));

	if (r >= 0)
		r = say("reading names back", names_read_back(n->names, n->profiles));
	return r < 0 ? r : take_back(n);
}

static int serve_all(struct daemon *d)
{
	struct netd *n = &d->n;
	int r = recent_new(n, &n->recent);

	if (r >= 0)
		r = scopes_new(n, &n->scopes);
	if (r >= 0)
		r = say("log group", nflog_new(n, &n->nflog));

	if (r >= 0)
		r = read_back(n);
	if (r >= 0)
		r = parts_new(n, STEAL_FD(d->parts_fd), &n->parts);
	if (r >= 0)
		r = inspector_new(n, &n->inspector);
	if (r >= 0)
		r = guard_new(n, STEAL_FD(d->watch_fd), &n->guard);
	if (r >= 0)
		r = control_new(n, STEAL_FD(d->control_fd), &n->control);
	if (r >= 0)
		r = liveness_start(n);
	if (r < 0)
		return say("starting", r);
	backstops_check_all(n);
	sandbox_links_check_all(n);
	sandboxes_of_config(n);
	n->tick.fn = on_tick;
	d->ready.fn = on_ready;
	r = loop_arm(n->loop, &n->tick, TICK_MS);
	if (r >= 0)
		r = loop_arm(n->loop, &d->ready, 0);
	audit_daemon(n, "start");
	return r;
}

static int prepare(struct netd *n)
{
	int r = loop_new(&n->loop);

	if (r >= 0)
		r = loop_signals(n->loop, NULL);
	if (r >= 0)
		r = registry_new(&n->registry);
	if (r >= 0)
		r = links_new(n, &n->links);
	if (r >= 0)
		r = backstops_new(n, &n->backstops);
	if (r >= 0)
		r = host_addresses_new(&n->addresses);
	if (r >= 0)
		r = names_new(n->config, n->rules, &n->names);
	if (r >= 0)
		names_set_own(n->names, host_addresses_has, n->addresses);
	if (r >= 0)
		r = pins_new(n, &n->pins);
	if (r >= 0)
		r = liveness_new(n, &n->liveness);
	return say("starting", r);
}

static int run(struct daemon *d)
{
	struct netd *n = &d->n;
	int r = open_all(d);

	if (r >= 0)
		r = prepare(n);
	if (r >= 0)
		r = say("dropping rights", proc_drop(ROLE_NETD, CAP_BIT(CAP_NET_ADMIN)));
	if (r >= 0)
		r = say("confinement", netd_confine(n->config));
	if (r >= 0)
		r = serve_all(d);
	if (r >= 0)
		r = loop_run(n->loop);
	if (r >= 0)
		audit_daemon(n, n->failed ? "failed" : "stop");
	return n->failed ? -EIO : r;
}

static void done(struct daemon *d)
{
	struct netd *n = &d->n;

	control_free(n->control);
	guard_free(n->guard);
	inspector_free(n->inspector);
	parts_free(n->parts);
	spawner_end(n->spawner); /* the inspector's pair is closed: both end */
	nflog_free(n->nflog);
	recent_free(n->recent);
	scopes_free(n->scopes);
	liveness_free(n->liveness);
	pins_free(n->pins);
	names_free(n->names);
	links_free(n->links);
	backstops_free(n->backstops);
	host_addresses_free(n->addresses);
	registry_free(n->registry);
	audit_close(n->audit);
	ruleset_close(n->rules);
	loop_free(n->loop);
	profiles_free(n->profiles);
	host_config_free(n->config);
	if (d->control_fd >= 0)
		close(d->control_fd);
	if (d->parts_fd >= 0)
		close(d->parts_fd);
	if (d->watch_fd >= 0)
		close(d->watch_fd);
}

int main(int argc, char **argv)
{
	static struct daemon d = {
		.n.spawner = -1, .control_fd = -1, .parts_fd = -1, .watch_fd = -1
	};
	int status = options_read(argc, argv, &d.o);

	if (status >= 0)
		return status;
	log_init("netd");
	signal(SIGHUP, SIG_IGN); /* nothing to open again: see reload.h and rotate.h */
	signal(SIGPIPE, SIG_IGN); /* whoever waited for us to be ready may have gone */
	d.n.config_file = d.o.config;
	d.n.pinned_sha256 = d.o.policy_sha256;
	d.n.started_ms = loop_wall_ms();
	status = policy_read(&d.n);
	if (!status && geteuid() != 0) {
		fprintf(stderr,
			"cordon-netd: must be started as root; it keeps CAP_NET_ADMIN only\n");
		status = 1;
	}
	if (!status)
		status = run(&d) < 0;
	done(&d);
	return status;
}
