/*
 * ask.h - what the mirror asks of upstream, by way of the keeper
 */
#ifndef GITPROXY_MIRROR_ASK_H
#define GITPROXY_MIRROR_ASK_H

#include "gitproxy/mirror_ipc.h"

/* Bytes of the answer's body, in order. 0, or -errno: stop. */
typedef int ask_sink_fn(void *owner, struct rd bytes);

struct ask {				/* all borrowed */
	int keeper;			/* the pair */
	const struct mirror_domain *domain;
	const char *host, *repo;
	struct rd body;			/* a request of protocol v2; empty: the advertisement is asked for */
	uint64_t total_ms;
	unsigned idle_ms;
	ask_sink_fn *sink;
	void *owner;
};

struct ask_outcome {
	enum reason reason;		/* REASON_NONE: the whole answer went to the sink */
	unsigned status;		/* upstream's; 0: none */
	int stopped;			/* what the sink returned, if it stopped the transfer */
	uint64_t asked;			/* when the question left */
	uint64_t ms;			/* how long it took */
	uint64_t down;
};

/* Blocks. */
void ask_upstream(const struct ask *q, struct ask_outcome *ret);
/* Upstream itself could not be reached, as opposed to having said no. */
bool ask_unreachable(enum reason r);

#endif
