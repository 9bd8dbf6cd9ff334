/*
 * space.h - how much of the disk mirrors, answers and pushes may take together
 */
#ifndef GITPROXY_MIRROR_SPACE_H
#define GITPROXY_MIRROR_SPACE_H

#include "gitproxy/mirror/lfs_store.h"
#include "gitproxy/mirror/repo.h"
#include "gitproxy/mirror/room.h"
#include "gitproxy/mirror/spool.h"

struct space {				/* all borrowed */
	struct repos *repos;
	struct spool *spool;
	struct room *pushes;		/* what their quarantines take */
	struct lfs_store *lfs;
	int keeper;
	uint64_t max;			/* git.mirrors.max_bytes */
};

/* What one repository may take; what all pushes that are under way may take. */
uint64_t space_of_one(uint64_t max);
uint64_t space_of_pushes(uint64_t max);
/* Measure what has changed, and make room where it is too much. Slow; by one thread. */
void space_settle(const struct space *s);
/* Remove a repository that is held, with its answers, and tell why. Waits for refreshes and maintenance. */
void space_remove(const struct space *s, struct repo *x, enum mirror_what why);

#endif
