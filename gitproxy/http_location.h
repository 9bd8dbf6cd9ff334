/*
 * http_location.h - where a Location field leads
 *
 * Spec: RFC 3986 s3-s4, read strictly: what clients are known to read in different ways is bad.
 */
#ifndef GITPROXY_HTTP_LOCATION_H
#define GITPROXY_HTTP_LOCATION_H

#include "base/bytes.h"
#include "policy/policy.h"

struct http_location {
	bool relative;			/* stays on the host, whatever it is */
	bool tls;			/* https */
	uint16_t port;
	char host[POLICY_NAME_MAX + 1];	/* canonical */
};
/* `tls`: the answer came over it (for "//host/path"). PARSE_OK or PARSE_BAD. */
enum parse http_location_parse(struct rd value, bool tls, struct http_location *ret);

#endif
