/*
 * upstream.h - requests to real servers
 */
#ifndef GITPROXY_KEEPER_UPSTREAM_H
#define GITPROXY_KEEPER_UPSTREAM_H

#include "gitproxy/keeper_ipc.h"
#include "gitproxy/keeper/credential_store.h"
#include "gitproxy/push_command.h"
#include "policy/host_config.h"

struct upstream;

/* While rights last: reads trusted certificates and the host's resolver. 0 or -errno. */
/* `ssh`: the pair of ssh_spawner.h, or -1; borrowed. */
int upstream_new(const struct host_config *c, int ssh, struct upstream **ret);
void upstream_free(struct upstream *u);
DEFINE_AUTO(upstream, struct upstream *, upstream_free)

/* A request to a host that is none of git's; decided, and checked by keeper_ipc.h. All borrowed. */
struct upstream_http {
	const char *method;
	struct rd target, fields;
	bool plain;			/* http on port 80 */
	bool has_body;
	bool upgrade;			/* a WebSocket handshake */
	uint64_t body_length;		/* or KEEPER_UNKNOWN; the body comes as frames on `answer` */
	uint64_t body_max;
	const struct policy *policy;	/* for where the answer may lead */
};
/* A push: what is sent is the commands of the list, then the file `body`. All borrowed. */
struct upstream_push {
	struct push_list *list;		/* its `upstream` is made less where a server has less */
	uint64_t pack_bytes;		/* of the request's body; 0: none */
	bool sent;			/* told back: something of it may have gone out */
	bool cut;			/* and its end has not; never of ssh, which takes ahead */
};
struct lfs_action;
struct echo;
/* One request of Git LFS; decided. Nothing of the first three's answer goes to `answer`, whose end is watched. */
enum upstream_lfs_step {
	UPSTREAM_LFS_ASK = 1,		/* a batch request: POST `body`, *collect gets the answer */
	UPSTREAM_LFS_BRING,		/* PUT the file `body_file` */
	UPSTREAM_LFS_TELL,		/* that it was brought: POST `body` */
	UPSTREAM_LFS_GET		/* the object goes to `answer` */
};
struct upstream_lfs {
	enum upstream_lfs_step step;
	const char *url;		/* https, of upstream_request.host */
	const struct lfs_action *action;	/* its fields are sent; NULL: none */
	struct rd body;
	struct wr *collect;
	const uint8_t *oid;		/* GET: what the bytes must be; */
	uint64_t size;			/* and how many; BRING: of the file */
	const struct echo *echo[2];	/* GET: what must not come back, sent or not; NULL: nothing */
};
struct upstream_request {
	uint16_t sandbox; /* connections are reused only within one sandbox, host and port */
	bool private_ok;		/* the policy lets this name have a private address */
	const char *host;		/* canonical */
	const struct keeper_open *open;		/* of git; or */
	const struct upstream_http *http;	/* or, with `open` for its names, */
	const struct upstream_lfs *lfs;
	struct upstream_push *push;	/* with `open`, which is an RPC of receive-pack; else NULL */
	/* NULL: none; borrowed. With one, answers that cannot be searched for it are refused. */
	const struct credential *credential;
	int body; /* regular file of open->body_length bytes, or -1; borrowed */
	int answer;			/* frames go here; borrowed */
	/* Of a tunnel, about once a second: does the policy still allow it? Borrowed. */
	bool (*holds)(const void *of);
	const void *holds_of;
	bool may_keep;			/* http: the front may be told that another request can come */
	bool respelled;			/* git: by upstream's word; there is no second one */
	/* NULL at first; upstream_room_free() it after the last of requests that follow each other. Or NULL. */
	struct upstream_room **room;
};
struct upstream_room;			/* memory that a request needs while it runs */
struct upstream_outcome {
	enum reason reason;		/* REASON_NONE: complete answer delivered */
	unsigned status;		/* upstream's; 0: none */
	bool kept;			/* it was told so */
	bool gone;			/* the front stopped listening: upstream is not to blame */
	uint64_t down;			/* body bytes delivered */
	char detail[160];		/* for the log; may hold peer bytes */
	char respelled[GP_REPO_MAX + 1];	/* upstream.c's own: nothing was answered, for it is to be asked by this */
};
/*
 * Perform one request and answer it with STATUS, DATA, END. Blocks; bounded by the configured
 * times. When the front closes its end the transfer stops. Thread-safe.
 */
void upstream_run(struct upstream *u, const struct upstream_request *rq,
		  struct upstream_outcome *ret);
void upstream_room_free(struct upstream_room *r);	/* NULL is fine */
/* What other requests of the keeper dial with. */
const struct dial_ways *upstream_ways(const struct upstream *u);
/* Close connections that rested too long; about once a second. */
void upstream_tick(struct upstream *u);

/* Send one frame: kind and up to KEEPER_DATA_MAX bytes. 0, -ETIMEDOUT, -EPIPE, -errno. */
int upstream_send(int answer, const void *head, size_t head_n, const void *data, size_t n,
		  uint64_t deadline);

#endif
