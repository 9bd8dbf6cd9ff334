/*
 * parts.c - the other daemons
 *
 * Theory of operation: each connection is one struct part: it must say HELLO first, with a role
 * whose uid the kernel confirms (SO_PEERCRED), the same protocol and the same build; then it gets a
 * snapshot of everything (netd/snapshot.c) and END, and from there on every change, in order.
 * Datagrams wait in a queue per part while its socket is full, so nothing here blocks. Who must
 * acknowledge what is netd/publish.c's.
 *
 * A part may have been taken over by what it reads. It can ask for nothing but pins (the resolver)
 * and what is known of a sandbox (the proxy), and report; what it asks is decided here again. One
 * that asks faster than it takes answers is not read until it has taken some. No message of a part
 * brings a descriptor.
 *
 * Invariants: a part is never told something out of order; a part that misbehaves (unknown type,
 * wrong length, a failure to apply) is cut off, audited, and starts anew from a snapshot, so that
 * no part acts on a picture that differs from the one netd has. A part that was cut off is freed by
 * a timer of its own turn: whoever walks the list finds it dead, not gone.
 */
#include "netd/part.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "base/log.h"
#include "netd/inspector.h"
#include "netd/names.h"
#include "netd/pin.h"
#include "netd/profiles.h"
#include "netd/recent.h"
#include "netd/registry.h"
#include "netd/scopes.h"

static const char *const state_names[] = { "hello", "waiting", "snapshot", "serving", "dead" };
enum { READS_PER_WAKE = 64, HELLO_MS = 5000 };

struct out {
	struct out *next;
	uint16_t type;
	uint32_t sequence;
	struct policy *policy; /* its text as a descriptor, made when sent; or NULL */
	int fd;		       /* or this one; -1 */
	size_t n;
	uint8_t body[];
};

/* ---- the end of a part ---- */

static void out_free(struct out *o)
{
	policy_unref(o->policy);
	if (o->fd >= 0)
		close(o->fd);
	free(o);
}

static void part_line(const struct part *p, const char *what, enum reason why, struct audit_line *l)
{
	struct audit_head h = { .event = "part", .decision = "", .reason = reason_text(why) };

	audit_begin(l, &h);
	audit_str(l, "part", proc_role_name(p->role));
	audit_str(l, "what", what);
	audit_u64(l, "pid", (uint64_t)p->pid);
}

void part_audit(const struct part *p, const char *what)
{
	struct audit_line l;

	part_line(p, what, REASON_NONE, &l);
	audit_put(p->ps->n->audit, &l);
	log_line(LOG_NOTE, "event=part role=%s pid=%d what=\"%s\"", proc_role_name(p->role),
		 (int)p->pid, what);
}

/* What a resolver of ours has refused itself before it asks, but for a reload in between. */
static void audit_refused_pin(const struct part *p, const struct msg_pinned *m)
{
	struct audit_line l;
	char key[64];

	if (m->reason != REASON_NAME_NOT_ALLOWED && m->reason != REASON_NAME_DENIED &&
	    m->reason != REASON_REBINDING_BLOCKED && m->reason != REASON_INTERNAL_ERROR)
		return;
	part_line(p, "asked for a pin that the policy does not give", (enum reason)m->reason, &l);
	snprintf(key, sizeof(key), "pin %d %s", (int)p->pid, reason_text((enum reason)m->reason));
	audit_aggregate(p->ps->n->audit, key, &l);
}

/*
 * Publications that waited for it go on without it. Their continuations run from here and may
 * publish again; this part is dead by then and is skipped.
 */
void part_cut(struct part *p, const char *why)
{
	struct parts *ps = p->ps;

	if (p->state == PART_DEAD)
		return;
	p->state = PART_DEAD;
	loop_del(ps->n->loop, &p->watch);
	loop_disarm(ps->n->loop, &p->hello);
	close(p->watch.fd);
	p->watch.fd = -1;
	part_audit(p, why);
	loop_arm(ps->n->loop, &ps->reaper, 0);
	if (p->role == ROLE_INSPECT && p->pair)
		inspector_lost(ps->n);
	publish_forget(p);
}

