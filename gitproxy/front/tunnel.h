/*
 * tunnel.h - a connection after its 101: bytes both ways, read by nobody
 */
#ifndef GITPROXY_FRONT_TUNNEL_H
#define GITPROXY_FRONT_TUNNEL_H

#include "gitproxy/front/input.h"

struct tunnel_spec {		/* all borrowed */
	struct input *in;	/* what it holds behind the request is the tunnel's first bytes */
	int frames;		/* the keeper's */
	unsigned idle_ms;
	uint64_t total_ms;
};
struct tunnel {
	uint64_t up, down;	/* bytes that the keeper, and the client, have taken */
	enum reason reason;	/* REASON_NONE: one of the two ends ended it, or it was cut */
	const char *outcome;	/* for the audit */
	bool clean;		/* the client may be told an end, not a reset */
};
/* Until one side ends, nothing moves for idle_ms, or the connection is shut down. */
void tunnel_run(const struct tunnel_spec *spec, struct tunnel *ret);

#endif
