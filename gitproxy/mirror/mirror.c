/*
 * mirror.c - requests of the keeper, a thread each
 *
 * Theory of operation: a datagram that is not one of the keeper's ends the process: our own keeper never
 * sends one. A request for which there is no thread goes back to be asked upstream.
 */
#include "gitproxy/mirror/mirror.h"

#include <errno.h>
#include <poll.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/stat.h>

#include "gitproxy/crew.h"
#include "base/log.h"
#include "gitproxy/deadline.h"
#include "gitproxy/mirror/control.h"
#include "gitproxy/mirror/git.h"
#include "gitproxy/mirror/job.h"
#include "gitproxy/mirror/judge.h"
#include "gitproxy/mirror/lfs_store.h"
#include "gitproxy/mirror/prewarm.h"
#include "gitproxy/mirror/quarantine.h"

enum { JOBS_MAX = 512, JOB_STACK = 1 << 20, JOB_THREADS_KEPT = 32, TICK_MS = 1000, VERDICT_MS = 10000,
       PRODUCERS = 4, GRACE_MS = 10000, SPOOL_ENTRIES = 1 << 16,
       BODIES_MAX = 256 << 20 };		/* bytes of requests that are at work */

struct mirror {
	struct depot depot;
	struct backoff *backoff;
	int keeper;
	struct crew *crew;		/* job_main() */
	pthread_mutex_t lock;
	unsigned jobs;
};

static void job_free(struct job *j)
{
	ipc_in_done(&j->in);
	free(j);
}
DEFINE_AUTO(job, struct job *, job_free)

/* The keeper waits for this; one that does not take it has gone. */
static void say(struct job *j)
{
	int to = j->in.fd[MIRROR_VERDICT_TO];

	if (!deadline_wait(to, POLLOUT, deadline_in(VERDICT_MS)))
		ipc_send(to, MSG_MIRROR_VERDICT, 0, &j->verdict, sizeof(j->verdict), NULL, 0);
}

static void leave(struct mirror *m)
{
	pthread_mutex_lock(&m->lock);
	m->jobs--;
	pthread_mutex_unlock(&m->lock);
}

static void job_main(void *arg)
{
	AUTO(job) struct job *j = arg;

	job_run(j);
	say(j);
	leave(j->mirror);
}

static bool admit(struct mirror *m)
{
	bool ok;

	pthread_mutex_lock(&m->lock);
	ok = m->jobs < JOBS_MAX;
	m->jobs += ok;
	pthread_mutex_unlock(&m->lock);
	return ok;
}

/* Is it running? It took j if so. */
static bool start(struct job *j)
{
	int r;

	if (!admit(j->mirror))
		return false;
	r = crew_run(j->mirror->crew, job_main, j);
	if (r)
		leave(j->mirror);
	return !r;
}

static bool request_ok(const struct ipc_in *in)
{
	return in->head.type == MSG_MIRROR_SERVE && in->head.length == sizeof(struct mirror_serve) &&
	       in->fd[MIRROR_ANSWER] >= 0 && in->fd[MIRROR_VERDICT_TO] >= 0 &&
	       mirror_serve_ok((const struct mirror_serve *)in->body) &&
	       (!mirror_is_push((const struct mirror_serve *)in->body) || in->fd[MIRROR_RULES] >= 0);
}

static int serve_request(struct mirror *m)
{
	AUTO(job) struct job *j = calloc(1, sizeof(*j));
	int r;

	if (!j)
		return -ENOMEM;
	r = ipc_recv(m->keeper, &j->in);
	if (r < 0)
		return r;
	if (!request_ok(&j->in))
		return -EPROTO;
	j->mirror = m;
	j->depot = &m->depot;
	j->q = (const struct mirror_serve *)j->in.body;
	j->started = deadline_now();
	j->verdict = (struct mirror_verdict){ .how = MIRROR_UPSTREAM };
	if (start(j))
		(void)STEAL(j);
	else
		say(j);
	return 0;
}

