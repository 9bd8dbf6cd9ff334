/*
 * prewarm.c - repositories that are fetched before they are asked for
 *
 * Theory of operation: a thread goes through the list, one after the other, then sleeps for about
 * git.mirrors.prewarm_every. When nothing has changed a repository costs one list of references and no
 * program. While the keeper cannot say whose one is (netd's picture is not there yet), it is asked
 * again soon. Pauses differ by a tenth, so that hosts that were started together do not ask together.
 */
#include "gitproxy/mirror/prewarm.h"

#include <errno.h>
#include <time.h>
#include <sys/random.h>

#include "base/log.h"
#include "base/thread.h"
#include "gitproxy/mirror/tell.h"

enum { SOON_MS = 1000, STACK = 1 << 20 };

/* False: ask again soon. */
static bool fetch(const struct refresh *r, const struct host_repository *w)
{
	struct mirror_domain_of of;
	enum reason reason = tell_whose(r->keeper, w->host, w->path, &of);
	struct repo *x;

	if (reason == REASON_UNAVAILABLE)
		return false;
	x = reason == REASON_NONE ? repo_get(r->repos, &of.domain, w->host, of.repo) : NULL;
	if (!x) {
		log_line(LOG_WARN, "event=prewarm_failed host=%s repo=%s reason=%s", w->host, w->path,
			 reason_text(reason));
		return true;
	}
	if (!repo_is_too_large(x) && refresh_now(r, x, &reason) == REFRESH_REFUSED)
		log_line(LOG_WARN, "event=prewarm_failed host=%s repo=%s reason=%s", w->host, w->path,
			 reason_text(reason));
	repo_put(r->repos, x);
	return true;
}

static void pause_for(uint64_t ms)
{
	struct timespec t = { .tv_sec = (time_t)(ms / 1000), .tv_nsec = (long)(ms % 1000) * 1000000 };

	while (clock_nanosleep(CLOCK_MONOTONIC, 0, &t, &t) == EINTR)
		;
}

/* Between nine and eleven tenths. */
static uint64_t about(uint64_t ms)
{
	uint64_t some = 0;

	if (getrandom(&some, sizeof(some), GRND_NONBLOCK) != sizeof(some))
		return ms;
	return ms - ms / 10 + some % (ms / 5 + 1);
}

static void *prewarm_main(void *arg)
{
	const struct refresh *r = arg;
	const struct host_mirrors *m = &r->config->mirrors;

	for (;;) {
		bool all = true;

		for (size_t i = 0; i < m->n_prewarm && all; i++)
			all = fetch(r, &m->prewarm[i]);
		pause_for(all ? about(m->prewarm_every_ms) : SOON_MS);
	}
	return NULL;
}

int prewarm_start(const struct refresh *r)
{
	if (!r->config->mirrors.n_prewarm)
		return 0;
	return thread_start(STACK, prewarm_main, (void *)(uintptr_t)r);
}
