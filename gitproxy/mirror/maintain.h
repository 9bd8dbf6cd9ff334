/*
 * maintain.h - keep a mirror fast to read and free of leavings
 */
#ifndef GITPROXY_MIRROR_MAINTAIN_H
#define GITPROXY_MIRROR_MAINTAIN_H

#include "gitproxy/mirror/repo.h"

/* Is it worth it: many packs, much that is new, or never done? */
bool maintain_due(struct repo *x);
/* Do it. The caller tends x. 0 or -errno. */
int maintain_run(struct repo *x);
/* Is all there that its references need; `full`: and every object what its name says? 0, -EBADMSG, -errno. */
int maintain_verify(struct repo *x, bool full);

#endif
