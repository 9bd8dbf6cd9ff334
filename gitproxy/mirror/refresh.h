/*
 * refresh.h - bring a mirror up to what upstream has now
 */
#ifndef GITPROXY_MIRROR_REFRESH_H
#define GITPROXY_MIRROR_REFRESH_H

#include "gitproxy/mirror/flight.h"
#include "gitproxy/mirror/repo.h"
#include "policy/host_config.h"

struct refresh {			/* all borrowed */
	const struct host_config *config;
	struct repos *repos;
	struct flights *flights;
	int keeper;
};

enum refresh_result {
	REFRESH_FAILED = 0,		/* a part of git or of this host failed; the log says more */
	REFRESH_REFUSED,		/* upstream did: *ret_reason */
	REFRESH_DONE
};
/*
 * Make sure that these objects are there, of a mirror that may be cold. Those who wait for the same repository
 * share one fetch. Blocks. `wants` may be none: then it follows the references.
 */
enum refresh_result refresh_run(const struct refresh *r, struct repo *x, const struct oid *wants, size_t n,
				enum reason *ret_reason);
/* Another thread does it, unless one does already. */
void refresh_behind(const struct refresh *r, struct repo *x);
/* What equal questions about a repository have in common: its domain and the question. */
void refresh_key(const struct repo *x, struct rd question, uint8_t ret[FLIGHT_KEY]);
/* A question about it; empty: its advertisement. */
struct ask refresh_ask(const struct refresh *r, const struct repo *x, struct rd body);

#endif
