/*
 * main.c - cordon-inspect: packets from the queue, through the flow table, back as verdicts
 *
 *	cordon-inspect --pair-fd FD --queue N --pool4 PREFIX --pool6 PREFIX
 *
 * Theory of operation: started by cordon-netd with CAP_NET_ADMIN (without it the kernel takes no verdict)
 * and one end of a socket pair. It binds the queue, gives up every other right, says HELLO and reads names
 * until END; only then does it look at the queue, so no flow is judged by half a table. Packets of the
 * sandbox come from prerouting, before dnat; the server's from postrouting, after the reverse translation:
 * both carry the tuple that the sandbox sees, which is the key. What is told to netd never waits: when the
 * pair is full, verdicts are counted as lost.
 *
 * Answers to the kernel:
 *   DENY     drop.
 *   PASS     accept; the mark stays.
 *   DECIDED  accept, mark = states inspect and decided and the identity; the ruleset saves it to the
 *            conntrack entry, whose packets then come here no more.
 *   KILL     accept, mark = the identity without any state. Nothing without a state is forwarded (chain
 *            remember answers it with a TCP reset; without that rule chain forward and the routing
 *            backstop would drop it). So the kernel makes the reset: right sequence numbers, both
 *            families, also for a hello larger than the MTU, and no raw socket here. The reset comes by
 *            as a packet of the server and passes.
 *
 * Invariants: one thread; no allocation per packet; when the pair closes or the queue fails the process
 * ends, and everything undecided is dropped until netd has started the next one.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <linux/capability.h>
#include <linux/netfilter.h>
#include <seccomp.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/prctl.h>

#include "base/landlock.h"
#include "base/log.h"
#include "base/loop.h"
#include "base/msg.h"
#include "base/proc.h"
#include "netd/inspect/names.h"
#include "netd/inspect/queue.h"
#include "netd/inspect/table.h"
#include "policy/mark.h"

enum { SWEEP_MS = 1000, MESSAGES_PER_WAKE = 64, IDENTITY = 0x0fffffff };

struct inspect {
	struct loop *loop;
	struct watch pair, packets;
	struct timer sweep;
	struct queue *queue;
	struct table *table;
	struct names *names;
	uint8_t *scratch;		/* FLOW_RECORD_MAX */
	bool serving;			/* END has come */
	uint32_t lost;			/* verdicts that were not told since the last that was */
	int error;			/* why the loop was stopped */
};

struct options {
	int pair_fd;
	uint16_t queue;
	struct pool pool;
};

static const struct proc_syscall syscalls[] = {
	{ SCMP_SYS(epoll_wait), "the loop" },
	{ SCMP_SYS(epoll_pwait), "the loop, on machines without epoll_wait" },
	{ SCMP_SYS(epoll_ctl), "adding the queue after END, taking watches out at the end" },
	{ SCMP_SYS(clock_gettime), "the loop's time, where the vDSO does not serve it" },
	{ SCMP_SYS(recvmmsg), "packets" },
	{ SCMP_SYS(sendto), "verdicts" },
	{ SCMP_SYS(recvmsg), "messages of netd" },
	{ SCMP_SYS(sendmsg), "HELLO, DONE and VERDICT to netd" },
	{ SCMP_SYS(read), "the signalfd" },
	{ SCMP_SYS(write), "log lines" },
	{ SCMP_SYS(brk), "names" },
	{ SCMP_SYS(mmap), "names" },
	{ SCMP_SYS(munmap), "names, and the end" },
	{ SCMP_SYS(mremap), "the heap of timers" },
	{ SCMP_SYS(close), "descriptors that came with a message, and the end" },
	{ SCMP_SYS(rt_sigreturn), "a stopped process that goes on" },
	{ SCMP_SYS(restart_syscall), "a stopped process that goes on" },
	{ SCMP_SYS(exit_group), "the end" },
	{ -1, NULL },
};

static void give_up(struct inspect *in, int error)
{
	in->error = error;
	loop_stop(in->loop);
}

