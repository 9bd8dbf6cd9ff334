/*
 * inspector.c - cordon-inspect: started, started again, listened to
 *
 * Theory of operation: the spawner (spawner.c) starts it with one end of a socket pair on
 * descriptor 3 and with CAP_NET_ADMIN, which the kernel demands of whoever gives verdicts. It binds
 * its queue, says HELLO on the pair, gets every name, END, and only then the rule that queues
 * packets to it is put in; before that, and whenever it is dead, packets that want inspection are
 * dropped by the rule behind (and by a queue that nobody listens on). The end of the pair is the
 * end of the inspector, whatever else it does: another is started, after 50 ms doubling to 1 s, and
 * the spawner kills the old one if it still runs. What it decided comes back as VERDICT: it knows
 * no sandbox by name, so the audit line is written here.
 */
#include "netd/inspector.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "base/proc.h"
#include "netd/guard.h"
#include "netd/names.h"
#include "netd/parts.h"
#include "netd/profiles.h"
#include "netd/recent.h"
#include "netd/registry.h"
#include "netd/spawner.h"
#include "policy/mark.h"

enum { BACKOFF_MIN_MS = 50, BACKOFF_MAX_MS = 1000, LIVED_MS = 10000 };

struct inspector {
	struct netd *n;
	struct watch spawner; /* it never speaks unasked: an event is its end */
	struct timer again;
	pid_t pid; /* 0: not running */
	unsigned backoff_ms;
	uint64_t started_ms;
	unsigned starts;
	bool serving;
	bool rule_wanted; /* from the first time it was ready */
	bool native;
};

static void start_later(struct inspector *i)
{
	if (loop_now(i->n->loop) - i->started_ms > LIVED_MS)
		i->backoff_ms = BACKOFF_MIN_MS;
	loop_arm(i->n->loop, &i->again, i->backoff_ms);
	i->backoff_ms = i->backoff_ms * 2 > BACKOFF_MAX_MS ? BACKOFF_MAX_MS : i->backoff_ms * 2;
}

/* Started again as a whole: whoever started us does that. */
static void on_spawner_end(struct loop *l, struct watch *w, uint32_t events)
{
	struct inspector *i = container_of(w, struct inspector, spawner);

	(void)events;
	log_line(LOG_ERR, "event=spawner_ended");
	loop_del(l, w);
	i->n->failed = true;
	loop_stop(l);
}

int inspector_program(void)
{
	char path[4096];
	int r = proc_program("cordon-inspect", path, sizeof(path));

	if (r < 0)
		return r;
	r = open(path, O_PATH | O_CLOEXEC);
	return r < 0 ? -errno : r;
}

static int start(struct inspector *i)
{
	AUTO(fd) int ours = -1;
	AUTO(fd) int theirs = -1;
	int r = ipc_pair(&ours, &theirs);

	if (r < 0)
		return r;
	i->started_ms = loop_now(i->n->loop);
	i->starts++;
	r = spawner_inspect(i->n->spawner, theirs, &i->pid);
	if (r >= 0)
		r = parts_adopt(i->n->parts, STEAL_FD(ours), ROLE_INSPECT, i->pid);
	if (r < 0)
		i->pid = 0; /* without its pair it ends */
	return r;
}

static void on_again(struct loop *l, struct timer *t)
{
	struct inspector *i = container_of(t, struct inspector, again);
	int r;

	(void)l;
	if (i->pid)
		return;
	r = start(i);
	if (r >= 0)
		return;
	log_line(LOG_ERR, "event=inspector_not_started errno=%d", -r);
	start_later(i);
}

int inspector_new(struct netd *n, struct inspector **ret)
{
	struct inspector *i = calloc(1, sizeof(*i));
	int r;

	if (!i)
		return -ENOMEM;
	i->n = n;
	i->spawner = (struct watch){ .fd = n->spawner, .events = EPOLLIN, .fn = on_spawner_end };
	i->again.fn = on_again;
	i->backoff_ms = BACKOFF_MIN_MS;
	r = loop_add(n->loop, &i->spawner);
	if (r < 0) {
		free(i);
		return r;
	}
	*ret = i;
	on_again(n->loop, &i->again);
	return 0;
}

void inspector_free(struct inspector *i)
{
	if (!i)
		return;
	loop_disarm(i->n->loop, &i->again);
	loop_del(i->n->loop, &i->spawner);
	free(i);
}

