/*
 * repo_claim.c - who may change a repository, and its removal
 *
 * Theory of operation: two rights, each held by one thread at a time. The claim is for what is served:
 * references, tips, its being there at all; refreshes and removals hold it. Tending is for how it is
 * stored: maintenance rewrites packs beside refreshes, and verification must not see that. Who removes
 * needs the claim, and that nobody tends; since a cold repository is not tended, nobody begins to.
 * Removal takes the folder away by renaming it, at once and whole: git processes that read it keep what
 * they have open and find nothing more, so they finish, or fail, and an answer that ends early is never
 * taken for one. Fetched again it may be there before they are gone, and then they find objects by the
 * same ids, which are the same objects.
 */
#include "gitproxy/mirror/repo.h"

#include <errno.h>
#include <stdio.h>

#include "base/log.h"
#include "gitproxy/mirror/files.h"

void repo_claim(struct repo *x)
{
	pthread_mutex_lock(&x->lock);
	while (x->refreshing || x->tended)
		pthread_cond_wait(&x->changed, &x->lock);
	x->refreshing = true;
	pthread_mutex_unlock(&x->lock);
}

void repo_claim_beside(struct repo *x)
{
	pthread_mutex_lock(&x->lock);
	while (x->refreshing)
		pthread_cond_wait(&x->changed, &x->lock);
	x->refreshing = true;
	pthread_mutex_unlock(&x->lock);
}

bool repo_claim_now(struct repo *x)
{
	bool mine;

	pthread_mutex_lock(&x->lock);
	mine = !x->refreshing;
	x->refreshing = true;
	pthread_mutex_unlock(&x->lock);
	return mine;
}

void repo_release(struct repo *x)
{
	pthread_mutex_lock(&x->lock);
	x->refreshing = false;
	x->rounds++;
	pthread_cond_broadcast(&x->changed);
	pthread_mutex_unlock(&x->lock);
}

bool repo_tend(struct repo *x)
{
	bool mine;

	pthread_mutex_lock(&x->lock);
	mine = x->state == REPO_WARM && !x->tended;
	x->tended |= mine;
	pthread_mutex_unlock(&x->lock);
	return mine;
}

void repo_tended(struct repo *x)
{
	pthread_mutex_lock(&x->lock);
	x->tended = false;
	pthread_cond_broadcast(&x->changed);
	pthread_mutex_unlock(&x->lock);
}

void repo_clear(struct repos *r, struct repo *x)
{
	char gone[REPO_PATH];
	bool moved;

	pthread_mutex_lock(&x->lock);
	x->state = REPO_COLD;
	free(STEAL(x->tips));
	x->n_tips = x->n_refs = 0;
	x->bytes = x->fresh_bytes = 0;
	x->packs = 0;
	x->refreshed = 0;
	x->upstream_known = x->doubted = false;
	x->shown_at = 0;
	memset(x->generation, 0, sizeof(x->generation));
	pthread_mutex_unlock(&x->lock);
	moved = repos_gone_name(r, gone, sizeof(gone)) && rename(x->dir, gone) == 0;
	if (files_remove(moved ? gone : x->dir) < 0)
		log_line(LOG_WARN, "event=mirror_not_removed dir=%s", moved ? gone : x->dir);
}

bool repo_is_too_large(struct repo *x)
{
	bool yes;

	pthread_mutex_lock(&x->lock);
	yes = x->too_large;
	pthread_mutex_unlock(&x->lock);
	return yes;
}
