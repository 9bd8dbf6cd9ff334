/*
 * queue_rule.h - the one rule that is inserted at run time: packets of chain inspect to the inspector
 */
#ifndef NFT_QUEUE_RULE_H
#define NFT_QUEUE_RULE_H

#include "nft/batch.h"

/* 0 when the rule stands before the drop of chain inspect (put there unless it was), or -errno. */
int queue_rule_ensure(struct batch *b, uint16_t queue, bool *ret_native);

#endif
