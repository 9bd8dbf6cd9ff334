/*
 * serve_job.h - one request of the front while it is served. Private to serve*.c
 */
#ifndef GITPROXY_KEEPER_SERVE_JOB_H
#define GITPROXY_KEEPER_SERVE_JOB_H

#include "gitproxy/keeper/serve.h"

enum { SERVE_ANSWER_MS = 10000 };

struct job {
	struct serve *serve;
	const struct host_config *config; /* borrowed, as are the next five */
	struct upstream *upstream;
	struct credential_store *credentials;
	struct view *view;
	struct audit *audit;
	struct lfs_links *links;
	struct ipc_in in;
	uint64_t started;		/* the request that is served */
};

/* Requests to hosts that are none of git's, for the sandbox that has this address and id. */
void serve_http(struct job *j, const struct addr *peer, uint16_t sandbox);
/* The sandbox that has this address now; or the reason why nobody's requests are served. */
enum reason serve_who(struct serve *s, const struct addr *peer, struct view_sandbox *ret);
/*
 * Is the sandbox (NULL: the mirror) beyond its lines of the audit per second? Then what differs between
 * them is "*", so that they are counted together. Takes one.
 */
bool serve_many_lines(struct serve *s, const struct view_sandbox *sb);
/* May a conversation that rests keep its thread? */
bool serve_has_room(struct serve *s);
/* Only that: the front's request cannot be served. */
void serve_http_refuse(const struct job *j, enum reason reason);
/* May the name have a private address? */
bool serve_private_ok(const struct view_sandbox *sb, const char *host);

/*
 * serve_mirror.c. May the mirror answer this request, which the policy allows? And have it do so: true, with
 * *ret filled; false: it leaves that to upstream.
 */
bool serve_by_mirror(const struct view_sandbox *sb, const struct keeper_open *o);
/* Nobody but the mirror can answer: what is reached by ssh is spoken to in its words. */
bool serve_only_mirror(const struct credential *c);
bool serve_mirror(struct job *j, const struct view_sandbox *sb, const struct upstream_request *rq,
		  struct upstream_outcome *ret);
/* Nobody but the mirror's process may serve pushes: it asks the gate. */
bool serve_is_push(const struct keeper_open *o);
/* A request for which its process answers, or fails. `fds`: as of SERVE, without the first two. */
struct mirror_serve;
bool serve_mirror_begin(const struct view_sandbox *sb, const struct upstream_request *rq, struct mirror_serve *ret);
int serve_mirror_hand_over(const struct mirror_serve *q, int answer, const int *fds, size_t n, int *ret_verdict);
struct mirror_verdict;
void serve_mirror_verdict(const struct mirror_verdict *v, struct upstream_outcome *ret);
/* serve_push.c: the commands and the pack of a push. Always answered. */
struct repo_decision;
void serve_push(struct job *j, const struct view_sandbox *sb, const struct repo_decision *d,
		struct upstream_request *rq, struct upstream_outcome *ret);
/* For q, with what a push is judged by: the rules, and which findings are accepted. 0 or -errno. */
int serve_push_hand_over(struct job *j, const struct view_sandbox *sb, const struct upstream_request *rq,
			 const struct mirror_serve *q, int *ret_verdict);
/* One of the places for pushes over ssh; waits for one. False: there is none. */
bool serve_ssh_push_begin(struct serve *s, uint16_t sandbox);
void serve_ssh_push_end(struct serve *s, uint16_t sandbox);
/* What the mirror asks for, and what it tells. */
void serve_mirror_ask(struct job *j);
void serve_mirror_whose(struct job *j);
void serve_mirror_event(const struct job *j);
bool serve_mirror_ok(const struct ipc_in *in);

/*
 * serve_lfs.c. Requests of Git LFS, which the policy allows, with the credential that there is.
 * Answers, and fills *ret.
 */
void serve_lfs(struct job *j, const struct view_sandbox *sb, const struct upstream_request *rq,
	       struct upstream_outcome *ret);
/*
 * A push's LFS_ASK or LFS_BRING, whose right was judged: `reason` is why not. Answers. False: it is none that our
 * mirror sends.
 */
bool serve_lfs_of_push(struct job *j, const struct view_sandbox *sb, const struct upstream_request *rq,
		       const struct ipc_in *in, enum reason reason);

/* The body is a plain file of the announced length: reading it cannot block. */
bool serve_body_ok(const struct keeper_open *o, int body);
/* Tell the reason on this socket, as a STATUS. */
void serve_refuse(int answer, enum reason reason);

#endif
