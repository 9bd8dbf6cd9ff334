/*
 * refusals.h - the kernel's exact counts of refused packets, and what of them the log has told
 */
#ifndef NETD_REFUSALS_H
#define NETD_REFUSALS_H

#include <stdint.h>

#include "base/mem.h"
#include "netd/netd.h"
#include "policy/reason.h"

struct refusals;
struct sandbox;

/* Reads the counts as they are: what an earlier netd saw is not told again. 0 or -errno. */
int refusals_new(struct netd *n, struct refusals **ret);
void refusals_free(struct refusals *f);
DEFINE_AUTO(refusals, struct refusals *, refusals_free)

/* A packet was logged: `interface` and `sandbox` (0: unknown source) as in the kernel's key. */
void refusals_logged(struct refusals *f, enum reason reason, uint16_t sandbox, const char *interface);
/* Read the counts; what nobody logged goes to the audit as one line per sandbox, interface and reason. */
void refusals_collect(struct refusals *f);
/* The sandbox goes: collect, then forget its counts, here and in the kernel. */
void refusals_forget(struct refusals *f, const struct sandbox *s);

/*
 * As last collected: packets refused on the links of one sandbox, several times when it was by several
 * identities; 0: on links that nobody registered.
 */
typedef void refusals_fn(void *owner, uint16_t sandbox, enum reason reason, uint64_t packets);
void refusals_each(struct refusals *f, refusals_fn *fn, void *owner);

#endif
