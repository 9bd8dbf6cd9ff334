/*
 * serve.h - the keeper's side of the conversation with the front
 */
#ifndef GITPROXY_KEEPER_SERVE_H
#define GITPROXY_KEEPER_SERVE_H

#include "base/audit.h"
#include "gitproxy/keeper/ca.h"
#include "gitproxy/keeper/credential_store.h"
#include "gitproxy/keeper/ssh_spawner.h"
#include "gitproxy/keeper/upstream.h"
#include "policy/view.h"

enum {
	SERVE_JOBS_MAX = 512,		/* requests of sandboxes */
	SERVE_TUNNELS_MAX = SERVE_JOBS_MAX / 2,
	SERVE_THREADS_MAX = SERVE_JOBS_MAX + 256, /* and those of which nobody knows yet whose they are */
	SERVE_SSH_PUSHES_MAX = SSH_CHILDREN_MAX / 2, /* over ssh; the others are for what the mirrors fetch */
	SERVE_SIGNS_MAX = 128,
	SERVE_ASKS_MAX = 128,		/* small questions of the mirror */
	SERVE_FETCHES_MAX = 64		/* and its fetches */
};

struct serve;
/* All are borrowed and must outlive it. 0 or -ENOMEM. */
int serve_new(const struct host_config *config, struct ca *ca, struct upstream *u,
	      struct credential_store *c, struct view *v, struct audit *a, struct serve **ret);
/*
 * Read one request from the front and start a thread for it. 0, or -errno: the conversation is over
 * (-ECONNRESET: the front is gone; -EPROTO: it sent what our front never sends).
 */
int serve_request(struct serve *s, int front);
int serve_ask(struct serve *s, int mirror);	/* the same for cordon-mirror */

#endif