static void part_free(struct part *p)
{
	for (struct out *o = p->head; o;) {
		struct out *next = o->next;

		out_free(o);
		o = next;
	}
	for (struct ack *a = p->acks; a;) {
		struct ack *next = a->next;

		publish_drop(a->publish);
		free(a);
		a = next;
	}
	free(p);
}

static void parts_on_reap(struct loop *l, struct timer *t)
{
	struct parts *ps = container_of(t, struct parts, reaper);

	(void)l;
	for (struct part **at = &ps->list; *at;) {
		struct part *p = *at;

		if (p->state == PART_DEAD) {
			*at = p->next;
			part_free(p);
		} else {
			at = &p->next;
		}
	}
}

/* ---- sending ---- */

static int out_send(struct part *p, const struct out *o)
{
	AUTO(fd) int fd = -1;

	if (o->fd >= 0)
		return msg_send_fd(p->watch.fd, o->type, o->sequence, NULL, o->fd);
	if (o->policy) {
		size_t n;
		const char *text = policy_canonical(o->policy, &n);

		fd = ipc_memfd("cordon-profile", text, n);
		if (fd < 0)
			return fd;
	}
	return msg_send_fd(p->watch.fd, o->type, o->sequence, o->n ? o->body : NULL, fd);
}

static bool part_is_read(const struct part *p)
{
	return p->asked + p->answers < PARTS_ASKED_MAX;
}

static uint32_t part_events(const struct part *p)
{
	return (part_is_read(p) ? EPOLLIN : 0u) | (p->head || p->state == PART_SNAPSHOT ? EPOLLOUT : 0u);
}

static bool is_answer(unsigned t)
{
	return t == MSG_PINNED || t == MSG_RECENT || t == MSG_SCOPED;
}

void part_flush(struct part *p)
{
	int r = 0;

	while (p->state != PART_DEAD && p->head) {
		struct out *o = p->head;

		r = out_send(p, o);
		if (r < 0)
			break;
		p->head = o->next;
		if (!p->head)
			p->tail = &p->head;
		p->queued--;
		p->answers -= is_answer(o->type);
		out_free(o);
	}
	if (p->state == PART_DEAD)
		return;
	if (r < 0 && r != -EAGAIN)
		part_cut(p, "cannot be written to");
	else
		loop_mod(p->ps->n->loop, &p->watch, part_events(p));
}

static struct out *queue(struct part *p, enum msg_type t, uint32_t sequence, const void *body)
{
	size_t n = (size_t)msg_size(t);
	struct out *o;

	if (p->state == PART_DEAD)
		return NULL;
	o = p->queued < PARTS_QUEUE_MAX ? calloc(1, sizeof(*o) + n) : NULL;
	if (!o) {
		part_cut(p, "does not read what it is sent");
		return NULL;
	}
	o->type = (uint16_t)t;
	o->sequence = sequence;
	o->fd = -1;
	o->n = n;
	if (n)
		memcpy(o->body, body, n);
	*p->tail = o;
	p->tail = &o->next;
	p->queued++;
	p->answers += is_answer(t);
	return o;
}

void part_queue(struct part *p, enum msg_type t, uint32_t sequence, const void *body,
		const struct policy *policy)
{
	struct out *o = queue(p, t, sequence, body);

	if (o && policy)
		o->policy = policy_ref(policy);
}

void part_queue_fd(struct part *p, enum msg_type t, uint32_t sequence, int taken)
{
	AUTO(fd) int fd = taken;
	struct out *o = queue(p, t, sequence, NULL);

	if (o)
		o->fd = STEAL_FD(fd);
}

static struct part *part_of_serial(const struct parts *ps, uint64_t serial)
{
	struct part *p = ps->list;

	while (p && p->serial != serial)
		p = p->next;
	return p;
}

