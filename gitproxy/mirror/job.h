/*
 * job.h - one request of the keeper while it is served. Private to gitproxy/mirror/
 */
#ifndef GITPROXY_MIRROR_JOB_H
#define GITPROXY_MIRROR_JOB_H

#include "gitproxy/mirror/answer.h"
#include "gitproxy/mirror/behind.h"
#include "gitproxy/mirror/fetch_request.h"
#include "gitproxy/mirror/mirror.h"
#include "gitproxy/mirror/produce.h"
#include "gitproxy/mirror/refresh.h"
#include "gitproxy/mirror/spool.h"
#include "gitproxy/mirror/upkeep.h"

enum { JOB_RIGHT_MS = 60000 };	/* upstream let the credential in, so long ago at most */

/* What all jobs share. */
struct depot {
	const struct host_config *config;	/* borrowed */
	struct repos *repos;
	struct flights *flights;
	struct spool *spool;
	struct producers *producers;
	struct refresh refresh;
	struct behind *behind;
	struct upkeep *upkeep;
	struct room *bodies;		/* of the memory: what requests take that are at work */
	struct judge *judge;
	struct lfs_store *lfs;
	struct room *pushes;		/* of the disk: what their quarantines take */
	const char *folder;		/* the mirrors' */
};

struct job {
	struct mirror *mirror;		/* borrowed, as is the depot */
	struct depot *depot;
	struct ipc_in in;		/* struct mirror_serve and its descriptors */
	const struct mirror_serve *q;	/* in it */
	int to;				/* the front's answer socket; borrowed from it */
	struct repo *repo;		/* held */
	uint64_t started;
	bool told;			/* the answer has begun, with progress: serve_fill.c */
	struct mirror_verdict verdict;	/* sent when the job is over */
};

/* Serve it: fill job->verdict. What is not done says MIRROR_UPSTREAM: the keeper then asks upstream. */
void job_run(struct job *j);

/* For serve_*.c. Something of the answer was sent, with this result of answer_*(); bytes of it in all. */
void job_sent(struct job *j, int result, uint64_t down);
/* Upstream said no, or was not there: refuse, unless the keeper should ask again to see where it moved. */
void job_refused(struct job *j, const struct ask_outcome *o);
/* Upstream answered a question about references: take note of what that says of the credential's right. */
void job_let_in(struct job *j, const struct flight_answer *a);
/* Upstream is away, and the policy lets the mirror answer for it. */
bool job_may_be_stale(struct job *j, const struct ask_outcome *o);
/* Refuse for a reason of ours. */
void job_refuse(struct job *j, enum reason reason, const char *why);

/* The requests. Each ends with one of the above. */
void serve_fetch(struct job *j, const struct fetch_request *q);
void serve_lfs_put(struct job *j);
void serve_push_advert(struct job *j);
void serve_push(struct job *j);

#endif
