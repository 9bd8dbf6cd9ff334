/*
 * refresh.h - bring a mirror up to what upstream has now
 */
#ifndef GITPROXY_MIRROR_REFRESH_H
#define GITPROXY_MIRROR_REFRESH_H

#include "gitproxy/mirror/backoff.h"
#include "gitproxy/mirror/flight.h"
#include "gitproxy/mirror/repo.h"
#include "gitproxy/mirror/spool.h"
#include "policy/host_config.h"

struct repo;
struct refresh_report {			/* of one round */
	bool changed;			/* objects or references */
	bool too_large;
	uint64_t objects, bytes, ms;
};
/* Called when a round is over, while x is held and not claimed. */
typedef void refresh_over_fn(void *owner, struct repo *x, const struct refresh_report *r);

struct refresh {			/* all borrowed */
	const struct host_config *config;
	struct repos *repos;
	struct flights *flights;
	struct backoff *backoff;
	struct spool *spool;
	int keeper;
	uint64_t repo_max;		/* bytes of one repository */
	refresh_over_fn *over;
	void *owner;
};

enum refresh_result {
	REFRESH_FAILED = 0,		/* a part of git or of this host failed; the log says more */
	REFRESH_REFUSED,		/* upstream did: *ret_reason */
	REFRESH_TOO_LARGE,		/* more than one repository may take; it is not mirrored */
	REFRESH_DONE
};
/*
 * Make sure that these objects are there, of a mirror that may be cold. Those who wait for the same repository
 * share one fetch. Blocks. `wants` may be none: then it follows the references.
 */
enum refresh_result refresh_run(const struct refresh *r, struct repo *x, const struct oid *wants, size_t n,
				enum reason *ret_reason);
/* A round that begins after this call, whatever is there; also of one that was too large before. Blocks. */
enum refresh_result refresh_now(const struct refresh *r, struct repo *x, enum reason *ret_reason);
/* The round itself, by who has the claim (repo_claim_now()), which it releases. Blocks. */
enum refresh_result refresh_claimed(const struct refresh *r, struct repo *x, enum reason *ret_reason);
/* Upstream refused an answer about it: its right ends, its kept answers go, and it may be in doubt. */
void refresh_denied(const struct refresh *r, struct repo *x, const struct ask_outcome *o);
/* What equal questions about a repository have in common: its domain and the question. */
void refresh_key(const struct repo *x, struct rd question, uint8_t ret[FLIGHT_KEY]);
/* flight_take() for a question about x, counted. */
int refresh_take(const struct refresh *r, struct repo *x, struct rd question, unsigned window_ms, const struct ask *q,
		 struct flight_answer *ret);
/* A question about it; empty: its advertisement. */
struct ask refresh_ask(const struct refresh *r, const struct repo *x, struct rd body);

#endif
