/*
 * flows_to.h - the flows to synthetic addresses, as conntrack has them
 */
#ifndef NETD_FLOWS_TO_H
#define NETD_FLOWS_TO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"

enum { FLOWS_LATELY_S = 10 };

/* While files can still be opened: how long the kernel keeps what. */
void flows_to_init(void);

struct flows_to {
	struct addr synthetic, real; /* of one family, all of a call */
	bool answered;		     /* out */
};
/*
 * Has `real` answered any TCP flow to `synthetic` within the last FLOWS_LATELY_S? One pass over the table;
 * how many entries that were, or -errno.
 */
int flows_answered(struct flows_to *to, size_t n);
/*
 * Delete the TCP entries to `synthetic` that never saw an answer, but those that go to `real` already:
 * the client's next SYN opens a new flow. One pass; 0 or -errno.
 */
int flows_drop_unanswered(const struct flows_to *to, size_t n);

/* Every entry's original destination; one pass over the whole table. 0 or more, or -errno. */
typedef void flows_each_fn(void *owner, const struct addr *to);
int flows_each(flows_each_fn *fn, void *owner);

#endif
