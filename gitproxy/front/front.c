/*
 * front.c - the process that sandboxes talk to
 *
 * Theory of operation: the main thread accepts; each connection gets a thread that blocks, within
 * deadlines, and the limits of its sandbox. The main thread also watches the pair to the keeper:
 * when the keeper dies, so does this process, and the unit is started anew. netd's revocations
 * arrive on the view's thread, which shuts the sandbox's connections down before it answers.
 * While there is no picture of netd's (it is being started anew), connections stay where they are, in
 * the listeners' backlogs; when that takes too long they are taken, and refused.
 * Limits: CONNS_MAX connections in all, limits.connections of the profile per sandbox.
 */
#include "gitproxy/front/front.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <sys/socket.h>

#include "base/log.h"
#include "gitproxy/crew.h"
#include "gitproxy/deadline.h"
#include "gitproxy/front/confine.h"
#include "gitproxy/front/session.h"
#include "gitproxy/keeper_ipc.h"
#include "policy/view_audit.h"

enum {
	TICK_MS = 1000,
	THREAD_STACK = 1 << 19,
	THREADS_KEPT = 32,
	ACCEPTS_PER_TURN = 64,
	READY_MS = 10000,
	CA_PATH = 4096,
	VIEW_MS = 3000
};

struct front {
	struct env env;
	struct view *view;
	struct crew *crew;		/* visitor_main() */
	const struct front_spec *spec;
	int signals;
	int ready;			/* eventfd: netd's picture is there again */
	uint64_t give_up;		/* when to stop waiting for it; 0: it is there */
};

struct visitor {
	const struct env *env;
	int fd;
	int ticket;
	struct addr peer;
};

static void visitor_main(void *arg)
{
	struct visitor *v = arg;

	session_run(v->env, v->fd, &v->peer);
	conns_leave(v->env->conns, v->ticket);		/* before the number can be used again */
	close(v->fd);
	free(v);
}

static void reject(const struct front *f, int fd, const struct addr *peer,
		   const struct view_sandbox *sb, enum reason reason)
{
	struct session s = { .env = &f->env, .stream = { .fd = fd }, .peer = *peer };
	struct sockaddr_storage ss;
	socklen_t n = sizeof(ss);

	if (!getsockname(fd, (struct sockaddr *)&ss, &n))
		addr_from_sockaddr(&ss, &s.destination, &s.port);
	session_audit(&s, sb, reason, NULL);
	stream_close(&s.stream, false);
}

/* A registered sandbox with a connection to spare gets a thread. */
static void admit(const struct front *f, int fd, const struct addr *peer,
		  const struct view_sandbox *sb)
{
	struct visitor *v = calloc(1, sizeof(*v));
	int ticket = conns_enter(f->env.conns, sb->id, fd, policy_limits(sb->policy)->connections);

	if (v && ticket >= 0) {
		*v = (struct visitor){ .env = &f->env, .fd = fd, .ticket = ticket, .peer = *peer };
		if (!crew_run(f->crew, visitor_main, v))
			return;
	}
	free(v);
	reject(f, fd, peer, sb, REASON_TOO_MANY_CONNECTIONS);
	if (ticket >= 0)
		conns_leave(f->env.conns, ticket);
	close(fd);
}

static void greet(const struct front *f, int fd, const struct sockaddr_storage *ss)
{
	struct addr peer = { 0 };
	struct view_sandbox sb;
	uint16_t port;

	if (!addr_from_sockaddr(ss, &peer, &port) || !view_sandbox_of(f->env.view, &peer, &sb)) {
		reject(f, fd, &peer, NULL,
		       view_ready(f->env.view) ? REASON_INTERFACE_UNREGISTERED :
						 REASON_UNAVAILABLE);
		close(fd);
		return;
	}
	admit(f, fd, &peer, &sb);
	view_sandbox_done(&sb);
}

