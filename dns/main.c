/*
 * main.c - cordon-dns: the resolver that sandboxes get, whichever they ask
 *
 * Theory of operation: started as root, it reads the host configuration, opens its audit file, the
 * sockets of the service address (IP_TRANSPARENT) and c-ares' channels; then it becomes its role
 * without any capability, opens no file and makes no TCP connection but to resolvers (Landlock),
 * and allows itself only the system calls below. From then on everything hangs on one loop:
 * questions, upstream answers, and the connection to netd, which is made anew for ever. Until the
 * first snapshot is complete, and whenever netd is away, questions wait a moment and then get
 * SERVFAIL.
 *
 * It never writes to the kernel's tables, and answers no address that netd has not acknowledged.
 */
#include <arpa/nameser.h>
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include "base/audit.h"
#include "base/landlock.h"
#include "base/log.h"
#include "base/loop.h"
#include "base/proc.h"
#include "dns/listen.h"
#include "dns/refresh.h"
#include "dns/report.h"
#include "dns/resolver.h"
#include "dns/service.h"
#include "dns/tcp.h"
#include "dns/udp.h"
#include "dns/upstream.h"
#include "policy/host_config.h"
#include "policy/view.h"
#include "policy/view_audit.h"

enum { RECONNECT_MIN_MS = 10, RECONNECT_MAX_MS = 500, AUDIT_TICK_MS = 1000, FILES_MAX = 4096 };

struct daemon {
	struct host_config *config;
	struct loop *loop;
	struct audit *audit;
	struct upstream *upstream;
	struct resolver *resolver;
	struct refresh *refresh;
	struct view *view;
	struct service *service;
	struct udp *udp[2];
	struct tcp *tcp;
	struct watch netd;
	struct timer reconnect, tick;
	int ready_fd; /* until the first snapshot: then who started us is told; -1 */
	bool away;			/* told once that netd is away */
	uint32_t retry_ms;
};

static const struct proc_syscall syscalls[] = {
	{ SYS_epoll_wait, "the loop" },
	{ SYS_epoll_pwait, "the loop, as libc may call it" },
	{ SYS_epoll_ctl, "the loop's descriptors" },
	{ SYS_recvmmsg, "questions over UDP" },
	{ SYS_sendmmsg, "answers over UDP" },
	{ SYS_sendmsg, "late answers over UDP; messages to netd" },
	{ SYS_recvmsg, "messages from netd" },
	{ SYS_accept4, "connections over TCP" },
	{ SYS_recvfrom, "questions over TCP; answers from upstream" },
	{ SYS_sendto, "answers over TCP; queries to upstream" },
	{ SYS_writev, "queries to upstream over TCP" },
	{ SYS_getpeername, "who asks over TCP" },
	{ SYS_getsockname, "whom they asked; upstream sockets" },
	{ SYS_socket, "to upstream; to netd again" },
	{ SYS_connect, "to upstream; to netd again" },
	{ SYS_setsockopt, "upstream sockets; netd's time-out" },
	{ SYS_getsockopt, "upstream sockets" },
	{ SYS_fcntl, "upstream sockets' non-blocking mode; seals of memfds" },
	{ SYS_ioctl, "the same, as c-ares may do it" },
	{ SYS_close, "sockets, memfds" },
	{ SYS_read, "signals; memfds with profiles" },
	{ SYS_pread64, "memfds with profiles" },
	{ SYS_lseek, "memfds with profiles" },
	{ SYS_fstat, "memfds with profiles; the audit file" },
	{ SYS_newfstatat, "fstat, as libc calls it" },
	{ SYS_write, "audit and log lines" },
	{ SYS_ftruncate, "a torn audit line" },
	{ SYS_getrandom, "query IDs" },
	{ SYS_clock_gettime, "time, where the vdso has none" },
	{ SYS_gettimeofday, "time, for c-ares" },
	{ SYS_brk, "memory" },
	{ SYS_mmap, "memory" },
	{ SYS_munmap, "memory" },
	{ SYS_mremap, "memory" },
	{ SYS_madvise, "memory" },
	{ SYS_mprotect, "memory" },
	{ SYS_sysinfo, "the C library: qsort asks how much memory there is" },
	{ SYS_futex, "locks of the view and the audit" },
	{ SYS_rt_sigreturn, "signals" },
	{ SYS_rt_sigprocmask, "signals, and abort()" },
	{ SYS_getpid, "abort()" },
	{ SYS_gettid, "abort()" },
	{ SYS_tgkill, "abort()" },
	{ SYS_restart_syscall, "after a stop" },
	{ SYS_exit_group, "the end" },
	{ -1, NULL },
};

