/*
 * upkeep.h - what is done to mirrors behind those who are served
 */
#ifndef GITPROXY_MIRROR_UPKEEP_H
#define GITPROXY_MIRROR_UPKEEP_H

#include "gitproxy/mirror/refresh.h"
#include "gitproxy/mirror/space.h"

struct upkeep;
/* Borrows what s borrows. 0 or -errno. */
int upkeep_new(const struct space *s, struct upkeep **ret);
/* Its threads, which go on for ever. 0 or -errno. */
int upkeep_start(struct upkeep *u);
void upkeep_free(struct upkeep *u);	/* when they were not started */

/* Something was written outside of a refresh: look at what room is taken, and what wants tending. */
void upkeep_look(struct upkeep *u);
/* More or less of the disk is taken than when it was last looked at. */
void upkeep_make_room(struct upkeep *u);
/* A refresh_over_fn; its owner is the upkeep. */
void upkeep_after(void *owner, struct repo *x, const struct refresh_report *r);
/* Wait until what was on disk at the start is known. */
void upkeep_wait_known(struct upkeep *u);
/* Now, by this thread; one at a time. 0 or -errno; -EAGAIN: somebody tends it, or nothing is there. */
int upkeep_maintain(struct upkeep *u, struct repo *x);
/* The same; a damaged one is removed. 0, -EBADMSG (it was), -errno. */
int upkeep_verify(struct upkeep *u, struct repo *x, bool full);
void upkeep_remove(struct upkeep *u, struct repo *x);

#endif
