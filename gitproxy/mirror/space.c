/*
 * space.c - how much of the disk mirrors, answers and pushes may take together
 *
 * Theory of operation: answers can be made again from mirrors at no cost upstream, so they give way
 * first: the spool gets what the mirrors leave, and evicts what was not used for longest. But a quarter
 * of all stays with it, since without room nothing is served at all; when mirrors take more than the
 * other three, the one that was used longest ago and that nobody uses goes. A repository that takes more
 * than a quarter alone is not mirrored: a clone of it would not fit into the spool, and it would drive
 * out all others. Packs of pushes that are under way have at most a quarter, objects of LFS that are
 * held have theirs; what both take now is counted like mirrors. Sizes are measured after what changes them; a
 * fetch stops where it would pass the limit of one. So the disk may hold more than the limit for as long as
 * one measure takes.
 */
#include "gitproxy/mirror/space.h"

#include "base/log.h"
#include "gitproxy/mirror/files.h"
#include "gitproxy/mirror/tell.h"

uint64_t space_of_one(uint64_t max)
{
	return max / 4;
}

uint64_t space_of_pushes(uint64_t max)
{
	return max / 4;
}

static void clear_claimed(const struct space *s, struct repo *x, enum mirror_what why)
{
	uint64_t bytes = x->bytes;

	repo_clear(s->repos, x);
	spool_purge(s->spool, x->domain.id);
	repo_release(x);
	tell_event(s->keeper, why, x, 0, bytes, 0);
	log_line(LOG_NOTE, "event=mirror_%s host=%s repo=%s bytes=%ju", mirror_what_text(why), x->host, x->path,
		 (uintmax_t)bytes);
}

void space_remove(const struct space *s, struct repo *x, enum mirror_what why)
{
	repo_claim(x);
	clear_claimed(s, x, why);
}

struct measure {
	const struct space *s;
	uint64_t total;
};

static bool measured(const struct space *s, struct repo *x, uint64_t *ret)
{
	bool look, warm, too_large;
	uint64_t bytes;

	pthread_mutex_lock(&x->lock);
	look = x->unmeasured;
	warm = x->state == REPO_WARM;
	x->unmeasured = false;
	bytes = x->bytes;
	pthread_mutex_unlock(&x->lock);
	if (look && warm)
		bytes = files_bytes(x->dir);
	pthread_mutex_lock(&x->lock);
	x->bytes = warm ? bytes : 0;
	x->too_large |= warm && bytes > space_of_one(s->max);
	too_large = x->too_large;
	pthread_mutex_unlock(&x->lock);
	*ret = warm ? bytes : 0;
	return !warm || !too_large;
}

static void measure(void *owner, struct repo *x)
{
	struct measure *m = owner;
	uint64_t bytes;

	if (measured(m->s, x, &bytes))
		m->total += bytes;
	else
		space_remove(m->s, x, MIRROR_TOO_LARGE);
}

void space_settle(const struct space *s)
{
	struct measure m = { .s = s, .total = room_taken(s->pushes) + lfs_store_bytes(s->lfs) };
	uint64_t most = s->max - space_of_one(s->max);
	struct repo *x;

	repos_each(s->repos, measure, &m);
	while (m.total > most && (x = repos_take_unused(s->repos))) {
		m.total -= x->bytes < m.total ? x->bytes : m.total;
		clear_claimed(s, x, MIRROR_EVICTED);
		repo_put(s->repos, x);
	}
	if (m.total > most)
		log_line(LOG_WARN,
			 "event=mirrors_too_large bytes=%ju fix=\"git.mirrors.max_bytes, or cordon mirror rm\"",
			 (uintmax_t)m.total);
	spool_limit(s->spool, m.total < most ? s->max - m.total : space_of_one(s->max));
}
