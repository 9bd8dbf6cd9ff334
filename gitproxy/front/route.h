/*
 * route.h - a request target of the explicit route
 *
 *   /git/SCOPE/HOST/OWNER/REPO...        what stands behind HOST is a target of that host
 */
#ifndef GITPROXY_FRONT_ROUTE_H
#define GITPROXY_FRONT_ROUTE_H

#include <stdbool.h>

#include "base/bytes.h"
#include "base/addr.h"
#include "policy/policy.h"

struct route {
	struct rd scope, target;		/* slices of the input; target begins with a slash */
	char host[POLICY_NAME_MAX + 1];		/* canonical */
};

/* Whether a target is meant for this route at all. */
bool route_is(struct rd target);
/* PARSE_BAD: no token in form, no host name, or nothing behind it. */
enum parse route_parse(struct rd target, struct route *ret);
/* Is a Host field this address and port: "10.1.0.1:8080", "[fd00::1]:8080"? */
bool route_host_is(struct rd host, const struct addr *a, uint16_t port);

#endif
