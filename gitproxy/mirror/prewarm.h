/*
 * prewarm.h - repositories that are fetched before they are asked for
 */
#ifndef GITPROXY_MIRROR_PREWARM_H
#define GITPROXY_MIRROR_PREWARM_H

#include "gitproxy/mirror/refresh.h"

/* A thread that goes on for ever; none if the list is empty. Borrows r. 0 or -errno. */
int prewarm_start(const struct refresh *r);

#endif
