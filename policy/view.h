/*
 * view.h - a part's picture of sandboxes, profiles and names, kept in step with netd
 *
 * Theory of operation: dns, gitproxy and keeper hold one connection to RUN/parts/netd.sock.
 * view_feed() eats what arrives and answers DONE; until END came (and whenever the connection is
 * lost) the view is not ready and every look-up fails, so the part refuses everything. The owner
 * reconnects with view_connect() (proxied connections that run go on). Look-ups are thread-safe
 * (rwlock) and give copies and a reference to the policy, so nothing borrowed outlives the lock.
 */
#ifndef POLICY_VIEW_H
#define POLICY_VIEW_H

#include <stdbool.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/msg.h"
#include "base/proc.h"
#include "policy/host_config.h"
#include "policy/policy.h"

struct view;

/* `extra` (may be NULL) gets what the view does not know (PINNED, CLOSE), and in dns NAME_GONE, too, which
 * the view answers; returns 0 or -errno. */
typedef int view_extra_fn(void *owner, const struct ipc_in *in);
int view_new(const struct host_config *c, enum proc_role role, view_extra_fn *extra, void *owner,
	     struct view **ret);
void view_free(struct view *v);
/*
 * Called when a new snapshot is complete, for each sandbox of the old one that is gone or has another
 * policy: netd could not tell while the connection was lost. In the feeding thread, before the view
 * is ready again. Set before the first connection.
 */
typedef void view_revoked_fn(void *owner, uint16_t sandbox);
void view_set_revoked(struct view *v, view_revoked_fn *fn);
/* Called in the feeding thread whenever the view became ready. Set before the first connection. */
typedef void view_became_ready_fn(void *owner);
void view_set_became_ready(struct view *v, view_became_ready_fn *fn);
DEFINE_AUTO(view, struct view *, view_free)

/*
 * Connect, say HELLO. Returns the descriptor (owned by the view, blocking; poll it, then
 * view_feed()) or -errno. Forgets the old picture only when the new snapshot is complete; not ready
 * meanwhile.
 */
int view_connect(struct view *v);
/* Read and apply one datagram. 0, or -errno: connection lost (closed; view_connect() again). */
int view_feed(struct view *v);
bool view_ready(struct view *v);
/* A thread that connects, feeds and reconnects for ever (for gitproxy and keeper). 0 or -errno. */
int view_start_thread(struct view *v);
/* Wait until ready; 0 or -ETIMEDOUT. For threaded users at start. */
int view_wait_ready(struct view *v, unsigned timeout_ms);

struct view_sandbox {
	uint16_t id, profile;
	struct addr addr[2];
	char name[MSG_LABEL];
	struct policy *policy;			/* a reference: view_sandbox_done() */
};
/* By guest address. False: unknown sandbox, or not ready: refuse. */
bool view_sandbox_of(struct view *v, const struct addr *guest, struct view_sandbox *ret);
/*
 * The same, and while there is no picture wait for one, so that netd may be started anew behind those
 * who are served: 0, -ENOENT (unknown sandbox) or -ETIMEDOUT (no picture in time): refuse.
 */
int view_sandbox_wait(struct view *v, const struct addr *guest, unsigned timeout_ms,
		      struct view_sandbox *ret);
void view_sandbox_done(struct view_sandbox *s);
/* A reference to the policy in force under this id; NULL: none, or not ready. */
struct policy *view_policy_of(struct view *v, uint16_t profile);
/* The name behind a synthetic address. */
bool view_name_of(struct view *v, const struct addr *synthetic, char out[MSG_NAME]);
/* Send on the connection (thread-safe). */
int view_send(struct view *v, enum msg_type t, uint32_t sequence, const void *body);

#endif
