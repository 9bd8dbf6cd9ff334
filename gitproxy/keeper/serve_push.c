/*
 * serve_push.c - pushes, which cordon-mirror's process judges
 *
 * Theory of operation: the push goes there with the policy's rules for this repository; this thread
 * waits on the socket that stands for it. What arrives there is what may be done for it: one PUSH, for
 * which the policy in force by then is asked again about every command, and whose commands are written
 * from the checked list; and one PUSHED, from which the line of the audit is made. Where it says less or
 * other than what was seen here, it is what was seen that is written: a push of which nobody tells is
 * in the audit too. Only this code has commands of receive-pack sent, so the mirror's process, taken
 * over, can push what the policy lets this sandbox push, and to this repository.
 * Nothing goes out while the audit cannot be written.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <sys/stat.h>

#include "base/log.h"
#include "gitproxy/deadline.h"
#include "gitproxy/keeper/serve_job.h"
#include "gitproxy/mirror_ipc.h"

enum { MORE_MS = 60000,		/* for each step, beyond the time that a transfer has */
       PUSHED_MAX = PUSHED_LIST_MAX * (sizeof(struct mirror_pushed_command) + sizeof(struct mirror_pushed_finding)) };

struct pushing {
	struct job *j;
	const struct view_sandbox *sb;
	const struct repo_decision *decision;
	struct upstream_request *rq;
	struct upstream_push push;
	struct upstream_outcome up;	/* of what went upstream */
	struct mirror_pushed told;
	struct mirror_verdict verdict;
	char *lists;			/* behind `told`; heap */
	bool asked, tells, over;
	enum reason refused;		/* of PUSH, by us */
};

/* ---- may it go out ---- */

/* The rules in force by now, if this is still the same sandbox. */
static enum reason rules_now(struct pushing *p, struct push_rules *ret)
{
	enum reason reason = REASON_UNAVAILABLE;
	struct view_sandbox now;

	for (size_t i = 0; i < ARRAY_SIZE(p->sb->addr) && reason == REASON_UNAVAILABLE; i++) {
		if (!p->sb->addr[i].family || serve_who(p->j->serve, &p->sb->addr[i], &now) != REASON_NONE)
			continue;
		policy_push_rules(now.policy, p->rq->host, p->rq->open->repo, ret);
		reason = now.id == p->sb->id && ret->allowed ? REASON_NONE : REASON_PUSH_NOT_ALLOWED;
		p->rq->private_ok = serve_private_ok(&now, p->rq->host);
		view_sandbox_done(&now);
	}
	return reason;
}

/* Fast-forward or not is the gate's to find out; all else of a command is seen here. */
static enum reason judge_command(const struct push_rules *rules, const struct push_command *c)
{
	enum push_op op = push_command_deletes(c) ? PUSH_DELETE : push_command_creates(c) ? PUSH_CREATE : PUSH_UPDATE;

	return push_rules_ref(rules, c->ref, op, NULL);
}

static enum reason judge_list(const struct push_rules *rules, const struct push_list *l)
{
	if (l->n_options && !rules->options)
		return REASON_CAPABILITY_NOT_ALLOWED;
	for (uint32_t i = 0; i < l->n_commands; i++) {
		enum reason reason = judge_command(rules, push_list_command(l, i));

		if (reason != REASON_NONE)
			return reason;
	}
	return REASON_NONE;
}

static enum reason judge_pack(const struct push_rules *rules, const struct push_list *l, int pack, uint64_t bytes)
{
	struct stat st;

	if (!l->has_pack)
		return pack < 0 && !bytes ? REASON_NONE : REASON_PACK_MALFORMED;
	if (pack < 0 || !bytes || fstat(pack, &st) < 0 || !S_ISREG(st.st_mode) || (uint64_t)st.st_size != bytes)
		return REASON_PACK_MALFORMED;
	return bytes <= rules->max_pack_bytes ? REASON_NONE : REASON_PACK_LIMIT_EXCEEDED;
}

static enum reason refuse(struct pushing *p, enum reason reason, const char *why)
{
	snprintf(p->up.detail, sizeof(p->up.detail), "%s", why);
	return reason;
}

static enum reason judge(struct pushing *p, const struct ipc_in *in)
{
	const struct mirror_push *q = (const struct mirror_push *)in->body;
	AUTO(mem) struct push_rules *rules = malloc(sizeof(*rules));
	enum reason reason;

