/*
 * backoff.h - repositories whose refresh failed, and when to try again
 */
#ifndef GITPROXY_MIRROR_BACKOFF_H
#define GITPROXY_MIRROR_BACKOFF_H

#include "gitproxy/mirror_ipc.h"

enum { BACKOFF_MAX = 512,		/* repositories that are remembered: those that failed last */
       BACKOFF_FREE = 2,		/* failures in a row that cost no pause */
       BACKOFF_MS = 1000, BACKOFF_TOP_MS = 3600 * 1000 };	/* the first pause, and the longest */

struct backoff;
int backoff_new(struct backoff **ret);		/* 0 or -ENOMEM */
void backoff_free(struct backoff *b);
/* A refresh of this domain's repository ended so, now. */
void backoff_note(struct backoff *b, const uint8_t domain[MIRROR_DOMAIN], bool failed);
/* It is not worth trying yet. */
bool backoff_is_on(struct backoff *b, const uint8_t domain[MIRROR_DOMAIN]);

#endif