/* ---- to netd ---- */

static void tell(struct inspect *in, const struct flow_key *key, uint32_t mark, const struct flow_note *note)
{
	struct msg_verdict m = { .mark = mark & IDENTITY, .reason = note->reason, .lost = in->lost,
				 .sport = key->guest_port, .dport = key->server_port };
	size_t n = rd_left(&note->sni);
	struct rd sni = note->sni;

	m.saddr.family = m.daddr.family = (uint8_t)key->family;
	memcpy(m.saddr.b, key->guest, sizeof(m.saddr.b));
	memcpy(m.daddr.b, key->server, sizeof(m.daddr.b));
	if (n > sizeof(m.sni))
		n = sizeof(m.sni);
	if (rd_copy(&sni, m.sni, n))
		m.sni_len = (uint16_t)n;
	if (msg_send(in->pair.fd, MSG_VERDICT, 0, &m) < 0)
		in->lost++;
	else
		in->lost = 0;
}

static void on_refused(void *owner, const struct flow_key *key, const struct flow *f,
		       const struct flow_note *note)
{
	tell(owner, key, f->mark, note);
}

static void on_sweep(struct loop *l, struct timer *t)
{
	struct inspect *in = container_of(t, struct inspect, sweep);

	table_sweep(in->table, loop_now(l), on_refused, in);
	loop_arm(l, t, SWEEP_MS);
}

/* ---- packets ---- */

static struct queue_answer answer_of(enum verdict v, uint32_t mark)
{
	switch (v) {
	case VERDICT_DENY:
		break;
	case VERDICT_PASS:
		return (struct queue_answer){ .accept = true };
	case VERDICT_DECIDED:
		return (struct queue_answer){ true, true, mark | MARK_INSPECT | MARK_DECIDED };
	case VERDICT_KILL:
		return (struct queue_answer){ true, true, mark };
	}
	return (struct queue_answer){ 0 };
}

/* No record, and none can be made. */
static enum verdict on_full(struct inspect *in, const struct flow_key *key, const struct segment *seg,
			    uint32_t mark)
{
	const struct flow_note note = { .reason = REASON_TOO_MANY_CONNECTIONS };

	if (seg->flags == TCP_SYN)
		tell(in, key, mark, &note);
	return VERDICT_KILL;
}

static enum verdict on_segment(struct inspect *in, enum flow_side from, const struct packet *p,
			       uint32_t *mark)
{
	const struct flow_key key = flow_key_of(from, p);
	struct flow *f = table_find(in->table, &key);
	struct flow_env env = { .now_ms = loop_now(in->loop), .mark = *mark, .scratch = in->scratch };
	struct flow_note note;
	enum verdict v;

	if (!f && (p->seg.flags & TCP_RST))		/* nothing to end; the server's may be our own */
		return from == FLOW_SERVER && !rd_left(&p->seg.data) ? VERDICT_PASS : VERDICT_DENY;
	if (!f && from == FLOW_SERVER)
		return VERDICT_DENY;
	if (!f)
		f = table_open(in->table, &key, mark_sandbox(*mark), env.now_ms);
	if (!f)
		return on_full(in, &key, &p->seg, *mark);
	env.name = names_of(in->names, from == FLOW_CLIENT ? &p->dst : &p->src);
	if (from == FLOW_CLIENT)
		table_room(in->table, f, flow_room(f, &p->seg));
	v = flow_step(f, from, &p->seg, &env, &note);
	*mark = f->mark;
	if (note.tell)
		tell(in, &key, f->mark, &note);
	if (v != VERDICT_DENY || note.tell)
		table_settle(in->table, f);
	return v;
}

static struct queue_answer on_packet(void *owner, const struct queued *q)
{
	struct inspect *in = owner;
	uint32_t mark = q->mark & IDENTITY;
	enum flow_side from = q->hook == NF_INET_PRE_ROUTING ? FLOW_CLIENT : FLOW_SERVER;
	enum verdict v;
	struct packet p;