	if (p->asked || p->tells || !rules)
		return refuse(p, REASON_INTERNAL_ERROR, "asked for out of order");
	if (audit_ready(p->j->audit) < 0)
		return REASON_AUDIT_UNAVAILABLE;
	if (push_list_read(in->fd[MIRROR_PUSH_LIST], &p->push.list) < 0)
		return refuse(p, REASON_INTERNAL_ERROR, "the list of commands is malformed");
	reason = rules_now(p, rules);
	if (reason == REASON_NONE)
		reason = judge_list(rules, p->push.list);
	if (reason == REASON_NONE)
		reason = judge_pack(rules, p->push.list, in->fd[MIRROR_PUSH_PACK], q->pack_bytes);
	p->push.pack_bytes = q->pack_bytes;
	return reason == REASON_NONE ? reason : refuse(p, reason, "not what the policy in force allows");
}

static void send_on(struct pushing *p, const struct ipc_in *in)
{
	struct upstream_request rq = *p->rq;
	enum reason reason = judge(p, in);

	p->asked = true;
	p->refused = reason;
	if (reason != REASON_NONE) {
		serve_refuse(in->fd[MIRROR_PUSH_ANSWER], reason);
		return;
	}
	rq.private_ok = p->rq->private_ok;	/* by the policy that allowed it */
	rq.answer = in->fd[MIRROR_PUSH_ANSWER];
	rq.body = in->fd[MIRROR_PUSH_PACK];
	rq.push = &p->push;
	upstream_run(p->j->upstream, &rq, &p->up);
}

static bool on_push(struct pushing *p, const struct ipc_in *in)
{
	const struct mirror_push *q = (const struct mirror_push *)in->body;
	int answer = in->fd[MIRROR_PUSH_ANSWER];
	bool ssh = serve_only_mirror(p->rq->credential);

	if (in->head.length != sizeof(*q) || answer < 0 || in->fd[MIRROR_PUSH_LIST] < 0 || !mirror_push_ok(q))
		return false;
	if (ssh && !serve_ssh_push_begin(p->j->serve, p->sb->id)) {
		p->refused = refuse(p, REASON_UNAVAILABLE, "too many pushes over ssh at once");
		serve_refuse(answer, p->refused);
		return true;
	}
	send_on(p, in);
	if (ssh)
		serve_ssh_push_end(p->j->serve, p->sb->id);
	return true;
}

/* Objects of LFS that it needs, before it goes. */
static bool on_lfs(struct pushing *p, const struct ipc_in *in)
{
	AUTO(mem) struct push_rules *rules = malloc(sizeof(*rules));
	enum reason reason = rules && !p->asked && !p->tells ? rules_now(p, rules) : REASON_INTERNAL_ERROR;

	if (reason == REASON_NONE && !rules->lfs)
		reason = REASON_LFS_NOT_ALLOWED;
	if (reason == REASON_NONE && audit_ready(p->j->audit) < 0)
		reason = REASON_AUDIT_UNAVAILABLE;
	return in->head.length == sizeof(struct mirror_lfs) && mirror_lfs_ok((const struct mirror_lfs *)in->body) &&
	       serve_lfs_of_push(p->j, p->sb, p->rq, in, reason);
}

/* ---- the audit ---- */

static bool lists_ok(const struct mirror_pushed *t, const char *lists)
{
	const struct mirror_pushed_command *c = (const void *)lists;
	const struct mirror_pushed_finding *f = (const void *)(c + t->commands);
	bool ok = true;

	for (size_t i = 0; i < t->commands; i++)
		ok &= mirror_pushed_command_ok(&c[i]);
	for (size_t i = 0; i < t->findings; i++)
		ok &= mirror_pushed_finding_ok(&f[i]);
	return ok;
}

static void put_oid(struct audit_line *l, const char *field, const struct oid *o, uint8_t format)
{
	static const struct oid zero;
	char text[OID_HEX_MAX + 1] = "";
	struct wr w = wr_of(text, OID_HEX_MAX);

	if (memcmp(o, &zero, sizeof(zero)))
		oid_write(&w, o, (enum object_format)format);
	audit_str(l, field, text);
}

static void put_commands(struct audit_line *l, const struct pushing *p)
{
	const struct mirror_pushed_command *c = (const void *)p->lists;

	audit_list(l, "commands");
	for (size_t i = 0; i < p->told.commands; i++, c++) {
		const char *no = c->reason ? reason_text((enum reason)c->reason) : "refused";

		audit_item(l);
		audit_rd(l, "ref", rd_str(c->ref));
		put_oid(l, "old", &c->old, p->told.format);
		put_oid(l, "new", &c->new, p->told.format);
		audit_str(l, "op", push_op_text((enum push_op)c->op));
		audit_str(l, "result", c->accepted ? "ok" : no);
		if (!audit_item_end(l))
			break;
	}
	audit_list_end(l);
}

