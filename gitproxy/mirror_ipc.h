/*
 * mirror_ipc.h - what the keeper and cordon-mirror ask of each other
 *
 * Theory of operation: over the inherited SEQPACKET pair (base/ipc.h). The keeper has decided before
 * it asks, and names the security domain: what one credential may read of one repository. So the
 * mirror needs no policy, and holds no secret; it cannot dial, and asks the keeper for what it needs
 * of upstream.
 *   SERVE{...}    keeper to mirror  fds: the front's answer socket, one for the verdict[, the body]
 *   VERDICT{...}  mirror to keeper, once, on that socket: served (the front has its whole answer, or
 *                 knows that it is broken), or the keeper is to ask upstream itself
 *   ASK{...}      mirror to keeper  fds: a socket for the answer[, a body]; answered with the frames
 *                 of keeper_ipc.h. The keeper takes it only for a domain as it would name it itself,
 *                 and a repository that some profile grants, or that is to be prewarmed
 *   WHOSE{...}    mirror to keeper  fds: a socket for the answer: which domain has this repository now?
 *   DOMAIN{...}   keeper to mirror, once, on that socket
 *   EVENT{...}    mirror to keeper  for the audit, which is the keeper's; not answered
 */
#ifndef GITPROXY_MIRROR_IPC_H
#define GITPROXY_MIRROR_IPC_H

#include "gitproxy/keeper_ipc.h"

enum { MIRROR_KEEPER_FD = 3,		/* the pair, in the mirror */
       MIRROR_PAIR_FD = 4,		/* the pair, in the keeper */
       MIRROR_DOMAIN = 32, MIRROR_CREDENTIAL = 64, MIRROR_DETAIL = 160 };
enum { MIRROR_ANSWER = 0, MIRROR_VERDICT_TO = 1, MIRROR_BODY = 2 };	/* descriptors of SERVE */
enum { MIRROR_ASK_ANSWER = 0, MIRROR_ASK_BODY = 1 };			/* of ASK; WHOSE has the first */

struct mirror_domain {
	uint8_t id[MIRROR_DOMAIN];	/* SHA-256 of host, repository, credential */
	char credential[MIRROR_CREDENTIAL]; /* its name, for people; "": none */
};

struct mirror_serve {
	struct mirror_domain domain;
	uint16_t sandbox;		/* for limits and coalescing alone */
	uint8_t stale_ok;		/* the policy's `stale: allow` */
	uint8_t only;			/* upstream has no answer for clients: the verdict is never UPSTREAM, or a failure */
	uint8_t pad_[4];
	struct keeper_open open;	/* upload-pack, protocol version 2 */
};

enum mirror_how { MIRROR_FAILED = 0, MIRROR_SERVED, MIRROR_UPSTREAM };
struct mirror_verdict {
	uint32_t how;			/* enum mirror_how */
	uint32_t reason;		/* SERVED: enum reason of the answer, for the audit */
	uint32_t status;		/* upstream's, if it was asked; 0: none */
	uint32_t gone;			/* the front stopped listening */
	uint64_t down;			/* bytes of the answer */
	char detail[MIRROR_DETAIL];	/* plain text */
};

struct mirror_ask {
	struct mirror_domain domain;
	uint32_t large;			/* a fetch of objects, which may take long: for limits alone */
	uint32_t pad_;
	struct keeper_open open;
};

struct mirror_whose { char host[MSG_NAME], repo[GP_REPO_MAX + 1]; };
struct mirror_domain_of {
	uint32_t reason;		/* enum reason; none: it is */
	uint32_t pad_;
	struct mirror_domain domain;
};

enum mirror_what { MIRROR_REFRESHED = 1, MIRROR_EVICTED, MIRROR_REMOVED, MIRROR_DAMAGED, MIRROR_MAINTAINED,
		   MIRROR_TOO_LARGE, MIRROR_WHATS };
struct mirror_event {
	uint32_t what;			/* enum mirror_what */
	uint32_t pad_;
	uint64_t objects, bytes, ms;
	char host[MSG_NAME], repo[GP_REPO_MAX + 1], credential[MIRROR_CREDENTIAL];
};
const char *mirror_what_text(enum mirror_what w);

bool mirror_serve_ok(const struct mirror_serve *s);
bool mirror_verdict_ok(const struct mirror_verdict *v);
bool mirror_ask_ok(const struct mirror_ask *a);
bool mirror_whose_ok(const struct mirror_whose *w);
bool mirror_domain_of_ok(const struct mirror_domain_of *d);
bool mirror_event_ok(const struct mirror_event *e);

#endif
