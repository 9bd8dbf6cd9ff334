/*
 * serve_job.h - one request of the front while it is served. Private to serve*.c
 */
#ifndef GITPROXY_KEEPER_SERVE_JOB_H
#define GITPROXY_KEEPER_SERVE_JOB_H

#include "gitproxy/keeper/serve.h"

enum { SERVE_ANSWER_MS = 10000 };

struct job {
	struct serve *serve;
	struct upstream *upstream;	/* borrowed, as is audit */
	struct audit *audit;
	struct ipc_in in;
	uint64_t started;
};

/* An allowed or refused request to a host that is none of git's, for this sandbox. */
void serve_http(struct job *j, const struct view_sandbox *sb);
/* Only that: the front's request cannot be served. */
void serve_http_refuse(const struct job *j, enum reason reason);
/* May the name have a private address? */
bool serve_private_ok(const struct view_sandbox *sb, const char *host);

#endif