static void put_findings(struct audit_line *l, const struct pushing *p)
{
	const struct mirror_pushed_command *c = (const void *)p->lists;
	const struct mirror_pushed_finding *f = (const void *)(c + p->told.commands);

	audit_list(l, "findings");
	for (size_t i = 0; i < p->told.findings; i++, f++) {
		audit_item(l);
		audit_str(l, "rule", f->rule);
		audit_rd(l, "path", rd_str(f->path));
		put_oid(l, "object", &f->object, p->told.format);
		audit_u64(l, "line", f->line);
		audit_str(l, "fingerprint", f->fingerprint);
		audit_str(l, "weight", f->weight);
		if (!audit_item_end(l))
			break;
	}
	audit_list_end(l);
}

/* What is told must fit what was seen; and somebody must tell. */
static void settle(struct pushing *p)
{
	struct mirror_pushed *t = &p->told;

	if (!p->tells)
		t->reason = p->verdict.reason ? p->verdict.reason : p->up.reason ? p->up.reason : REASON_INTERNAL_ERROR;
	if (!p->tells && p->push.list)
		t->n_commands = p->push.list->n_commands;
	if (p->refused != REASON_NONE)
		t->reason = p->refused;
	if (!p->push.sent && t->outcome != PUSH_REJECTED) {
		t->outcome = PUSH_REJECTED;
		t->reason = t->reason ? t->reason : REASON_INTERNAL_ERROR;
	}
	if (p->push.sent && t->outcome == PUSH_REJECTED)
		t->outcome = PUSH_INDETERMINATE;
	if (!t->detail[0])
		msg_plain_set(t->detail, sizeof(t->detail), p->up.detail[0] ? p->up.detail : p->verdict.detail);
}

/* For the sandbox's own page, and for whoever looks after it. */
static void tell_netd(const struct pushing *p)
{
	const struct mirror_pushed_command *c = (const void *)p->lists;
	struct msg_refused m = { .sandbox = p->sb->id, .reason = p->told.reason };
	char what[MSG_NAME + GP_REPO_MAX + PUSH_PATTERN_MAX + 16];

	snprintf(what, sizeof(what), "push %s/%s%s%s", p->rq->host, p->rq->open->repo, p->told.commands ? " " : "",
		 p->told.commands ? c->ref : "");
	msg_plain_set(m.what, sizeof(m.what), what);
	view_send(p->j->view, MSG_REFUSED, 0, &m);
}

static void audit_push(struct pushing *p)
{
	const struct mirror_pushed *t = &p->told;
	struct audit_head h = { .event = "push", .sandbox = p->sb->name, .profile = policy_name(p->sb->policy),
				.rule = p->decision->rule, .policy = policy_sha256(p->sb->policy) };
	char key[MSG_LABEL + MSG_NAME + GP_REPO_MAX + 64];
	struct audit_line l;
	bool many;

	settle(p);
	many = t->outcome == PUSH_REJECTED && serve_many_lines(p->j->serve, p->sb);
	if (t->outcome == PUSH_REJECTED)
		tell_netd(p);
	h.decision = t->outcome == PUSH_REJECTED ? "deny" : "allow";
	h.reason = reason_text((enum reason)t->reason);
	audit_begin(&l, &h);
	audit_rd(&l, "host", rd_str(p->rq->host));
	audit_rd(&l, "repo", rd_str(p->rq->open->repo));
	audit_str(&l, "service", "git-receive-pack");
	audit_str(&l, "outcome", push_outcome_text((enum push_outcome)t->outcome));
	if (p->rq->credential)
		audit_str(&l, "credential", p->rq->credential->of->name);
	if (many) {
		snprintf(key, sizeof(key), "%s|push|%s|%s|%s", p->sb->name, p->rq->host, p->rq->open->repo, h.reason);
		audit_aggregate(p->j->audit, key, &l);
		return;
	}
	audit_u64(&l, "objects", t->objects);
	audit_u64(&l, "bytes_up", t->bytes_up);
	audit_u64(&l, "status", p->up.status);
	audit_u64(&l, "ms", deadline_now() - p->j->started);
	audit_rd(&l, "detail", rd_str(t->detail));
	audit_u64(&l, "n_findings", t->n_findings);
	audit_u64(&l, "n_commands", t->n_commands);
	put_findings(&l, p);
	put_commands(&l, p);
	audit_put(p->j->audit, &l);
}

/* ---- the conversation ---- */