	if (q->hook != NF_INET_PRE_ROUTING && q->hook != NF_INET_POST_ROUTING)
		return (struct queue_answer){ 0 };
	/* A client's packet without identity or grant: the ruleset is not what we were written for. */
	if (from == FLOW_CLIENT && (!mark_sandbox(mark) || !(q->mark & MARK_INSPECT)))
		return (struct queue_answer){ 0 };
	if (packet_parse(q->packet, &p) != PARSE_OK)
		return (struct queue_answer){ 0 };
	v = on_segment(in, from, &p, &mark);
	if (v == VERDICT_KILL && from == FLOW_SERVER)
		v = VERDICT_DENY;			/* behind postrouting nothing resets: it would pass */
	return answer_of(v, mark);
}

static void on_queue(struct loop *l, struct watch *w, uint32_t events)
{
	struct inspect *in = container_of(w, struct inspect, packets);
	int r;

	(void)l;
	(void)events;
	r = queue_read(in->queue, on_packet, in);
	if (r < 0)
		give_up(in, r);
}

/* ---- from netd ---- */

static int on_end(struct inspect *in)
{
	if (in->serving)
		return -EPROTO;
	in->serving = true;
	in->packets = (struct watch){ .fd = queue_fd(in->queue), .events = EPOLLIN, .fn = on_queue };
	return loop_add(in->loop, &in->packets);
}

static int on_name(struct inspect *in, const struct ipc_in *m)
{
	const struct msg_name *is = msg_body(m, MSG_NAME_IS), *gone = msg_body(m, MSG_NAME_GONE);
	struct msg_done done = { .result = -EPROTO };

	if (is)
		done.result = names_set(in->names, is);
	else if (gone)
		done.result = names_unset(in->names, gone);
	if (!m->head.sequence)				/* the snapshot: END answers for it */
		return done.result;
	return msg_send(in->pair.fd, MSG_DONE, m->head.sequence, &done);
}

static int on_message(struct inspect *in, const struct ipc_in *m)
{
	if (msg_body(m, MSG_END))
		return on_end(in);
	return on_name(in, m);
}

static void on_pair(struct loop *l, struct watch *w, uint32_t events)
{
	struct inspect *in = container_of(w, struct inspect, pair);
	struct ipc_in m;
	int r = 0;

	(void)l;
	(void)events;
	for (int i = 0; r >= 0 && i < MESSAGES_PER_WAKE; i++) {
		r = ipc_recv(w->fd, &m);
		if (r < 0)
			break;
		r = on_message(in, &m);
		ipc_in_done(&m);
	}
	if (r < 0 && r != -EAGAIN)
		give_up(in, r == -ECONNRESET ? 0 : r);	/* netd is gone: so are we */
}

/* ---- start ---- */

static int usage(void)
{
	fprintf(stderr, "cordon-inspect: started by cordon-netd as cordon-inspect --pair-fd FD --queue N"
			" --pool4 PREFIX --pool6 PREFIX\n");
	return 2;
}

static bool number(const char *text, unsigned long max, unsigned long *ret)
{
	char *end;

	errno = 0;
	*ret = strtoul(text, &end, 10);
	return *text >= '0' && *text <= '9' && !*end && !errno && *ret <= max;
}

static bool options_parse(int argc, char **argv, struct options *o)
{
	static const struct option rows[] = {
		{ "pair-fd", required_argument, NULL, 'p' }, { "queue", required_argument, NULL, 'q' },
		{ "pool4", required_argument, NULL, '4' },   { "pool6", required_argument, NULL, '6' },
		{ 0 },
	};
	unsigned long v = 0;
	unsigned given = 0;
	bool ok = true;

	for (int c; ok && (c = getopt_long(argc, argv, "", rows, NULL)) != -1; given++) {
		if (c == 'p' && (ok = number(optarg, 1023, &v)))
			o->pair_fd = (int)v;
		else if (c == 'q' && (ok = number(optarg, UINT16_MAX, &v)))
			o->queue = (uint16_t)v;
		else if (c == '4')
			ok = prefix_parse(optarg, &o->pool.v4) && o->pool.v4.addr.family == 4;
		else if (c == '6')
			ok = prefix_parse(optarg, &o->pool.v6) && o->pool.v6.addr.family == 6;
		else
			ok = false;
	}
	return ok && given == ARRAY_SIZE(rows) - 1 && optind == argc && o->pair_fd > 2 &&
	       o->pool.v4.addr.family && o->pool.v6.addr.family;
}

