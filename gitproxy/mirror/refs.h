/*
 * refs.h - the references of a mirror, made what upstream's are
 */
#ifndef GITPROXY_MIRROR_REFS_H
#define GITPROXY_MIRROR_REFS_H

#include "gitproxy/mirror/ls_refs.h"
#include "gitproxy/mirror/repo.h"

/*
 * Read format, tips and generation of a repository that is on disk, and remove what a kill left. 0;
 * -EBADMSG, -EIO: it cannot be used; -errno. Nobody else may use it yet.
 */
int refs_load(struct repo *x);
/*
 * Make heads, tags and HEAD what `now` says, and pin what they pointed at before (for those to whom it was
 * shown). All objects are there. The generation is a digest of what names what. 0 or -errno: some
 * references may be old ones then. Only one caller at a time: locks of others are taken for left behind.
 */
int refs_update(struct repo *x, const struct ls_refs *now, uint8_t ret_generation[REPO_GENERATION]);
/* Keep these objects, which no reference may name. 0 or -errno. */
int refs_pin(struct repo *x, const struct oid *oids, size_t n);
enum { REFS_DAY = 86400 };
/*
 * Let go what was pinned before the day before `day` (days since 1970): each pin is then a day old at least,
 * and it is promised to clients for ten minutes. Only who has claimed x. 0 or -errno.
 */
int refs_expire(struct repo *x, int64_t day);
/* Of these ids those that are no object of the repository, in *io (shrunk). 0 or -errno. */
int refs_missing(struct repo *x, struct oid *io, size_t *io_n);

#endif
