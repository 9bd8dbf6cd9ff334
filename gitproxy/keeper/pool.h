/*
 * pool.h - libcurl handles at rest, each with the connections it keeps open
 *
 * A handle is only ever used for one sandbox, one host and one credential (0: none), so that nothing of one sandbox's
 * connections is seen by another.
 */
#ifndef GITPROXY_KEEPER_POOL_H
#define GITPROXY_KEEPER_POOL_H

#include <curl/curl.h>
#include <stdint.h>

#include "base/mem.h"

enum { POOL_HANDLES_MAX = 128, POOL_REST_MS = 30000 };

struct pool_handles;
int pool_new(struct pool_handles **ret);		/* 0 or -ENOMEM */
void pool_free(struct pool_handles *p);
/* A rested handle of this key, or a new one; NULL: out of memory. The caller owns it. */
CURL *pool_take(struct pool_handles *p, uint16_t sandbox, const char *host, uint64_t identity);
void pool_give(struct pool_handles *p, uint16_t sandbox, const char *host, uint64_t identity,
	       CURL *handle /* takes; may be NULL */);
void pool_tick(struct pool_handles *p); /* free what rested longer than POOL_REST_MS */

#endif
