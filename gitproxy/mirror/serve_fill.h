/*
 * serve_fill.h - a client that waits for the first copy of a repository
 */
#ifndef GITPROXY_MIRROR_SERVE_FILL_H
#define GITPROXY_MIRROR_SERVE_FILL_H

#include "gitproxy/mirror/job.h"

/*
 * Wait until the mirror serves, and tell the client meanwhile (then j->told: its answer has begun).
 * False: the job is over.
 */
bool fill_wait(struct job *j, const struct fetch_request *q);
/* More of an answer than `have` bytes, or its end. 0 or -errno. */
typedef int fill_more_fn(const struct job *j, struct spool_reader *r, uint64_t have, struct spool_progress *ret);
/* The rest of an answer that was begun so, of which `now` is there, to its end. */
void fill_pass(struct job *j, struct spool_reader *r, struct spool_progress now, fill_more_fn *more);

#endif