/* Memory and descriptors: everything that needs a right or may fail for want of something. */
static int inspect_open(struct inspect *in, const struct options *o)
{
	void *scratch = mmap(NULL, FLOW_RECORD_MAX, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int flags = fcntl(o->pair_fd, F_GETFL);
	int r;

	if (scratch == MAP_FAILED)
		return -ENOMEM;
	in->scratch = scratch;
	if (flags < 0 || fcntl(o->pair_fd, F_SETFL, flags | O_NONBLOCK) < 0 ||
	    fcntl(o->pair_fd, F_SETFD, FD_CLOEXEC) < 0)
		return -errno;
	r = table_new(&table_default_sizes, &in->table);
	if (!r)
		r = names_new(&o->pool, &in->names);
	if (!r)
		r = loop_new(&in->loop);
	if (!r)
		r = loop_signals(in->loop, NULL);
	if (!r)
		r = queue_open(o->queue, &in->queue);
	if (r < 0)
		return r;
	in->pair = (struct watch){ .fd = o->pair_fd, .events = EPOLLIN, .fn = on_pair };
	in->sweep.fn = on_sweep;
	r = loop_add(in->loop, &in->pair);
	return r < 0 ? r : loop_arm(in->loop, &in->sweep, SWEEP_MS);
}

/* netd's spawner starts us without root; by hand it may be otherwise. No file, no port, no process. */
static int confine(void)
{
	const struct landlock_spec nothing = { 0 };
	int r = geteuid() ? proc_keep(CAP_BIT(CAP_NET_ADMIN))
			  : proc_drop(ROLE_INSPECT, CAP_BIT(CAP_NET_ADMIN));

	if (!r)
		r = landlock_confine(&nothing);
	return r < 0 ? r : proc_seccomp(syscalls);
}

static int say_hello(struct inspect *in)
{
	struct msg_hello m = { .protocol = MSG_PROTOCOL, .role = ROLE_INSPECT };

	if (!msg_text_set(m.build, sizeof(m.build), CORDON_VERSION))
		return -EINVAL;
	return msg_send(in->pair.fd, MSG_HELLO, 0, &m);
}

static void inspect_close(struct inspect *in)
{
	queue_close(in->queue);
	loop_free(in->loop);
	names_free(in->names);
	table_free(in->table);
	if (in->scratch)
		munmap(in->scratch, FLOW_RECORD_MAX);
}

int main(int argc, char **argv)
{
	struct options o = { .pair_fd = -1 };
	struct inspect in = { .pair.fd = -1, .packets.fd = -1 };
	int r;

	log_init("inspect");
	prctl(PR_SET_NAME, "cordon-inspect");	/* started by descriptor: the kernel took its number for the name */
	if (!options_parse(argc, argv, &o))
		return usage();
	signal(SIGHUP, SIG_IGN);
	r = inspect_open(&in, &o);
	if (r < 0)
		log_line(LOG_ERR, "event=not_started queue=%u errno=%d error=\"%s\"", o.queue, -r, strerror(-r));
	if (!r)
		r = confine();
	if (!r)
		r = say_hello(&in);
	if (!r)
		r = loop_run(in.loop);
	if (!r)
		r = in.error;
	if (r < 0)
		log_line(LOG_ERR, "event=ended errno=%d", -r);
	inspect_close(&in);
	return r < 0;
}