void parts_answer(struct parts *ps, uint64_t serial, enum msg_type t, uint32_t sequence,
		  const void *body)
{
	struct part *p = part_of_serial(ps, serial);

	if (!p || p->state == PART_DEAD)
		return;
	p->asked--;
	if (t == MSG_PINNED)
		audit_refused_pin(p, body);
	part_queue(p, t, sequence, body, NULL);
	part_flush(p);
}

/* ---- admission ---- */

void parts_admit_waiting(struct parts *ps)
{
	for (struct part *p = ps->list; p; p = p->next)
		if (p->state == PART_WAITING)
			snapshot_begin(p);
}

void parts_complete(struct parts *ps)
{
	for (struct part *p = ps->list; p; p = p->next)
		if (p->state == PART_SNAPSHOT)
			snapshot_rest(p);
}

/* ---- receiving ---- */

/* One connection per role, except for the resolver's workers: a new one replaces the old. */
static void cut_predecessor(struct part *p)
{
	if (p->role == ROLE_DNS)
		return;
	for (struct part *other = p->ps->list; other; other = other->next)
		if (other != p && other->role == p->role && other->state >= PART_WAITING)
			part_cut(other, "replaced by a new connection");
}

static const char *hello_refuse(const struct part *p, const struct msg_hello *m)
{
	if (!msg_text_ok(m->build, sizeof(m->build)))
		return "malformed hello";
	if (m->protocol != MSG_PROTOCOL || strcmp(m->build, CORDON_VERSION))
		return "another protocol or build; restart it";
	if (p->pair)
		return m->role == p->role ? NULL : "another role than it was started for";
	if (m->role >= ROLE_COUNT || !(BIT_ROLE(m->role) & TO_VIEWS))
		return "a role that does not connect here";
	if (p->uid != proc_role_uid(m->role))
		return "not the user of its role";
	return NULL;
}

static int on_hello(struct part *p, const struct ipc_in *in)
{
	const struct msg_hello *m = msg_body(in, MSG_HELLO);
	const char *why = m ? hello_refuse(p, m) : "no hello";

	if (m && why)
		log_line(LOG_WARN,
			 "event=hello_refused pid=%d uid=%u protocol=%u want=%u build_ours=%s",
			 (int)p->pid, (unsigned)p->uid, m->protocol, MSG_PROTOCOL, CORDON_VERSION);
	if (why) {
		part_cut(p, why);
		return -EPROTO;
	}
	p->role = (enum proc_role)m->role;
	loop_disarm(p->ps->n->loop, &p->hello);
	cut_predecessor(p);
	p->state = PART_WAITING;
	if (!p->ps->n->reloading)
		snapshot_begin(p);
	return 0;
}

static int on_done(struct part *p, const struct ipc_in *in)
{
	const struct msg_done *m = msg_body(in, MSG_DONE);

	if (!m)
		return -EPROTO;
	if (m->result)
		log_line(LOG_ERR, "event=part_failed role=%s result=%d", proc_role_name(p->role),
			 m->result);
	publish_acknowledge(p, in->head.sequence, m->result);
	return m->result ? -EPROTO : 0; /* its picture is no longer ours */
}

static int on_ready(struct part *p, const struct ipc_in *in)
{
	const struct msg_reload *m = msg_body(in, MSG_READY);

	if (!m)
		return -EPROTO;
	publish_acknowledge(p, in->head.sequence, m->result);
	return 0;
}

/* What it could not do is the command's to hear; the part's picture is none the worse. */
static int on_ca_done(struct part *p, const struct ipc_in *in)
{
	const struct msg_done *m = msg_body(in, MSG_CA_DONE);

	if (!m)
		return -EPROTO;
	publish_acknowledge(p, in->head.sequence, m->result);
	return 0;
}

static int on_pin(struct part *p, const struct ipc_in *in)
{
	const struct msg_pin *m = msg_body(in, MSG_PIN);

	if (!m)
		return -EPROTO;
	p->asked++; /* until parts_answer(), which may be called before this returns */
	return pin_start(p->ps->n, p->serial, in->head.sequence, m);
}