/* ---- the connection to netd ---- */

static int on_extra(void *owner, const struct ipc_in *in)
{
	struct daemon *d = owner;

	if (in->head.type == MSG_PINNED)
		return resolver_pinned(d->resolver, in);
	if (in->head.type == MSG_NAME_GONE)
		return resolver_name_gone(d->resolver, in);
	if (in->head.type == MSG_AUDIT)
		return view_audit(d->view, in, d->audit);
	return in->head.type == MSG_IN_USE ? refresh_in_use(d->refresh, in) : -EPROTO;
}

static void netd_lost(struct daemon *d, int error)
{
	loop_del(d->loop, &d->netd);
	resolver_lost(d->resolver);
	if (!d->away)
		log_line(LOG_WARN, "event=netd_lost errno=%d", -error);
	d->away = true;
	loop_arm(d->loop, &d->reconnect, d->retry_ms);
	d->retry_ms = d->retry_ms * 2 < RECONNECT_MAX_MS ? d->retry_ms * 2 : RECONNECT_MAX_MS;
}

static void on_netd(struct loop *l, struct watch *w, uint32_t events)
{
	struct daemon *d = container_of(w, struct daemon, netd);
	bool was_ready = view_ready(d->view);
	int r = view_feed(d->view);

	(void)l;
	(void)events;
	if (r < 0)
		netd_lost(d, r);
	if (r < 0 || was_ready || !view_ready(d->view))
		return;
	log_line(LOG_NOTE, "event=netd_ready");
	proc_ready(d->ready_fd); /* not before: without a picture every answer is SERVFAIL */
	d->ready_fd = -1;
	d->retry_ms = RECONNECT_MIN_MS;
	service_view_ready(d->service);
}

static void on_reconnect(struct loop *l, struct timer *t)
{
	struct daemon *d = container_of(t, struct daemon, reconnect);
	int fd = view_connect(d->view), r = fd;

	if (fd >= 0) {
		d->netd = (struct watch){ .fd = fd, .events = EPOLLIN, .fn = on_netd };
		r = loop_add(l, &d->netd);
	}
	if (r < 0)
		netd_lost(d, r);
	else
		d->away = false;
}

static void on_tick(struct loop *l, struct timer *t)
{
	struct daemon *d = container_of(t, struct daemon, tick);

	audit_tick(d->audit, false);
	loop_arm(l, t, AUDIT_TICK_MS);
}

/* ---- start ---- */

static int open_family(struct daemon *d, const struct addr *a, enum client_kind kind,
		       struct udp **ret)
{
	int fd = listen_transparent(a, SOCK_DGRAM), r;

	if (fd < 0)
		return fd;
	r = udp_new(d->loop, d->service, kind, fd, ret);
	if (r < 0)
		return r;
	fd = listen_transparent(a, SOCK_STREAM);
	return fd < 0 ? fd : tcp_listen(d->tcp, fd);
}

static int open_sockets(struct daemon *d)
{
	struct addr a4 = pool_addr4(&d->config->pool, POOL_DNS),
		    a6 = pool_addr6(&d->config->pool, POOL_DNS);
	int r = tcp_new(d->loop, d->service, &d->tcp);

	if (r == 0)
		r = open_family(d, &a4, CLIENT_UDP4, &d->udp[0]);
	if (r == 0)
		r = open_family(d, &a6, CLIENT_UDP6, &d->udp[1]);
	return r;
}

static int open_audit(struct daemon *d)
{
	return audit_open(d->config->log_dir, "dns", proc_role_uid(ROLE_DNS), proc_group(),
			  &d->audit);
}

