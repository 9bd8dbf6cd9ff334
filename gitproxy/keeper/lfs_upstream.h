/*
 * lfs_upstream.h - what is asked of upstream for Git LFS
 */
#ifndef GITPROXY_KEEPER_LFS_UPSTREAM_H
#define GITPROXY_KEEPER_LFS_UPSTREAM_H

#include "gitproxy/keeper/lfs_answer.h"
#include "gitproxy/keeper/serve_job.h"

/*
 * For a request that was decided: `rq` names sandbox, repository and credential; while it runs, the other end
 * of rq->answer is watched, and nothing goes there but in lfs_upstream_get().
 */
struct lfs_way {
	struct upstream *upstream;
	const struct view_sandbox *sandbox;
	const struct upstream_request *rq;
};

/* ret[i] is what upstream says of o[i]; lfs_found_done() it when *out has no reason. */
void lfs_upstream_ask(const struct lfs_way *w, bool upload, const struct lfs_object *o, size_t n,
		      struct lfs_found *ret, struct upstream_outcome *out);
/* One object that it wants: a regular file of its size, then the word that it is there. */
void lfs_upstream_bring(const struct lfs_way *w, const struct lfs_object *o, const struct lfs_found *f, int file,
			struct upstream_outcome *out);
/* One object to rq->answer: STATUS, DATA, END. */
void lfs_upstream_get(const struct lfs_way *w, const struct lfs_object *o, const struct lfs_action *a,
		      struct upstream_outcome *out);

#endif