static int on_refused(struct part *p, const struct ipc_in *in)
{
	const struct msg_refused *m = msg_body(in, MSG_REFUSED);

	return m ? recent_told(p->ps->n->recent, m) : -EPROTO;
}

static int on_refusals(struct part *p, const struct ipc_in *in)
{
	const struct msg_refusals *m = msg_body(in, MSG_REFUSALS);
	struct msg_recent recent;

	if (!m)
		return -EPROTO;
	p->asked++;
	recent_get(p->ps->n->recent, m->sandbox, &recent);
	parts_answer(p->ps, p->serial, MSG_RECENT, in->head.sequence, &recent);
	return 0;
}

static int on_scope(struct part *p, const struct ipc_in *in)
{
	const struct msg_scope *m = msg_body(in, MSG_SCOPE);
	struct msg_scoped answer;

	if (!m)
		return -EPROTO;
	p->asked++;
	answer.valid = scopes_valid(p->ps->n->scopes, m->sandbox, m->hash);
	parts_answer(p->ps, p->serial, MSG_SCOPED, in->head.sequence, &answer);
	return 0;
}

static int on_verdict(struct part *p, const struct ipc_in *in)
{
	const struct msg_verdict *m = msg_body(in, MSG_VERDICT);

	return m ? inspector_verdict(p->ps->n, m) : -EPROTO;
}

static const struct {
	enum msg_type type;
	unsigned roles;
	int (*fn)(struct part *p, const struct ipc_in *in);
} handlers[] = {
	{ MSG_DONE, TO_VIEWS | TO_INSPECT, on_done },
	{ MSG_READY, TO_VIEWS, on_ready },
	{ MSG_CA_DONE, TO_KEEPER, on_ca_done },
	{ MSG_PIN, TO_DNS, on_pin },
	{ MSG_REFUSED, TO_DNS | TO_GITPROXY | TO_KEEPER, on_refused },
	{ MSG_REFUSALS, TO_GITPROXY, on_refusals },
	{ MSG_SCOPE, TO_GITPROXY, on_scope },
	{ MSG_VERDICT, TO_INSPECT, on_verdict },
};

static int dispatch(struct part *p, const struct ipc_in *in)
{
	if (in->fd[0] >= 0)
		return -EPROTO;
	if (p->state == PART_HELLO)
		return on_hello(p, in);
	/* What was published during the snapshot is acknowledged during the snapshot. */
	if (p->state == PART_SNAPSHOT)
		return in->head.type == MSG_DONE ? on_done(p, in) : -EPROTO;
	for (size_t i = 0; p->state == PART_SERVING && i < ARRAY_SIZE(handlers); i++)
		if (in->head.type == handlers[i].type && BIT_ROLE(p->role) & handlers[i].roles)
			return handlers[i].fn(p, in);
	return -EPROTO;
}

static void part_read(struct part *p, uint32_t events)
{
	struct ipc_in in;
	int r = 0;

	for (int i = 0; r >= 0 && i < READS_PER_WAKE && p->state != PART_DEAD; i++) {
		if (!part_is_read(p))
			break;
		r = ipc_recv(p->watch.fd, &in);
		if (r < 0)
			break;
		r = dispatch(p, &in);
		ipc_in_done(&in);
	}
	if (p->state == PART_DEAD)
		return;
	if (r == -ECONNRESET)
		part_cut(p, "disconnected");
	else if (r < 0 && r != -EAGAIN)
		part_cut(p, "sent what does not belong here");
	else if (events & EPOLLOUT || !part_is_read(p))
		snapshot_more(p);
}

/* What was asked in this turn is granted in one transaction; the part may be cut off by its answer.
 */
static void part_on_event(struct loop *l, struct watch *w, uint32_t events)
{
	struct part *p = container_of(w, struct part, watch);
	struct netd *n = p->ps->n;

	(void)l;
	part_read(p, events);
	pins_turn(n);
}

/* ---- connecting ---- */

static void part_on_silence(struct loop *l, struct timer *t)
{
	(void)l;
	part_cut(container_of(t, struct part, hello), "no hello in time");
}

