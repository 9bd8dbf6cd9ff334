/*
 * request_route.c - requests of the explicit route become requests to their git host
 *
 * Theory of operation: for clients that are told where the gateway is. Such a request arrives at
 * the route's port of the gateway's own address, or at cordon.internal; its target names the git
 * host, and a scope token. Who asks is told by the peer's address as everywhere; the token must be
 * one of that sandbox's, so a URL that got into other hands opens nothing. From then on it is a
 * request to that host: the same grammar, the same policy, the same keeper.
 * Invariants: no token goes on, neither upstream nor to a log, valid or not.
 */
#include "gitproxy/front/request_kind.h"
#include "gitproxy/front/route.h"
#include "policy/scope.h"

enum { CHECKS_PER_SECOND = 200 };	/* of tokens: netd is asked for each */

bool request_is_routed(const struct session *s, const struct request *rq)
{
	if (s->routed)
		return true;
	return s->internal && s->env->config->explicit_port && !rq->malformed &&
	       route_is(rq->head.target);
}

static enum reason check_scope(const struct session *s, struct rd scope)
{
	uint8_t hash[SCOPE_HASH];

	if (!budget_take(s->env->scopes, s->sandbox, CHECKS_PER_SECOND))
		return REASON_RATE_LIMITED;
	if (!scope_hash(scope, hash))
		return REASON_SCOPE_INVALID;
	switch (ask_scope(s->env->ask, s->env->view, s->sandbox, hash)) {
	case 1:
		return REASON_NONE;
	case 0:
		return REASON_SCOPE_INVALID;
	}
	return REASON_UNAVAILABLE;		/* netd did not say */
}

static bool host_ok(const struct session *s, const struct request *rq)
{
	struct rd host = rq->head.field[HTTP_HOST];

	return s->routed ? route_host_is(host, &s->destination, s->port) :
			   request_host_is(s, host);
}

enum reason request_route(struct session *s, struct request *rq)
{
	struct rd target = rq->head.target;
	enum reason reason;
	struct route r;

	rq->head.target = rd_str("/git/...");	/* for the audit, should it end here */
	if (!host_ok(s, rq))
		return REASON_HOST_MISMATCH;
	if (!route_is(target))
		return REASON_NOT_GIT;
	if (route_parse(target, &r) != PARSE_OK)
		return REASON_SCOPE_INVALID;
	reason = check_scope(s, r.scope);
	if (reason != REASON_NONE)
		return reason;
	if (!policy_is_git_host(rq->sandbox.policy, r.host))
		return REASON_HOST_NOT_ALLOWED;
	rq->head.target = r.target;
	rq->route = rd_of(target.p, target.n - r.target.n);
	return msg_text_set(s->name, sizeof(s->name), r.host) ? REASON_NONE : REASON_INTERNAL_ERROR;
}

void request_route_end(struct session *s)
{
	msg_text_set(s->name, sizeof(s->name), s->internal ? CORDON_INTERNAL : "");
}
