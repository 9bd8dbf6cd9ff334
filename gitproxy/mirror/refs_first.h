/*
 * refs_first.h - the first references of a mirror
 */
#ifndef GITPROXY_MIRROR_REFS_FIRST_H
#define GITPROXY_MIRROR_REFS_FIRST_H

#include "gitproxy/mirror/repo.h"

/* A branch or a tag. */
struct refs_name { struct rd name; struct oid oid; };
/*
 * Make these (sorted by name) the references of a repository that has none, in one step. All objects are there.
 * -EEXIST: it has some; -EBADMSG: two names cannot be there together, or a branch is no commit; -errno.
 */
int refs_write_first(struct repo *x, const struct refs_name *refs, size_t n);

#endif