static int part_new(struct parts *ps, int taken, struct part **ret)
{
	AUTO(fd) int fd = taken;
	struct part *p = calloc(1, sizeof(*p));
	int r;

	if (!p)
		return -ENOMEM;
	p->ps = ps;
	p->serial = ++ps->serial;
	p->tail = &p->head;
	p->acks_tail = &p->acks;
	p->watch = (struct watch){ .fd = fd, .events = EPOLLIN, .fn = part_on_event };
	p->hello.fn = part_on_silence;
	r = loop_add(ps->n->loop, &p->watch);
	if (r >= 0)
		r = loop_arm(ps->n->loop, &p->hello, HELLO_MS);
	if (r < 0) {
		loop_del(ps->n->loop, &p->watch);
		free(p);
		return r;
	}
	STEAL_FD(fd);
	p->next = ps->list;
	ps->list = p;
	*ret = p;
	return 0;
}

/* The inspector's pair has no user, and is not counted as one. */
static bool has_room(const struct parts *ps, uid_t uid)
{
	size_t all = 0, mine = 0;

	for (const struct part *p = ps->list; p; p = p->next) {
		all++;
		mine += !p->pair && p->uid == uid;
	}
	return all < PARTS_MAX && mine < PARTS_PER_USER;
}

static void parts_on_accept(struct loop *l, struct watch *w, uint32_t events)
{
	struct parts *ps = container_of(w, struct parts, listener);
	AUTO(fd) int fd = accept4(w->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	struct part *p;
	uid_t uid;
	pid_t pid;

	(void)l;
	(void)events;
	if (fd < 0 || ipc_peer(fd, &uid, &pid) < 0 || !has_room(ps, uid))
		return;
	if (part_new(ps, STEAL_FD(fd), &p) < 0)
		return;
	p->uid = uid;
	p->pid = pid;
}

int parts_adopt(struct parts *ps, int taken, enum proc_role role, pid_t pid)
{
	AUTO(fd) int fd = taken;
	struct part *p;
	int flags = fcntl(fd, F_GETFL);
	int r;

	if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
		return -errno;
	r = part_new(ps, STEAL_FD(fd), &p);
	if (r < 0)
		return r;
	p->pair = true;
	p->role = role;
	p->pid = pid;
	return 0;
}

int parts_new(struct netd *n, int listener, struct parts **ret)
{
	AUTO(fd) int fd = listener;
	AUTO(parts) struct parts *ps = calloc(1, sizeof(*ps));
	int r;

	if (!ps)
		return -ENOMEM;
	ps->n = n;
	ps->reaper.fn = parts_on_reap;
	ps->listener = (struct watch){ .fd = fd, .events = EPOLLIN, .fn = parts_on_accept };
	r = loop_add(n->loop, &ps->listener);
	if (r < 0) {
		ps->listener.fd = -1;
		return r;
	}
	STEAL_FD(fd);
	*ret = STEAL(ps);
	return 0;
}

/* At exit: acks are dropped, their owners are not called. */
void parts_free(struct parts *ps)
{
	if (!ps)
		return;
	for (struct part *p = ps->list; p;) {
		struct part *next = p->next;

		loop_del(ps->n->loop, &p->watch);
		loop_disarm(ps->n->loop, &p->hello);
		if (p->watch.fd >= 0)
			close(p->watch.fd);
		part_free(p);
		p = next;
	}
	loop_disarm(ps->n->loop, &ps->reaper);
	loop_del(ps->n->loop, &ps->listener);
	if (ps->listener.fd >= 0)
		close(ps->listener.fd);
	free(ps);
}

json_t *parts_json(const struct parts *ps)
{
	json_t *list = json_array();

	for (const struct part *p = ps->list; p; p = p->next)
		if (p->state != PART_DEAD)
			json_array_append_new(list,
					      json_pack("{s:s, s:i, s:s, s:i}", "role",
							proc_role_name(p->role), "pid", (int)p->pid,
							"state", state_names[p->state], "queued",
							(int)p->queued));
	return list;
}
