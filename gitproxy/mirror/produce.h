/*
 * produce.h - answers to fetches, made by git
 */
#ifndef GITPROXY_MIRROR_PRODUCE_H
#define GITPROXY_MIRROR_PRODUCE_H

#include "gitproxy/mirror/fetch_request.h"
#include "gitproxy/mirror/repo.h"
#include "gitproxy/mirror/spool.h"

enum { PRODUCE_WAIT_MS = 5000 };
struct producers;
/* At most `n` at a time, at least 2, of these repositories (borrowed). 0 or -ENOMEM. */
int producers_new(unsigned n, struct repos *repos, struct producers **ret);
void producers_free(struct producers *p);	/* when none runs */

/*
 * Have the answer to q produced from x into w, which it takes, in a thread of its own: it goes on when
 * who asked first has left, as long as anybody reads. It fails when it finds no place for PRODUCE_WAIT_MS.
 * `sandbox`: who asked first, for a fair share. 0, or -errno: w has failed.
 */
int produce_start(struct producers *p, struct repo *x, uint16_t sandbox, const struct fetch_request *q,
		  struct spool_writer *w);
/* What git says to a request, into a file (of which *ret_n bytes): for what is never kept. 0 or -errno. */
int produce_now(struct repo *x, const struct fetch_request *q, int file, uint64_t *ret_n);

#endif
