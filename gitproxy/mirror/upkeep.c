/*
 * upkeep.c - what is done to mirrors behind those who are served
 *
 * Theory of operation: two threads sleep until a refresh changed something. One measures and makes
 * room, soon; the other maintains, one repository at a time, however long it takes. At the start the
 * first reads what is on disk. Administrators' wishes are done by their own threads under the same
 * lock, so there is never more than one program at work on the disk beside refreshes and readers.
 */
#include "gitproxy/mirror/upkeep.h"

#include <errno.h>

#include "base/log.h"
#include "base/thread.h"
#include "gitproxy/deadline.h"
#include "gitproxy/mirror/maintain.h"
#include "gitproxy/mirror/tell.h"

enum { STACK = 1 << 20 };

struct upkeep {
	struct space space;
	pthread_mutex_t one;		/* who runs a program */
	pthread_mutex_t lock;		/* for what follows */
	pthread_cond_t changed;
	bool known, settle, tend;
};

static void wake(struct upkeep *u)
{
	pthread_mutex_lock(&u->lock);
	u->settle = u->tend = true;
	pthread_cond_broadcast(&u->changed);
	pthread_mutex_unlock(&u->lock);
}

void upkeep_look(struct upkeep *u)
{
	wake(u);
}

void upkeep_after(void *owner, struct repo *x, const struct refresh_report *r)
{
	struct upkeep *u = owner;

	if (r->too_large) {
		log_line(LOG_NOTE, "event=mirror_too_large host=%s repo=%s limit=%ju", x->host, x->path,
			 (uintmax_t)space_of_one(u->space.max));
		tell_event(u->space.keeper, MIRROR_TOO_LARGE, x, 0, r->bytes, r->ms);
	} else if (r->changed) {
		tell_event(u->space.keeper, MIRROR_REFRESHED, x, r->objects, r->bytes, r->ms);
	}
	if (r->too_large || r->changed)
		wake(u);
}

/* Until there is something to do, which is then begun. */
static void await(struct upkeep *u, bool *flag)
{
	pthread_mutex_lock(&u->lock);
	while (!*flag)
		pthread_cond_wait(&u->changed, &u->lock);
	*flag = false;
	pthread_mutex_unlock(&u->lock);
}

static void *settle_main(void *arg)
{
	struct upkeep *u = arg;

	repos_adopt(u->space.repos);
	pthread_mutex_lock(&u->lock);
	u->known = u->settle = true;
	pthread_cond_broadcast(&u->changed);
	pthread_mutex_unlock(&u->lock);
	for (;;) {
		await(u, &u->settle);
		space_settle(&u->space);
	}
	return NULL;
}

void upkeep_wait_known(struct upkeep *u)
{
	pthread_mutex_lock(&u->lock);
	while (!u->known)
		pthread_cond_wait(&u->changed, &u->lock);
	pthread_mutex_unlock(&u->lock);
}

void upkeep_make_room(struct upkeep *u)
{
	pthread_mutex_lock(&u->lock);
	u->settle = true;
	pthread_cond_broadcast(&u->changed);
	pthread_mutex_unlock(&u->lock);
}

int upkeep_maintain(struct upkeep *u, struct repo *x)
{
	uint64_t begun = deadline_now();
	int r = -EAGAIN;

	pthread_mutex_lock(&u->one);
	if (repo_tend(x)) {
		r = maintain_run(x);
		repo_tended(x);
	}
	pthread_mutex_unlock(&u->one);
	if (!r) {
		tell_event(u->space.keeper, MIRROR_MAINTAINED, x, 0, x->bytes, deadline_now() - begun);
		upkeep_make_room(u);
	}
	return r;
}

int upkeep_verify(struct upkeep *u, struct repo *x, bool full)
{
	int r = -EAGAIN;

	pthread_mutex_lock(&u->one);
	if (repo_tend(x)) {
		r = maintain_verify(x, full);
		repo_tended(x);
	}
	pthread_mutex_unlock(&u->one);
	if (r == -EBADMSG)
		space_remove(&u->space, x, MIRROR_DAMAGED);
	return r;
}

void upkeep_remove(struct upkeep *u, struct repo *x)
{
	space_remove(&u->space, x, MIRROR_REMOVED);
	upkeep_make_room(u);
}

static void tend_one(void *owner, struct repo *x)
{
	if (maintain_due(x))
		upkeep_maintain(owner, x);
}

static void *tend_main(void *arg)
{
	struct upkeep *u = arg;

	upkeep_wait_known(u);
	for (;;) {
		await(u, &u->tend);
		repos_each(u->space.repos, tend_one, u);
	}
	return NULL;
}

static int start(void *(*fn)(void *), struct upkeep *u)
{
	return thread_start(STACK, fn, u);
}

int upkeep_new(const struct space *s, struct upkeep **ret)
{
	struct upkeep *u = calloc(1, sizeof(*u));

	if (!u)
		return -ENOMEM;
	u->space = *s;
	pthread_mutex_init(&u->one, NULL);
	pthread_mutex_init(&u->lock, NULL);
	pthread_cond_init(&u->changed, NULL);
	*ret = u;
	return 0;
}

int upkeep_start(struct upkeep *u)
{
	int r = start(settle_main, u);

	return r < 0 ? r : start(tend_main, u);
}

void upkeep_free(struct upkeep *u)
{
	free(u);
}
