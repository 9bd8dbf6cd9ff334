/*
 * main.c - cordon-keeper: holds the CA's key, makes every upstream connection
 *
 * Theory of operation: started as root by cordon-gitproxy with the pair to the front as descriptor
 * KEEPER_FD, and that to cordon-mirror as MIRROR_PAIR_FD. Opens what needs rights (CA, audit file,
 * trusted certificates, the host's resolver configuration), becomes cordon-keeper without
 * capabilities under a seccomp allow list, connects to netd, and serves. It lives as long as the
 * pair: when the front dies, the kernel closes the other end and the keeper exits (a parent-death
 * signal would not do: the kernel checks permission to send it, and front and keeper are different
 * users).
 * Invariants: no descriptor of the CA's files stays open; the private key is in locked memory. The
 * CA's folder stays readable, for the CA that comes next.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <openssl/crypto.h>

#include "base/log.h"
#include "base/proc.h"
#include "gitproxy/keeper/ca_renew.h"
#include "gitproxy/keeper/confine.h"
#include "gitproxy/keeper/serve.h"
#include "gitproxy/keeper/ssh_spawner.h"
#include "gitproxy/keeper/wipe.h"
#include "gitproxy/mirror_ipc.h"
#include "policy/view_audit.h"

enum { SECURE_HEAP = 4 << 20, SECURE_MIN = 32, TICK_MS = 1000, VIEW_WAIT_MS = 3000 };

struct keeper {
	struct host_config *config;
	struct ca *ca;
	struct upstream *upstream;
	struct audit *audit;
	struct view *view;
	struct credential_store *credentials;
	struct serve *serve;
	int ssh;			/* pair of the process that starts ssh; -1: no credential needs one */
};

static const char *ca_error(int r)
{
	return r == -EINVAL ? "ca.pem and ca.key are damaged, expired or of two CAs" :
	       r == -EPERM  ? "others can read ca.key" :
			      strerror(-r);
}

static int open_ca(struct keeper *k)
{
	const struct host_config *c = k->config;
	struct ca_place p;
	int r = ca_place_of(c, &p);

	if (!r)
		r = proc_mkdir(c->state_dir, 0711, 0, 0);
	if (!r)
		r = proc_mkdir(p.dir, 0700, p.uid, p.gid);
	if (!r)
		r = ca_open(&p, (const char *const *)c->ca_names, c->n_ca_names, &k->ca);
	if (r < 0)
		log_line(LOG_ERR, "event=ca_failed error=\"%s\"", ca_error(r));
	else if (ca_uncovered(k->ca))
		log_line(LOG_WARN, "event=ca_older_than_configuration uncovered=%zu "
			 "fix=\"cordon ca renew\"", ca_uncovered(k->ca));
	return r;
}

/* Everything that needs root. */
static int open_all(struct keeper *k)
{
	const struct host_config *c = k->config;
	int r = open_ca(k);

	if (!r)
		r = upstream_new(c, k->ssh, &k->upstream);
	if (!r)
		r = audit_open(c->log_dir, "keeper", proc_role_uid(ROLE_KEEPER), proc_group(),
			       &k->audit);
	if (!r)
		r = credential_store_new(c, upstream_ways(k->upstream), k->audit, &k->credentials);
	return r;
}

/*
 * A step of `cordon ca renew`; a CA that cannot be used changes nothing, and netd is told. What was
 * published last names the current one: an activation that was not finished may have been given up.
 */
static int on_ca(struct keeper *k, const struct ipc_in *in)
{
	const struct msg_ca *m = msg_body(in, MSG_CA);
	struct msg_done done = { 0 };

	if (!m)
		return -EPROTO;
	done.result = ca_use(k->ca, m->step == CA_ACTIVATE ? CA_NEXT : CA_CURRENT);
	if (done.result < 0)
		log_line(LOG_ERR, "event=ca_not_activated error=\"%s\"", ca_error(done.result));
	else
		ca_audit(k->ca, k->audit, m->step == CA_ACTIVATE ? "activated" : "published");
	return view_send(k->view, MSG_CA_DONE, in->head.sequence, &done);
}

static int on_extra(void *owner, const struct ipc_in *in)
{
	struct keeper *k = owner;

	if (in->head.type == MSG_CA)
		return on_ca(k, in);
	return in->head.type == MSG_AUDIT ? view_audit(k->view, in, k->audit) : -EPROTO;
}