static int open_loop(struct daemon *d)
{
	int r = loop_new(&d->loop);

	return r < 0 ? r : loop_signals(d->loop, NULL);
}

static int open_upstream(struct daemon *d)
{
	return upstream_new(d->loop, d->config, &d->upstream);
}

static int open_resolver(struct daemon *d)
{
	int r = view_new(d->config, ROLE_DNS, on_extra, d, &d->view);

	if (r >= 0)
		r = resolver_new(d->loop, d->config, d->upstream, d->view, &d->resolver);
	return r < 0 ? r : refresh_new(d->loop, d->resolver, d->view, &d->refresh);
}

static int open_service(struct daemon *d)
{
	return service_new(d->loop, d->view, d->resolver, d->audit, &d->service);
}

static int raise_files(struct daemon *d)
{
	struct rlimit files = { FILES_MAX, FILES_MAX };

	(void)d;
	return setrlimit(RLIMIT_NOFILE, &files) < 0 ? -errno : 0;
}
/* The first audit line also makes libc read the time zone, while files can still be opened. */
static int drop(struct daemon *d)
{
	const uint16_t ports[] = { NS_DEFAULTPORT, d->config->dns_upstream_port, 0 };
	const struct landlock_spec files = { .tcp_ports = ports }; /* none */
	int r = proc_drop(ROLE_DNS, 0);

	report_daemon(d->audit, "start");
	if (!r)
		r = landlock_confine(&files);
	return r < 0 ? r : proc_seccomp(syscalls);
}

static const struct {
	const char *what;
	int (*fn)(struct daemon *d);
} steps[] = {
	{ "raise the limit of open files", raise_files },
	{ "open the audit log", open_audit },
	{ "make the event loop", open_loop },
	{ "set up the upstream resolvers", open_upstream },
	{ "make the resolver", open_resolver },
	{ "make the service", open_service },
	{ "listen on port 53 of the service address", open_sockets },
	{ "drop privileges", drop },
};

static int start(struct daemon *d)
{
	int r;

	for (size_t i = 0; i < ARRAY_SIZE(steps); i++) {
		r = steps[i].fn(d);
		if (r < 0) {
			log_line(LOG_ERR, "event=start_failed what=\"%s\" error=\"%s\"",
				 steps[i].what, strerror(-r));
			return r;
		}
	}
	return 0;
}

static int serve(struct daemon *d)
{
	int r = start(d);

	if (r < 0)
		return 1;
	d->retry_ms = RECONNECT_MIN_MS;
	d->reconnect.fn = on_reconnect;
	d->tick.fn = on_tick;
	on_reconnect(d->loop, &d->reconnect);
	on_tick(d->loop, &d->tick);
	r = loop_run(d->loop);
	report_daemon(d->audit, "stop");
	return r < 0;
}

static void done(struct daemon *d)
{
	tcp_free(d->tcp);
	udp_free(d->udp[0]);
	udp_free(d->udp[1]);
	service_free(d->service);
	refresh_free(d->refresh);
	resolver_free(d->resolver);
	upstream_free(d->upstream);
	view_free(d->view);
	loop_free(d->loop);
	audit_close(d->audit);
	host_config_free(d->config);
}

static int usage(void)
{
	fprintf(stderr, "usage: cordon-dns --config FILE [--ready-fd N]\n");
	return 2;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "config", required_argument, NULL, 'c' },
		{ "ready-fd", required_argument, NULL, 'r' },
		{ 0 },
	};
	const char *config = NULL;
	struct daemon d = { .ready_fd = -1 };
	int c, r;

	log_init("dns");
	signal(SIGHUP, SIG_IGN);	/* whatever sends it: see netd/rotate.h */
	signal(SIGPIPE, SIG_IGN);	/* c-ares' writes to a resolver that has hung up */
	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (c == 'c')
			config = optarg;
		else if (c == 'r')
			d.ready_fd = atoi(optarg);
		else
			return usage();
	}
	if (!config || optind != argc)
		return usage();
	if (host_config_open(config, &d.config) < 0) {
		host_config_free(d.config);
		return 2;
	}
	r = serve(&d);
	done(&d);
	return r;
}
