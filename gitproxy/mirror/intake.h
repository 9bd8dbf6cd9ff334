/*
 * intake.h - a pack of upstream's, checked and taken into a mirror
 */
#ifndef GITPROXY_MIRROR_INTAKE_H
#define GITPROXY_MIRROR_INTAKE_H

#include "gitproxy/mirror/ask.h"
#include "gitproxy/mirror/repo.h"

/* An empty repository where there is none, of x->format. 0 or -errno. */
int intake_prepare(struct repo *x);
/*
 * Ask (a fetch) and take the pack of the answer in. 0 with no reason in *ret_outcome: its objects are there;
 * with another: upstream refused. -EFBIG: with it the repository would take more than `max` bytes. Or
 * -errno: what came was no good, or a part of this host failed. Counts in x->received and x->objects.
 */
int intake_run(struct repo *x, const struct ask *q, uint64_t max, struct ask_outcome *ret_outcome);

#endif