static void accept_some(const struct front *f, int listener)
{
	for (int i = 0; i < ACCEPTS_PER_TURN; i++) {
		struct sockaddr_storage ss;
		socklen_t n = sizeof(ss);
		struct sockaddr *sa = (struct sockaddr *)&ss;
		int fd = accept4(listener, sa, &n, SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (fd < 0)
			return;
		greet(f, fd, &ss);
	}
}

/* The keeper has changed over already: what is asked for from now on is of the CA in force. */
static int on_ca_text(struct front *f, const struct ipc_in *in)
{
	struct msg_done done = { 0 };
	int r;

	if (!msg_body(in, MSG_CA_TEXT) || in->fd[0] < 0 || in->fd[1] >= 0)
		return -EPROTO;
	tls_forget(f->env.tls);
	r = ca_text_replace(f->env.ca_text, in->fd[0]);
	if (r < 0)
		log_line(LOG_ERR, "event=ca_not_read error=%s", strerror(-r));
	return view_send(f->view, MSG_DONE, in->head.sequence, &done);
}

/* Datagrams of netd that the view does not know. */
static int on_extra(void *owner, const struct ipc_in *in)
{
	struct front *f = owner;
	const struct msg_close *c = msg_body(in, MSG_CLOSE);
	struct msg_done done = { 0 };

	if (in->head.type == MSG_AUDIT)
		return view_audit(f->view, in, f->env.audit);
	if (in->head.type == MSG_CA_TEXT)
		return on_ca_text(f, in);
	if (in->head.type == MSG_RECENT || in->head.type == MSG_SCOPED)
		return ask_answered(f->env.ask, in);
	if (in->head.type != MSG_CLOSE || !c)
		return -EPROTO;
	conns_close(f->env.conns, c->sandbox);
	return view_send(f->view, MSG_DONE, in->head.sequence, &done);
}

/* Revoked while netd could not tell: its sessions would go on by the policy that they began with. */
static void on_revoked(void *owner, uint16_t sandbox)
{
	struct front *f = owner;
	unsigned closed = conns_close(f->env.conns, sandbox);

	if (closed)
		log_line(LOG_NOTE, "event=revoked sandbox=%u connections=%u", sandbox, closed);
}

static void on_ready(void *owner)
{
	const struct front *f = owner;

	eventfd_write(f->ready, 1);
}

static bool readable(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	return poll(&p, 1, 0) > 0;
}

/* The keeper says once that it serves. -ECANCELED: asked to end meanwhile. */
static int wait_keeper(const struct front *f)
{
	int keeper = f->spec->keeper;
	int r = deadline_wait_either(keeper, f->signals, deadline_in(READY_MS));
	struct ipc_in in;

	if (!r && readable(f->signals))
		r = -ECANCELED;
	if (!r)
		r = ipc_recv(keeper, &in);
	if (r < 0)
		return r;
	r = in.head.type == MSG_DONE ? 0 : -EPROTO;
	ipc_in_done(&in);
	return r;
}

/* The keeper has made it by now; afterwards no file can be opened. */
static int read_ca(struct front *f)
{
	char path[CA_PATH];
	int r;

	if (snprintf(path, sizeof(path), "%s/ca.pem", f->spec->config->state_dir) >= (int)sizeof(path))
		return -ENAMETOOLONG;
	r = ca_text_new(path, &f->env.ca_text);
	if (r < 0)
		log_line(LOG_ERR, "event=ca_not_read path=%s error=%s", path, strerror(-r));
	return r;
}

/* Whether to take connections: there is a picture to judge them by, or there was none for too long. */
static bool accepting(struct front *f)
{
	if (view_ready(f->view))
		f->give_up = 0;
	else if (!f->give_up)
		f->give_up = deadline_in(KEEPER_PICTURE_MS);
	return !f->give_up || deadline_now() >= f->give_up;
}

static void forget_ready(const struct front *f)
{
	eventfd_t n;

	eventfd_read(f->ready, &n);
}

static int front_loop(struct front *f)
{
	struct pollfd p[] = {
		{ .fd = f->spec->listener[0] },
		{ .fd = f->spec->listener[1] },
		{ .fd = f->spec->keeper, .events = POLLIN },	/* it only ends: it never speaks */
		{ .fd = f->signals, .events = POLLIN },
		{ .fd = f->ready, .events = POLLIN },
	};

	for (;;) {
		p[0].events = p[1].events = accepting(f) ? POLLIN : 0;
		if (poll(p, ARRAY_SIZE(p), TICK_MS) < 0 && errno != EINTR)
			return -errno;
		audit_tick(f->env.audit, false);
		if (p[3].revents)
			return 0;
		if (p[2].revents)
			return -EPIPE;
		if (p[4].revents)
			forget_ready(f);
		for (int i = 0; i < FRONT_LISTENERS && accepting(f); i++)
			if (p[i].revents)
				accept_some(f, f->spec->listener[i]);
	}
}

static void audit_daemon(const struct front *f, const char *what)
{
	struct audit_head h = { .event = "daemon" };
	struct audit_line l;

	audit_begin(&l, &h);
	audit_str(&l, "what", what);
	audit_put(f->env.audit, &l);
}

static int front_open(struct front *f)
{
	const struct front_spec *spec = f->spec;
	sigset_t set;
	int r;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	f->signals = signalfd(-1, &set, SFD_CLOEXEC);
	f->ready = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (f->signals < 0 || f->ready < 0)
		return -errno;
	f->env = (struct env){ .config = spec->config,
			       .audit = spec->audit,
			       .keeper = spec->keeper };
	r = crew_new(THREAD_STACK, THREADS_KEPT, &f->crew);
	if (!r)
		r = conns_new(&f->env.conns);
	if (!r)
		r = budget_new(&f->env.lines);
	if (!r)
		r = budget_new(&f->env.pages);
	if (!r)
		r = budget_new(&f->env.scopes);
	if (!r)
		r = ask_new(&f->env.ask);
	if (!r)
		r = tls_new(spec->keeper, &f->env.tls);
	if (!r)
		r = view_new(spec->config, ROLE_GITPROXY, on_extra, f, &f->view);
	f->env.view = f->view;
	if (!r)
		view_set_revoked(f->view, on_revoked);
	if (!r)
		view_set_became_ready(f->view, on_ready);
	return r;
}

/* Until netd's picture is there. A signal to end is front_loop()'s to see, and ends the waiting. */
static void wait_view(const struct front *f)
{
	if (deadline_wait_either(f->signals, f->ready, deadline_in(VIEW_MS)) < 0)
		log_line(LOG_WARN, "event=waiting_for_netd");
}

int front_run(const struct front_spec *spec)
{
	static struct front f;			/* threads use it until the process ends */
	int r;

	f.spec = spec;
	r = front_open(&f);
	if (!r)
		r = wait_keeper(&f);
	if (!r)
		r = read_ca(&f);
	if (!r)
		r = front_confine();
	if (!r)
		r = view_start_thread(f.view);
	if (r < 0)
		return r == -ECANCELED ? 0 : r;
	wait_view(&f);
	audit_daemon(&f, "start");
	proc_ready(spec->ready_fd);
	r = front_loop(&f);
	audit_daemon(&f, r < 0 ? "failed" : "stop");
	audit_tick(f.env.audit, true);
	return r;
}