void inspector_lost(struct netd *n)
{
	n->inspector->serving = false;
	n->inspector->pid = 0;
	start_later(n->inspector);
}

int inspector_queue_rule(struct netd *n)
{
	struct inspector *i = n->inspector;
	int r;

	if (!i || !i->rule_wanted)
		return 0;
	r = ruleset_queue_rule(n->rules, RULESET_QUEUE, &i->native);
	if (r < 0)
		log_line(LOG_ERR, "event=queue_rule_failed errno=%d", -r);
	return r;
}

void inspector_ready(struct netd *n)
{
	struct inspector *i = n->inspector;

	i->serving = true;
	i->rule_wanted = true;
	inspector_queue_rule(n);
	guard_settle(n);
	log_line(LOG_NOTE, "event=inspector_ready pid=%d queue=%s", (int)i->pid,
		 i->native ? "native" : "xt");
}

bool inspector_serving(const struct inspector *i)
{
	return i->serving;
}

json_t *inspector_json(const struct inspector *i)
{
	return json_pack("{s:i, s:b, s:i, s:s}", "pid", (int)i->pid, "serving", i->serving,
			 "starts", (int)i->starts, "queue",
			 !i->rule_wanted ? "none"
			 : i->native	 ? "native"
					 : "xt");
}

/* ---- verdicts ---- */

static void verdict_line(struct netd *n, const struct msg_verdict *m, const struct sandbox *s,
			 const struct name *nm, struct audit_line *l)
{
	const struct policy *policy = profiles_policy(n->profiles, mark_profile(m->mark));
	struct name_decision d = { .rule = "default" };
	struct audit_head h = { .event = "flow",
				.sandbox = s ? s->name : "",
				.profile = profiles_name(n->profiles, mark_profile(m->mark)),
				.decision = m->reason ? "deny" : "allow",
				.reason = reason_text(m->reason),
				.policy = policy ? policy_sha256(policy) : "" };
	char saddr[ADDR_TEXT_MAX], daddr[ADDR_TEXT_MAX], real[ADDR_TEXT_MAX];

	if (policy && nm)
		policy_decide_name(policy, nm->text, &d);
	h.rule = d.rule;
	addr_format(&m->saddr, saddr);
	addr_format(&m->daddr, daddr);
	audit_begin(l, &h);
	audit_str(l, "name", nm ? nm->text : "");
	audit_str(l, "saddr", saddr);
	audit_str(l, "daddr", daddr);
	if (nm && nm->real[m->daddr.family == 6].family) {
		addr_format(&nm->real[m->daddr.family == 6], real);
		audit_str(l, "real", real);
	}
	audit_str(l, "proto", "tcp");
	audit_u64(l, "port", m->dport);
	audit_rd(l, "sni", rd_of(m->sni, m->sni_len));
	if (m->lost)
		audit_u64(l, "lost", m->lost);
}

static void note(struct netd *n, const struct msg_verdict *m, const char *to)
{
	char what[MSG_NAME + MSG_WHAT], sni[4 * MSG_LABEL + 4];

	bytes_escape(rd_of(m->sni, m->sni_len), MSG_LABEL, sni, sizeof(sni));
	snprintf(what, sizeof(what), "connection to %s port %u%s%s", to, m->dport,
		 m->sni_len ? ", server name " : "", sni);
	recent_note(n->recent, mark_sandbox(m->mark), (enum reason)m->reason, what);
}

int inspector_verdict(struct netd *n, const struct msg_verdict *m)
{
	const struct sandbox *s = registry_by_id(n->registry, mark_sandbox(m->mark));
	const struct name *nm = NULL;
	char key[512], daddr[ADDR_TEXT_MAX];
	struct audit_line l;
	uint32_t index;

	if (m->sni_len > sizeof(m->sni) || m->reason >= REASON_COUNT)
		return -EPROTO;
	if (pool_index(&n->config->pool, &m->daddr, &index))
		nm = names_at(n->names, index);
	verdict_line(n, m, s, nm, &l);
	addr_format(&m->daddr, daddr);
	if (m->reason)
		note(n, m, nm ? nm->text : daddr);
	snprintf(key, sizeof(key), "flow %u %s %u %s", mark_sandbox(m->mark), daddr, m->dport,
		 reason_text(m->reason));
	return audit_aggregate(n->audit, key, &l) == -ENOMEM ? -ENOMEM : 0;
}