int mirror_start(struct mirror *m, int control)
{
	int r = upkeep_start(m->depot.upkeep);

	if (!r)
		r = prewarm_start(&m->depot.refresh);
	return r < 0 ? r : control_start(control, &m->depot);
}

int mirror_loop(struct mirror *m)
{
	for (;;) {
		struct pollfd p = { .fd = m->keeper, .events = POLLIN };
		int r = poll(&p, 1, TICK_MS);

		if (r < 0 && errno != EINTR)
			return -errno;
		if (r > 0 && (r = serve_request(m)) < 0)
			return r;
	}
}

/* The spool's folder, in the mirrors'. What the mirrors take is known later, and then taken off. */
static int open_spool(int folder, uint64_t max, struct spool **ret)
{
	const struct spool_limits limits = { .bytes = max, .answer_bytes = max, .entries = SPOOL_ENTRIES, .grace_ms = GRACE_MS };
	int fd;

	if (mkdirat(folder, "spool", 0700) < 0 && errno != EEXIST)
		return -errno;
	fd = openat(folder, "spool", O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	return fd < 0 ? -errno : spool_open(fd, &limits, ret);
}

int mirror_new(const struct mirror_spec *s, struct mirror **ret)
{
	AUTO(mirror) struct mirror *m = calloc(1, sizeof(*m));
	const struct host_config *c = s->config;
	int r;

	if (!m)
		return -ENOMEM;
	m->keeper = s->keeper;
	git_patience_set(c->total_ms, c->idle_ms);
	m->depot.config = c;
	m->depot.folder = s->path;
	pthread_mutex_init(&m->lock, NULL);
	r = crew_new(JOB_STACK, JOB_THREADS_KEPT, &m->crew);
	if (!r)
		r = repos_new(s->path, &c->mirrors, &m->depot.repos);
	if (!r)
		r = flights_new(&m->depot.flights);
	if (!r)
		r = backoff_new(&m->backoff);
	if (!r)
		r = producers_new(PRODUCERS, m->depot.repos, &m->depot.producers);
	if (!r && quarantine_sweep(s->path) < 0)	/* then pushes find no place, and nothing else minds */
		log_line(LOG_ERR, "event=quarantine_failed dir=%s/push", s->path);
	if (!r)
		r = lfs_store_new(s->path, c->mirrors.max_bytes, &m->depot.lfs);
	if (!r)
		r = room_new(space_of_pushes(c->mirrors.max_bytes), &m->depot.pushes);
	if (!r)
		r = room_new(BODIES_MAX, &m->depot.bodies);
	if (!r)
		r = judge_new(s->judge, s->config->scan_rules, s->rules, &m->depot.judge);
	if (!r)
		r = open_spool(s->folder, c->mirrors.max_bytes, &m->depot.spool);
	if (!r)
		r = upkeep_new(&(struct space){ m->depot.repos, m->depot.spool, m->depot.pushes, m->depot.lfs, s->keeper,
						c->mirrors.max_bytes }, &m->depot.upkeep);
	if (r < 0)
		return r;
	m->depot.refresh = (struct refresh){ .config = c, .repos = m->depot.repos, .flights = m->depot.flights,
					     .backoff = m->backoff, .spool = m->depot.spool,
					     .keeper = s->keeper, .repo_max = space_of_one(c->mirrors.max_bytes),
					     .over = upkeep_after, .owner = m->depot.upkeep };
	r = behind_new(&m->depot.refresh, &m->depot.behind);
	if (r < 0)
		return r;
	*ret = STEAL(m);
	return 0;
}

void mirror_free(struct mirror *m)
{
	if (!m)
		return;
	upkeep_free(m->depot.upkeep);
	if (m->depot.spool)
		spool_free(m->depot.spool);
	producers_free(m->depot.producers);
	judge_free(m->depot.judge);
	behind_free(m->depot.behind);
	backoff_free(m->backoff);
	flights_free(m->depot.flights);
	repos_free(m->depot.repos);
	lfs_store_free(m->depot.lfs);
	room_free(m->depot.pushes);
	room_free(m->depot.bodies);
	free(m);
}
