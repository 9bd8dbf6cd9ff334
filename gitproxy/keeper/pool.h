/*
 * pool.h - libcurl handles at rest, each with the connections it keeps open
 *
 * A handle is only ever used for one sandbox, host, port and credential, so that nothing of one
 * sandbox's connections is seen by another, and none goes elsewhere than it was made for.
 */
#ifndef GITPROXY_KEEPER_POOL_H
#define GITPROXY_KEEPER_POOL_H

#include <curl/curl.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/mem.h"
#include "base/msg.h"
#include "gitproxy/keeper/sockets.h"

enum { POOL_HANDLES_MAX = 128, POOL_REST_MS = 30000, POOL_FRESH_MS = 1000, POOL_ADDRESSES = 1536 };

struct transfer;
struct dial;
struct pool_key {
	uint16_t sandbox, port;
	uint64_t identity;		/* of the credential; 0: none */
	char host[MSG_NAME];
};
struct pool_handle {
	struct pool_key key;
	CURL *easy;
	CURLM *multi; /* runs the handle, and owns its connections */
	struct sockets sockets;		/* of multi */
	struct transfer *transfer;	/* under way; upstream.c's, as the next three */
	struct dial *dial;		/* its */
	char error[CURL_ERROR_SIZE];	/* its */
	bool set;			/* what all transfers set is set, and nothing else is */
	uint64_t since;
	/* Where it dials, as found within the last POOL_FRESH_MS; each is judged again when dialled. */
	char addresses[POOL_ADDRESSES];
	uint64_t found;			/* 0: never */
	bool told;			/* libcurl knows them */
	bool private_asked, private_ok;	/* for whom, and what came of it */
};

struct pool_handles;
int pool_new(struct pool_handles **ret);		/* 0 or -ENOMEM */
void pool_free(struct pool_handles *p);
/* A rested handle of this key, or a new one; NULL: out of memory. The caller owns it. */
struct pool_handle *pool_take(struct pool_handles *p, const struct pool_key *key);
void pool_give(struct pool_handles *p, struct pool_handle *h /* takes; may be NULL */);
/* One that is never given to the pool. NULL: out of memory. */
struct pool_handle *pool_handle_new(const struct pool_key *key);
void pool_handle_free(struct pool_handle *h);		/* NULL is fine */
void pool_tick(struct pool_handles *p); /* free what rested longer than POOL_REST_MS */

#endif
