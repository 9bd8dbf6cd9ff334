/*
 * control.c - RUN/mirror.sock: `cordon mirror`
 *
 * Theory of operation: root asks, which the socket's mode and the kernel's word on the peer both say; one
 * question at a time on a connection, a thread each. What takes long runs in a thread of its own
 * (control_task.c), while this one tells how far it is, each second, and notices who hangs up: then no
 * further repository is begun, and the one that was is finished for nobody. Invariants: texts that come
 * are names until they were checked as such, and never become paths on this disk.
 */
#include "gitproxy/mirror/control.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <strings.h>

#include "base/log.h"
#include "base/proc.h"
#include "base/msg_mirror.h"
#include "base/thread.h"
#include "gitproxy/deadline.h"
#include "gitproxy/mirror/control_task.h"
#include "gitproxy/mirror/tell.h"

enum { CONNECTIONS_MAX = 16, STACK = 1 << 20, SEND_S = 10, TELL_MS = 1000, EXIT_OK = 0, EXIT_FAILED = 1 };

struct control {
	struct depot *d;
	int fd;
	pthread_mutex_t lock;
	unsigned connections;
};

struct caller {
	struct control *c;
	int fd;
	uint32_t sequence;
	const struct msg_mirror_do *q;
	unsigned done, failed;		/* repositories */
	bool gone;
};

int control_open(const struct host_config *c)
{
	int r = proc_mkdir(c->run_dir, 0711, 0, 0);	/* netd, which makes it too, may come later */
	char path[512];

	if (snprintf(path, sizeof(path), "%s/mirror.sock", c->run_dir) >= (int)sizeof(path))
		return -ENAMETOOLONG;
	return r < 0 ? r : ipc_listen(path, 0600, (gid_t)-1);
}

/* ---- telling ---- */

static void send_row(struct caller *k, const struct msg_mirror_row *row)
{
	k->gone |= msg_send(k->fd, MSG_MIRROR_ROW, k->sequence, row) < 0;
}

/* Under its lock. */
static void add_counts(const struct repo *x, struct msg_mirror_row *row)
{
	row->served += x->served;
	row->received += x->received;		/* a moment old is good enough */
	row->questions += x->questions;
	row->shared += x->shared;
	row->question_ms += x->question_ms;
}

static void describe(struct repo *x, struct msg_mirror_row *row)
{
	msg_plain_set(row->host, sizeof(row->host), x->host);
	msg_plain_set(row->repo, sizeof(row->repo), x->path);
	msg_plain_set(row->credential, sizeof(row->credential), x->domain.credential);
	pthread_mutex_lock(&x->lock);
	row->bytes = x->bytes;
	row->refs = x->n_refs;
	add_counts(x, row);
	row->packs = x->packs;
	row->refreshed = x->refreshed;
	row->used = x->used;
	msg_plain_set(row->state, sizeof(row->state),
		      x->too_large ? "too large" : x->state == REPO_COLD ? (x->refreshing ? "fetching" : "none") :
		      x->refused ? "refused" : x->doubted ? "in doubt" : x->tended ? "maintaining" : x->refreshing ? "refreshing" : "ready");
	pthread_mutex_unlock(&x->lock);
}

static void reply(struct caller *k, int code, unsigned status, const char *text)
{
	struct msg_reply m = { .code = code, .exit_status = status };

	msg_plain_set(m.text, sizeof(m.text), text);
	msg_send(k->fd, MSG_REPLY, k->sequence, &m);
}

/* ---- which ones ---- */

static bool meant(const struct caller *k, const struct repo *x)
{
	/* Case does not matter here: what is done to a mirror too many costs a fetch. */
	return !*k->q->host || (!strcasecmp(k->q->host, x->host) && !strcasecmp(k->q->repo, x->path));
}

static void list_one(void *owner, struct repo *x)
{
	struct msg_mirror_row row = { .kind = MIRROR_ROW_REPO };
	struct caller *k = owner;

	if (k->gone || !meant(k, x))
		return;
	describe(x, &row);
	if (!strcmp(row.state, "none"))
		return;
	k->done++;
	send_row(k, &row);
}

static void count_one(void *owner, struct repo *x)
{
	struct msg_mirror_row *row = owner;

	pthread_mutex_lock(&x->lock);
	row->mirrors += x->state == REPO_WARM;
	row->bytes += x->bytes;
	add_counts(x, row);
	pthread_mutex_unlock(&x->lock);
}

static void count(struct caller *k)
{
	struct msg_mirror_row row = { .kind = MIRROR_ROW_COUNTS, .max_bytes = k->c->d->config->mirrors.max_bytes };
	struct spool_counters s = spool_count(k->c->d->spool);

	repos_each(k->c->d->repos, count_one, &row);
	row.kept_bytes = s.bytes;
	row.kept = s.entries;
	row.hits = s.hits;
	row.misses = s.misses;
	row.coalesced = s.coalesced;
	send_row(k, &row);
}

/* ---- work ---- */

static bool hung_up(const struct caller *k)
{
	struct pollfd p = { .fd = k->fd, .events = POLLRDHUP };

	return poll(&p, 1, 0) > 0 && p.revents & (POLLRDHUP | POLLHUP | POLLERR);
}

static void tell_progress(struct caller *k, const struct task *t)
{
	struct msg_mirror_row row = { .kind = MIRROR_ROW_PROGRESS };

	describe(t->x, &row);
	row.bytes = t->x->received - t->received;	/* a moment old is good enough */
	send_row(k, &row);
	k->gone |= hung_up(k);
}

