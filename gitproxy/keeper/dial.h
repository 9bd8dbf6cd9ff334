/*
 * dial.h - where the keeper's connections may go, and whom they trust
 */
#ifndef GITPROXY_KEEPER_DIAL_H
#define GITPROXY_KEEPER_DIAL_H

#include <curl/curl.h>

#include "base/mem.h"
#include "policy/host_config.h"

enum { KEEPER_UPSTREAM_PORT = 443, KEEPER_PLAIN_PORT = 80 };	/* all that is dialled */
enum { DIAL_TEXT = 1536, DIAL_ADDRESSES = 16 };

struct dial_ways; /* what all connections share: trusted certificates and the host's resolver */

/* While rights last: both are read here. 0 or -errno. */
int dial_ways_new(const struct host_config *c, struct dial_ways **ret);
void dial_ways_free(struct dial_ways *w);
DEFINE_AUTO(dial_ways, struct dial_ways *, dial_ways_free)

struct dial {
	const struct dial_ways *ways; /* borrowed */
	bool private_ok; /* may be a private address: the policy says so, or `hosts:` does */
	bool plain;	 /* http on port 80, where the policy grants that; never for git */
	bool refused;	 /* an address that may not be dialled was about to be */
};
/* What to give to CURLOPT_RESOLVE for this host: the addresses that may be dialled. Blocks. */
enum reason dial_find(struct dial *d, const char *host, char ret_text[DIAL_TEXT]);
/* The same as they are, where there is no proxy. Blocks. */
struct dial_addresses { struct addr addr[DIAL_ADDRESSES]; size_t n; };
enum reason dial_addresses(struct dial *d, const char *host, struct dial_addresses *ret);
uint16_t dial_port(const struct dial *d);
/* Only https (http if plain), only such addresses, trust as configured, no redirect, no proxy of the environment.
 * *d is borrowed until the handle is reset; what it points to may change between transfers. */
void dial_set(struct dial *const *d, CURL *c);

#endif
