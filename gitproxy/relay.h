/*
 * relay.h - the keeper's answer, passed on to the client
 */
#ifndef GITPROXY_RELAY_H
#define GITPROXY_RELAY_H

#include "gitproxy/keeper_client.h"
#include "gitproxy/tls.h"

enum relay_result {
	RELAY_BROKEN = 0, /* part of an answer is out, or nobody listens: reset the connection */
	RELAY_REFUSED,	  /* nothing is out yet; say why */
	RELAY_DONE	  /* a whole answer is out */
};
struct relay {
	enum reason reason;	/* of REFUSED and BROKEN; REASON_NONE when the client left */
	uint64_t down;		/* body bytes delivered */
	char moved[GP_REPO_MAX + 1]; /* of REFUSED: the repository's new name, or "" */
};
/* frames: from keeper_open(). close: this is the connection's last answer. */
enum relay_result relay_run(struct stream *s, int frames, bool close, uint64_t total_ms,
			    unsigned idle_ms, struct relay *ret);

#endif