static void tell_done(struct caller *k, const struct task *t)
{
	struct msg_mirror_row row = { .kind = MIRROR_ROW_DONE, .result = t->result };

	describe(t->x, &row);
	msg_plain_set(row.text, sizeof(row.text), t->text);
	k->done++;
	k->failed += t->result != 0;
	send_row(k, &row);
}

static void work_on(void *owner, struct repo *x)
{
	struct caller *k = owner;
	struct task *t;

	if (k->gone || !meant(k, x) || (k->q->command != MIRROR_DO_PREWARM && !repo_is_there(x)))
		return;
	t = task_start(k->c->d, x, k->q);
	if (!t) {
		k->failed++;
		return;
	}
	while (!k->gone && !task_wait(t, TELL_MS))
		tell_progress(k, t);
	if (!k->gone)
		tell_done(k, t);
	task_put(t);
}

static const char *why_not(enum reason r)
{
	if (r == REASON_REPOSITORY_NOT_ALLOWED)	/* or not as it is spelled */
		return "no profile with git.source host_mirror grants it, nor is it in git.mirrors.prewarm";
	if (r == REASON_UPSTREAM_DENIED)
		return "its credential cannot be used: cordon log says why";
	if (r == REASON_UNAVAILABLE)
		return "cordon-netd is not there: cordon status";
	return r == REASON_NOT_GIT ? "not a repository: write HOST/OWNER/NAME" : "cordon-keeper did not answer";
}

static void prewarm(struct caller *k)
{
	struct mirror_domain_of of;
	enum reason reason = tell_whose(k->c->d->refresh.keeper, k->q->host, k->q->repo, &of);
	struct repo *x = reason == REASON_NONE ? repo_get(k->c->d->repos, &of.domain, k->q->host, of.repo) : NULL;
	struct msg_mirror_row row = { .kind = MIRROR_ROW_DONE, .result = -EACCES };

	if (x) {
		work_on(k, x);
		repo_put(k->c->d->repos, x);
		return;
	}
	msg_plain_set(row.host, sizeof(row.host), k->q->host);
	msg_plain_set(row.repo, sizeof(row.repo), k->q->repo);
	msg_plain_set(row.text, sizeof(row.text), reason == REASON_NONE ? "too many spellings of its name are mirrored: cordon mirror ls" :
						  why_not(reason));
	k->done++;
	k->failed++;
	send_row(k, &row);
}

static void answer(struct caller *k)
{
	if (k->q->command == MIRROR_DO_COUNT)
		count(k);
	else if (k->q->command == MIRROR_DO_PREWARM)
		prewarm(k);
	else
		repos_each(k->c->d->repos, k->q->command == MIRROR_DO_LIST ? list_one : work_on, k);
	if (*k->q->host && !k->done)
		reply(k, -ENOENT, EXIT_FAILED, "there is no mirror of it: cordon mirror ls");
	else
		reply(k, 0, k->failed ? EXIT_FAILED : EXIT_OK, "");
}

/* ---- connections ---- */

static void serve(struct caller *k)
{
	struct ipc_in in;

	while (!k->gone && ipc_recv(k->fd, &in) == 0) {
		k->q = msg_body(&in, MSG_MIRROR_DO);
		k->sequence = in.head.sequence;
		k->done = k->failed = 0;
		k->gone = !k->q || !msg_mirror_do_ok(k->q) ||
			  (k->q->command == MIRROR_DO_PREWARM && !*k->q->host);
		if (!k->gone) {
			upkeep_wait_known(k->c->d->upkeep);
			answer(k);
		}
		ipc_in_done(&in);
	}
}

static void *caller_main(void *arg)
{
	AUTO(mem) struct caller *k = arg;

	serve(k);
	close(k->fd);
	pthread_mutex_lock(&k->c->lock);
	k->c->connections--;
	pthread_mutex_unlock(&k->c->lock);
	return NULL;
}

static int start(void *(*fn)(void *), void *arg)
{
	return thread_start(STACK, fn, arg);
}

static bool admit(struct control *c)
{
	bool ok;

	pthread_mutex_lock(&c->lock);
	ok = c->connections < CONNECTIONS_MAX;
	c->connections += ok;
	pthread_mutex_unlock(&c->lock);
	return ok;
}

static void take(struct control *c, int fd /* takes */)
{
	struct timeval limit = { .tv_sec = SEND_S };
	AUTO(mem) struct caller *k = calloc(1, sizeof(*k));
	AUTO(fd) int mine = fd;
	uid_t uid;

	if (!k || ipc_peer(fd, &uid, NULL) < 0 || uid != 0)
		return;
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
	*k = (struct caller){ .c = c, .fd = fd };
	if (!admit(c))
		return;
	if (start(caller_main, k) < 0) {
		pthread_mutex_lock(&c->lock);
		c->connections--;
		pthread_mutex_unlock(&c->lock);
		return;
	}
	(void)STEAL(k);
	(void)STEAL_FD(mine);
}

static void *listen_main(void *arg)
{
	struct control *c = arg;

	for (;;) {
		struct pollfd p = { .fd = c->fd, .events = POLLIN };
		int fd = poll(&p, 1, -1) > 0 ? accept4(c->fd, NULL, NULL, SOCK_CLOEXEC) : -1;

		if (fd >= 0)
			take(c, fd);
	}
	return NULL;
}

int control_start(int fd, struct depot *d)
{
	struct control *c = calloc(1, sizeof(*c));
	int r = c ? 0 : -ENOMEM;

	if (!r) {
		*c = (struct control){ .d = d, .fd = fd };
		pthread_mutex_init(&c->lock, NULL);
		r = start(listen_main, c);
	}
	if (r < 0) {
		close(fd);
		free(c);
	}
	return r;
}
