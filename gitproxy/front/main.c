/*
 * main.c - cordon-gitproxy: the parent, which becomes the front
 *
 * Theory of operation: starts as root. Opens the listeners (transparent: on addresses of the
 * synthetic pool that no interface has, where only the steering delivers) and the audit file,
 * starts cordon-keeper with one end of a socket pair and cordon-mirror with one end of another, whose
 * other end is the keeper's, becomes cordon-gitproxy without any capability, and serves. Until rights
 * are dropped it reads nothing from a network. The three processes die together: each watches its end
 * of a pair, which the kernel closes however the other one ends. The supervisor outside restarts the unit.
 */
#include <errno.h>
#include <getopt.h>
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/time.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <netinet/in.h>
#include <netinet/tcp.h>

#include "base/ipc.h"
#include "base/log.h"
#include "base/proc.h"
#include "gitproxy/front/front.h"
#include "gitproxy/mirror_ipc.h"
#include "policy/mark.h"

enum { BACKLOG = 512, PATH_BYTES = 4096, ASK_SECONDS = 10 };

struct options {
	const char *config;
	int ready_fd;
};

static const char usage[] = "usage: cordon-gitproxy --config FILE [--ready-fd N]\n";

static bool number(const char *text, int *ret)
{
	char *end;
	long v = strtol(text, &end, 10);

	*ret = (int)v;
	return *text && !*end && v >= 0 && v < 1 << 20;
}

static bool options_parse(int argc, char **argv, struct options *ret)
{
	static const struct option known[] = {
		{ "config", required_argument, NULL, 'c' },
		{ "ready-fd", required_argument, NULL, 'r' },
		{ 0 },
	};
	int c;

	*ret = (struct options){ .ready_fd = -1 };
	while ((c = getopt_long(argc, argv, "", known, NULL)) != -1) {
		if (c == 'c')
			ret->config = optarg;
		else if (c != 'r' || !number(optarg, &ret->ready_fd))
			return false;
	}
	return ret->config && optind == argc;
}

/* Connecting to netd again must not need openat(2), which ipc_connect() uses for long paths. */
static int check_paths(const struct host_config *c)
{
	struct sockaddr_un sun;

	if (strlen(c->run_dir) + strlen("/parts/netd.sock") < sizeof(sun.sun_path))
		return 0;
	log_line(LOG_ERR,
		 "event=path_too_long directory=%s fix=\"choose a shorter directories.run\"",
		 c->run_dir);
	return -ENAMETOOLONG;
}

static int listen_on(const struct addr *a, int *ret_fd)
{
	int level = a->family == 6 ? IPPROTO_IPV6 : IPPROTO_IP;
	int name = a->family == 6 ? IPV6_TRANSPARENT : IP_TRANSPARENT, on = 1;
	int mark = (int)MARK_SERVICE;
	struct sockaddr_storage ss;
	socklen_t n = addr_to_sockaddr(a, PORT_PROXY, &ss);
	AUTO(fd) int fd = socket(ss.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0 || setsockopt(fd, level, name, &on, sizeof(on)) < 0 ||
	    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0 ||
	    setsockopt(fd, SOL_SOCKET, SO_MARK, &mark, sizeof(mark)) < 0)
		return -errno;
	/* Connections inherit it. An answer's small last segment would wait for the client's ACK. */
	if (setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) < 0)
		return -errno;
	if (a->family == 6 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on)) < 0)
		return -errno;
	if (bind(fd, (struct sockaddr *)&ss, n) < 0 || listen(fd, BACKLOG) < 0)
		return -errno;
	*ret_fd = STEAL_FD(fd);
	return 0;
}

static int open_listeners(const struct host_config *c, struct front_spec *spec)
{
	struct addr a[FRONT_LISTENERS] = { pool_addr4(&c->pool, POOL_PROXY),
					   pool_addr6(&c->pool, POOL_PROXY) };
	char text[ADDR_TEXT_MAX];
	int r;

	for (int i = 0; i < FRONT_LISTENERS; i++) {
		r = listen_on(&a[i], &spec->listener[i]);
		if (!r)
			continue;
		addr_format(&a[i], text);
		log_line(LOG_ERR, "event=listen_failed address=%s port=%d error=%s", text,
			 PORT_PROXY, strerror(-r));
		return r;
	}
	return 0;
}

/* A program of ours as root, which drops by itself; it dies with us. */
static int start(const char *name, const char *config, const struct proc_fd *fds, size_t n)
{
	char path[PATH_BYTES];
	const char *argv[] = { name, "--config", config, NULL };
	AUTO(fd) int pidfd = -1;
	int r = proc_program(name, path, sizeof(path));
	pid_t pid;

	return r < 0 ? r : proc_spawn(&(struct proc_spec){ .path = path, .argv = argv, .fds = fds, .nfds = n,
							   .die_with_parent = true }, &pid, &pidfd);
}

static int start_mirror(const char *config, int *ret_pair)
{
	AUTO(fd) int keepers = -1;
	AUTO(fd) int theirs = -1;
	int r = ipc_pair(&keepers, &theirs);

	if (r < 0)
		return r;
	r = start("cordon-mirror", config, &(struct proc_fd){ theirs, MIRROR_KEEPER_FD }, 1);
	if (!r)
		*ret_pair = STEAL_FD(keepers);
	return r;
}

/* Our end of the pair in spec->keeper; the keeper and the mirror have a pair of their own. */
static int start_keeper(const char *config, struct front_spec *spec)
{
	AUTO(fd) int ours = -1;
	AUTO(fd) int theirs = -1;
	AUTO(fd) int mirror = -1;
	struct timeval limit = { .tv_sec = ASK_SECONDS };
	int r = ipc_pair(&ours, &theirs);

	if (r < 0)
		return r;
	r = start_mirror(config, &mirror);
	if (!r)
		r = start("cordon-keeper", config,
			  (struct proc_fd[]){ { theirs, KEEPER_FD }, { mirror, MIRROR_PAIR_FD } }, 2);
	if (r < 0)
		return r;
	/* Threads of the front ask here; a keeper that was stopped must not hold them for ever. */
	if (setsockopt(ours, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit)) < 0)
		return -errno;
	spec->keeper = STEAL_FD(ours);
	return 0;
}

static int run(const struct options *o, const struct host_config *c)
{
	struct front_spec spec = { .config = c, .listener = { -1, -1 }, .keeper = -1,
				   .ready_fd = o->ready_fd };
	int r = check_paths(c);

	if (!r)
		r = open_listeners(c, &spec);
	if (!r)
		r = audit_open(c->log_dir, "gitproxy", proc_role_uid(ROLE_GITPROXY), proc_group(),
			       &spec.audit);
	if (!r)
		r = start_keeper(o->config, &spec);
	json_object_seed(0);			/* reads a file: later it could not */
	if (!r)
		r = proc_drop(ROLE_GITPROXY, 0);
	return r < 0 ? r : front_run(&spec);
}

int main(int argc, char **argv)
{
	AUTO(host_config) struct host_config *c = NULL;
	struct options o;
	int r;

	log_init("gitproxy");
	if (!options_parse(argc, argv, &o)) {
		fputs(usage, stderr);
		return 2;
	}
	signal(SIGHUP, SIG_IGN);		/* the audit changes files at netd's word */
	signal(SIGPIPE, SIG_IGN);
	proc_raise_files(UINT64_MAX);
	if (host_config_open(o.config, &c) < 0)
		return 2;
	r = run(&o, c);
	if (r < 0)
		log_line(LOG_ERR, "event=gitproxy_failed error=%s", strerror(-r));
	_exit(r < 0);				/* threads of connections may still be at work */
}
