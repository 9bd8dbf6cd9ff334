/*
 * job.h - one request of the keeper while it is served. Private to gitproxy/mirror/
 */
#ifndef GITPROXY_MIRROR_JOB_H
#define GITPROXY_MIRROR_JOB_H

#include "gitproxy/mirror/mirror.h"

struct job {
	struct mirror *mirror;		/* borrowed */
	struct ipc_in in;		/* struct mirror_serve and its descriptors */
	const struct mirror_serve *q;	/* in it */
	uint64_t started;
	struct mirror_verdict verdict;	/* sent when the job is over */
};

/* Serve it: fill job->verdict. What is not done says MIRROR_UPSTREAM: the keeper then asks upstream. */
void job_run(struct job *j);

#endif