static int serve_open(struct keeper *k)
{
	int r = view_new(k->config, ROLE_KEEPER, on_extra, k, &k->view);

	if (!r)
		r = serve_new(k->config, k->ca, k->upstream, k->credentials, k->view, k->audit, &k->serve);
	if (!r)
		r = view_start_thread(k->view);
	return r;
}

static void follow_ca(struct keeper *k)
{
	int r = ca_follow(k->ca);

	if (r > 0)
		ca_audit(k->ca, k->audit, "activated");
	else if (r < 0)
		log_line(LOG_ERR, "event=ca_not_activated error=\"%s\"", ca_error(r));
}

static int keeper_loop(struct keeper *k)
{
	for (;;) {
		struct pollfd p[] = { { .fd = KEEPER_FD, .events = POLLIN },
				      { .fd = MIRROR_PAIR_FD, .events = POLLIN },
				      { .fd = k->ssh, .events = POLLIN } };
		int r = poll(p, ARRAY_SIZE(p), TICK_MS);

		if (r < 0 && errno != EINTR)
			return -errno;
		if (r > 0 && p[2].revents)
			return -EPIPE;		/* it says nothing: it has died */
		upstream_tick(k->upstream);
		follow_ca(k);
		audit_tick(k->audit, false);
		if (r > 0 && p[0].revents && (r = serve_request(k->serve, KEEPER_FD)) < 0)
			return r;
		if (r >= 0 && p[1].revents && (r = serve_ask(k->serve, MIRROR_PAIR_FD)) < 0)
			return r == -ECONNRESET ? -EPIPE : r;
	}
}

static void audit_daemon(const struct keeper *k, const char *what)
{
	struct audit_head h = { .event = "daemon" };
	struct audit_line l;

	audit_begin(&l, &h);
	audit_str(&l, "what", what);
	audit_put(k->audit, &l);
}

static int keeper_run(struct keeper *k)
{
	struct msg_done done = { 0 };
	int r;

	k->ssh = ssh_spawner_start(k->config);	/* first: it inherits what we have in memory */
	r = k->ssh < 0 && k->ssh != -ENOENT ? k->ssh : open_all(k);

	if (!r)
		r = proc_drop(ROLE_KEEPER, 0);
	if (!r)
		r = keeper_confine(k->config);
	if (!r)
		r = serve_open(k);
	if (r < 0)
		return r;
	if (view_wait_ready(k->view, VIEW_WAIT_MS) < 0)
		log_line(LOG_WARN, "event=waiting_for_netd");
	audit_daemon(k, "start");
	ca_audit(k->ca, k->audit, "in_use");
	credential_store_load(k->credentials);
	r = ipc_send(KEEPER_FD, MSG_DONE, 0, &done, sizeof(done), NULL, 0);
	if (!r)
		r = keeper_loop(k);
	audit_daemon(k, r == -ECONNRESET ? "stop" : "failed");
	audit_tick(k->audit, true);
	return r;
}

/* The other program that this is: a step of `cordon ca renew`. */
static int renew(const char *config, const char *step)
{
	AUTO(host_config) struct host_config *c = NULL;

	return host_config_open(config, &c) < 0 ? 2 : ca_renew(c, step);
}

int main(int argc, char **argv)
{
	struct keeper k = { .ssh = -1 };
	int r;

	log_init("keeper");
	if (argc == 5 && !strcmp(argv[1], "--config") && !strcmp(argv[3], "--ca"))
		return renew(argv[2], argv[4]);
	if (argc != 3 || strcmp(argv[1], "--config")) {
		fprintf(stderr,
			"usage: cordon-keeper --config FILE (started by cordon-gitproxy)\n"
			"       cordon-keeper --config FILE --ca next|activate|discard (by cordon ca)\n");
		return 2;
	}
	signal(SIGHUP, SIG_IGN);		/* the audit changes files at netd's word */
	signal(SIGPIPE, SIG_IGN);
	signal(SIGINT, SIG_IGN);		/* ends with the front, after its last lines */
	signal(SIGTERM, SIG_IGN);
	proc_raise_files(UINT64_MAX);
	wipe_lock_memory();
	if (CRYPTO_secure_malloc_init(SECURE_HEAP, SECURE_MIN) != 1)
		log_line(LOG_WARN, "event=secrets_not_locked fix=\"LimitMEMLOCK=8M or more\"");
	if (host_config_open(argv[2], &k.config) < 0)
		return 2;
	r = keeper_run(&k);
	if (r == -ECONNRESET)			/* the front is gone: the ordinary end */
		_exit(0);
	log_line(LOG_ERR, "event=keeper_failed error=%s", strerror(-r));
	_exit(1);				/* other threads may still be at work */
}
