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
	bool large;			/* it is for objects: may take long */
	/* of what is there for pushes: the advertisement alone, in protocol version 0 */
	bool push;
	struct rd body;			/* a request of protocol v2; empty: the advertisement is asked for */
	unsigned keep_ms;		/* of a shared question: its answer is kept so long at least */
	bool lists;			/* of a shared question: its answer is one to ls-refs */
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
/*
 * What an outcome that is no answer says. DENIED: the credential has no right (any more), or who answers is not
 * upstream. AWAY: upstream could not be reached, or has no time. UNKNOWN: nothing of either.
 */
enum ask_no { ASK_DENIED = 0, ASK_AWAY, ASK_UNKNOWN };
enum ask_no ask_no(const struct ask_outcome *o);
/*
 * A DENIED one: is the repository perhaps not there any more? Not when what was wrong is the credential
 * that was shown, or the server's certificate. Without a credential "who are you" may mean that, too.
 */
bool ask_gone(const struct ask_outcome *o, const struct mirror_domain *d);

#endif
