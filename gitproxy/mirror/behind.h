/*
 * behind.h - mirrors that are filled while upstream serves
 */
#ifndef GITPROXY_MIRROR_BEHIND_H
#define GITPROXY_MIRROR_BEHIND_H

#include "gitproxy/mirror/refresh.h"

enum { BEHIND_MAX = 8, BEHIND_SANDBOX_MAX = 2 };	/* at once, in all and for one sandbox */

struct behind;
int behind_new(const struct refresh *r /* borrowed */, struct behind **ret);	/* 0 or -ENOMEM */
void behind_free(struct behind *b);		/* when none runs */
/*
 * A thread refreshes x, for this sandbox, unless one does already. 0; -EAGAIN: there is no place, a later request
 * tries; -EIO: it failed lately.
 */
int behind_start(struct behind *b, struct repo *x, uint16_t sandbox);
/* The same, and wait until the mirror is warm. 0; -EAGAIN: not yet; -EIO: it failed. */
int behind_wait(struct behind *b, struct repo *x, uint16_t sandbox, uint64_t until);

#endif
