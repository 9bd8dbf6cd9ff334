/*
 * kin.h - is what upstream has under a name still the repository that the mirror is of?
 */
#ifndef GITPROXY_MIRROR_KIN_H
#define GITPROXY_MIRROR_KIN_H

#include "gitproxy/mirror/repo.h"

/* Of what the mirror's references point at at least half is among upstream's `tips` (sorted). By its claimer. */
bool kin_by_tips(const struct repo *x, const struct oid *tips, size_t n);
/*
 * Something of it is among upstream's `tips`, whose objects are here by now, or some of their histories meet. By
 * its claimer; runs git when all tips are new. 1, 0; -EBADMSG: not all of them are here; -errno.
 */
int kin_by_history(struct repo *x, const struct oid *tips, size_t n);

#endif
