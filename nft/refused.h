/*
 * refused.h - the kernel's exact counts of what was refused, see ruleset_refused_each()
 */
#ifndef NFT_REFUSED_H
#define NFT_REFUSED_H

#include "nft/batch.h"
#include "nft/ruleset.h"

int refused_each(struct batch *b, ruleset_refused_fn *fn, void *owner);
int refused_of(struct batch *b, uint16_t sandbox, const char *interface, ruleset_refused_fn *fn, void *owner);
int refused_forget(struct batch *b, uint16_t sandbox, const char *interface);

#endif
