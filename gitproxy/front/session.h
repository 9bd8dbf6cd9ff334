/*
 * session.h - one connection of a sandbox
 */
#ifndef GITPROXY_FRONT_SESSION_H
#define GITPROXY_FRONT_SESSION_H

#include "base/audit.h"
#include "gitproxy/budget.h"
#include "gitproxy/front/ask.h"
#include "gitproxy/front/ca_text.h"
#include "gitproxy/front/conns.h"
#include "gitproxy/front/tls.h"
#include "policy/view.h"

/* What every connection works with; lives as long as the process. */
struct env {
	const struct host_config *config;
	struct view *view;
	struct audit *audit;
	struct conns *conns;
	struct budget *lines;		/* of the audit, for refusals */
	struct budget *pages;		/* of cordon.internal */
	struct budget *scopes;		/* checks of the explicit route */
	struct ask *ask;
	struct tls *tls;
	int keeper;			/* the pair */
	struct ca_text *ca_text;
};

/* One connection: who, and which name its destination address stands for. */
struct session {
	const struct env *env;
	struct stream stream;
	struct addr peer;
	uint16_t sandbox; /* who it was when it connected; addresses may change hands */
	struct addr destination;	/* as the sandbox sees it */
	uint16_t port;			/* likewise */
	char name[MSG_NAME];		/* canonical; on the explicit route of the request under way */
	bool internal;			/* cordon.internal: answered here */
	bool routed;			/* the port of the explicit route: plain HTTP, no name */
	int talk;			/* with the keeper; -1: none */
	struct relay_room *room;	/* of the answers; NULL: none */
};
/* Give back what only requests under way need. */
void session_rest(struct session *s);

/* Serve the connection to its end. `fd` is borrowed, non-blocking; the peer is a registered
 * sandbox. */
void session_run(const struct env *env, int fd, const struct addr *peer);

/*
 * Whose connection it is, waiting for netd's picture when there is none. REASON_NONE: ret is the
 * caller's; else why nobody is served (interface_unregistered, unavailable).
 */
enum reason session_who(const struct env *env, const struct addr *peer, struct view_sandbox *ret);

/* A refused connection, for the audit; sb NULL: nobody knows whose. */
void session_audit(const struct session *s, const struct view_sandbox *sb, enum reason reason,
		   const char *sni);

#endif
