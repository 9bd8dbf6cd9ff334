/*
 * inspector.c - cordon-inspect, netd's child
 *
 * Theory of operation: the inspector is started with one end of a socket pair on descriptor 3 and
 * with CAP_NET_ADMIN, which the kernel demands of whoever gives verdicts. It binds its queue, says
 * HELLO on the pair, gets every name, END, and only then the rule that queues packets to it is put
 * in; before that, and whenever it is dead, packets that want inspection are dropped by the rule
 * behind (and by a queue that nobody listens on). When it dies it is started again, after 50 ms
 * doubling to 1 s. What it decided comes back as VERDICT: it knows no sandbox by name, so the audit
 * line is written here.
 */
#include "netd/inspector.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#include "base/log.h"
#include "base/proc.h"
#include "netd/guard.h"
#include "netd/names.h"
#include "netd/parts.h"
#include "netd/profiles.h"
#include "netd/registry.h"
#include "policy/mark.h"

enum {
	BACKOFF_MIN_MS = 50,
	BACKOFF_MAX_MS = 1000,
	LIVED_MS = 10000,
	END_MS = 1000,
	PAIR_FD = 3,
	ENV_MAX = 6
};

struct inspector {
	struct netd *n;
	struct watch watch; /* its pidfd */
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

static void on_exit_event(struct loop *l, struct watch *w, uint32_t events)
{
	struct inspector *i = container_of(w, struct inspector, watch);
	int status = 0;

	(void)events;
	if (waitpid(i->pid, &status, WNOHANG) == 0)
		return;
	log_line(LOG_ERR, "event=inspector_ended pid=%d status=%d signal=%d", (int)i->pid,
		 WIFEXITED(status) ? WEXITSTATUS(status) : -1,
		 WIFSIGNALED(status) ? WTERMSIG(status) : 0);
	loop_del(l, w);
	close(w->fd);
	w->fd = -1;
	i->pid = 0;
	i->serving = false;
	start_later(i);
}

/* Debug and sanitizer settings of a test pass; nothing else of our environment. */
static void environment(const char *ret[ENV_MAX], char buf[ENV_MAX][512])
{
	static const char *const names[] = { "CORDON_DEBUG", "ASAN_OPTIONS", "UBSAN_OPTIONS",
					     "LSAN_OPTIONS" };
	size_t n = 0;

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		const char *v = getenv(names[i]);

		if (v && snprintf(buf[n], 512, "%s=%s", names[i], v) < 512) {
			ret[n] = buf[n];
			n++;
		}
	}
	ret[n] = NULL;
}

int inspector_program(void)
{
	AUTO(fd) int fd = -1;
	char path[4096];
	int r = proc_program("cordon-inspect", path, sizeof(path));

	if (r < 0)
		return r;
	fd = open(path, O_PATH | O_CLOEXEC);
	r = fd < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, PAIR_FD + 1);
	return r < 0 ? -errno : r;
}

static int start_with(struct inspector *i, int theirs, int *ret_pidfd)
{
	char path[32], queue[8], pool4[ADDR_TEXT_MAX], pool6[ADDR_TEXT_MAX], buf[ENV_MAX][512];
	const char *env[ENV_MAX];
	const char *argv[] = { "cordon-inspect", "--pair-fd", "3",	 "--queue", queue,
			       "--pool4",	 pool4,	      "--pool6", pool6,	    NULL };
	const struct proc_fd fds[] = { { theirs, PAIR_FD } };
	const struct proc_spec spec = { .path = path,
					.argv = argv,
					.envp = env,
					.fds = fds,
					.nfds = 1,
					.die_with_parent = true,
					.ambient = CAP_BIT(CAP_NET_ADMIN) };

	snprintf(path, sizeof(path), "/proc/self/fd/%d", i->n->inspect_program);
	snprintf(queue, sizeof(queue), "%d", RULESET_QUEUE);
	prefix_format(&i->n->config->pool.v4, pool4);
	prefix_format(&i->n->config->pool.v6, pool6);
	environment(env, buf);
	return proc_spawn(&spec, &i->pid, ret_pidfd);
}

static int start(struct inspector *i)
{
	AUTO(fd) int ours = -1;
	AUTO(fd) int theirs = -1;
	AUTO(fd) int pidfd = -1;
	int pair[2], r = ipc_pair(pair);

	if (r < 0)
		return r;
	ours = pair[0];
	theirs = pair[1];
	i->started_ms = loop_now(i->n->loop);
	i->starts++;
	r = start_with(i, theirs, &pidfd);
	if (r < 0) {
		i->pid = 0;
		return r;
	}
	i->watch = (struct watch){ .fd = pidfd, .events = EPOLLIN, .fn = on_exit_event };
	r = loop_add(i->n->loop, &i->watch);
	if (r >= 0)
		r = parts_adopt(i->n->parts, STEAL_FD(ours), ROLE_INSPECT, i->pid);
	if (r < 0) {
		loop_del(i->n->loop, &i->watch);
		i->watch.fd = -1;
		kill(i->pid, SIGKILL);
		waitpid(i->pid, NULL, 0);
		i->pid = 0;
		return r;
	}
	STEAL_FD(pidfd);
	return 0;
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

	if (!i)
		return -ENOMEM;
	i->n = n;
	i->watch.fd = -1;
	i->again.fn = on_again;
	i->backoff_ms = BACKOFF_MIN_MS;
	*ret = i;
	on_again(n->loop, &i->again);
	return 0;
}

/* A child that hangs at its end must not keep us: whoever starts us again waits. */
static void end_child(struct inspector *i)
{
	struct pollfd ended = { .fd = i->watch.fd, .events = POLLIN };

	kill(i->pid, SIGTERM);
	if (poll(&ended, 1, END_MS) <= 0)
		kill(i->pid, SIGKILL);
	waitpid(i->pid, NULL, 0);
}

void inspector_free(struct inspector *i)
{
	if (!i)
		return;
	loop_disarm(i->n->loop, &i->again);
	loop_del(i->n->loop, &i->watch);
	if (i->pid)
		end_child(i);
	if (i->watch.fd >= 0)
		close(i->watch.fd);
	free(i);
}

/* A closed pair ends the process sooner or later; make it sooner, so that one serves again. */
void inspector_lost(struct netd *n)
{
	n->inspector->serving = false;
	if (n->inspector->pid)
		kill(n->inspector->pid, SIGKILL);
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
	snprintf(key, sizeof(key), "flow %u %s %u %s", mark_sandbox(m->mark), daddr, m->dport,
		 reason_text(m->reason));
	return audit_aggregate(n->audit, key, &l) == -ENOMEM ? -ENOMEM : 0;
}
