/*
 * refs.h - the references of a mirror, made what upstream's are
 */
#ifndef GITPROXY_MIRROR_REFS_H
#define GITPROXY_MIRROR_REFS_H

#include "gitproxy/mirror/ls_refs.h"
#include "gitproxy/mirror/repo.h"

/* Read format and tips of a repository that is on disk. 0 or -errno. Nobody else may use it yet. */
int refs_load(struct repo *x);
/*
 * Make heads, tags and HEAD what `now` says, and pin what they pointed at before (for those to whom it was
 * shown), and `extra`. All objects are there. 0 or -errno: some references may be old ones then.
 */
int refs_update(struct repo *x, const struct ls_refs *now, const struct oid *extra, size_t n_extra);
/* Of these ids those that are no object of the repository, in *io (shrunk). 0 or -errno. */
int refs_missing(struct repo *x, struct oid *io, size_t *io_n);

#endif