static bool on_pushed(struct pushing *p, const struct ipc_in *in)
{
	const struct mirror_pushed *t = (const struct mirror_pushed *)in->body;
	AUTO(mem) char *lists = NULL;
	size_t n;

	if (p->tells || in->head.length != sizeof(*t) || in->fd[0] < 0 || !mirror_pushed_ok(t) ||
	    ipc_memfd_read(in->fd[0], PUSHED_MAX, &lists, &n) < 0 ||
	    n != t->commands * sizeof(struct mirror_pushed_command) +
			    t->findings * sizeof(struct mirror_pushed_finding) ||
	    !lists_ok(t, lists))
		return false;
	p->told = *t;
	p->lists = STEAL(lists);
	p->tells = true;
	audit_push(p);
	return true;
}

static bool on_verdict(struct pushing *p, const struct ipc_in *in)
{
	const struct mirror_verdict *v = (const struct mirror_verdict *)in->body;

	if (in->head.length != sizeof(*v) || !mirror_verdict_ok(v) || v->how != MIRROR_SERVED)
		return false;
	p->verdict = *v;
	p->over = true;
	return true;
}

/* False: it is not what our own process does, or it has died. */
static bool step(struct pushing *p, int from)
{
	struct ipc_in in;
	bool ok = false;

	if (deadline_wait(from, POLLIN, deadline_in((uint64_t)p->j->config->total_ms + MORE_MS)) < 0 ||
	    ipc_recv(from, &in) < 0)
		return false;
	if (in.head.type == MSG_MIRROR_PUSH)
		ok = on_push(p, &in);
	else if (in.head.type == MSG_MIRROR_LFS_ASK || in.head.type == MSG_MIRROR_LFS_BRING)
		ok = on_lfs(p, &in);
	else if (in.head.type == MSG_MIRROR_PUSHED)
		ok = on_pushed(p, &in);
	else if (in.head.type == MSG_MIRROR_VERDICT)
		ok = on_verdict(p, &in);
	ipc_in_done(&in);
	return ok;
}

/* -1: there are none, or none that count: what others could write accepts nothing. */
static int open_exceptions(const char *path)
{
	AUTO(fd) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	struct stat st;

	if (fd < 0 && errno == ENOENT)
		return -1;
	if (fd >= 0 && !fstat(fd, &st) && S_ISREG(st.st_mode) && !st.st_uid && !(st.st_mode & 022))
		return STEAL_FD(fd);
	log_line(LOG_WARN, "event=exceptions_ignored file=%s fix=\"chown root:root, chmod 644\"", path);
	return -1;
}

int serve_push_hand_over(struct job *j, const struct view_sandbox *sb, const struct upstream_request *rq,
			 const struct mirror_serve *q, int *ret_verdict)
{
	AUTO(mem) struct push_rules *rules = malloc(sizeof(*rules));
	AUTO(fd) int file = -1;
	AUTO(fd) int exceptions = -1;

	if (!rules)
		return -ENOMEM;
	policy_push_rules(sb->policy, rq->host, rq->open->repo, rules);
	file = ipc_memfd("push-rules", rules, sizeof(*rules));
	if (file < 0)
		return file;
	exceptions = open_exceptions(j->config->scan_exceptions);
	return serve_mirror_hand_over(q, rq->answer, (int[]){ file, exceptions }, exceptions < 0 ? 1 : 2, ret_verdict);
}

static int hand_over(struct pushing *p, int *ret_from)
{
	struct mirror_serve q;

	if (!serve_mirror_begin(p->sb, p->rq, &q))
		return -ENOMEM;
	if (!mirror_is_push(&q))
		return serve_mirror_hand_over(&q, p->rq->answer, NULL, 0, ret_from);
	return serve_push_hand_over(p->j, p->sb, p->rq, &q, ret_from);
}

void serve_push(struct job *j, const struct view_sandbox *sb, const struct repo_decision *d,
		struct upstream_request *rq, struct upstream_outcome *ret)
{
	struct pushing p = { .j = j, .sb = sb, .decision = d, .rq = rq };
	AUTO(fd) int from = -1;
	bool ok = !hand_over(&p, &from);

	while (ok && !p.over)
		ok = step(&p, from);
	if (!p.over)
		serve_refuse(rq->answer, REASON_INTERNAL_ERROR); /* what is out already makes it a broken answer */
	serve_mirror_verdict(&p.verdict, ret);
	if (!p.over)
		*ret = (struct upstream_outcome){ .reason = REASON_INTERNAL_ERROR };
	if (rq->open->kind == GP_RPC) {
		if (!p.tells && (p.asked || ret->reason != REASON_NONE))
			audit_push(&p);
		ret->reason = REASON_NONE;	/* that is the line of it */
	}
	free(p.push.list);
	free(p.lists);
}
