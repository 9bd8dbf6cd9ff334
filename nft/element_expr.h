/*
 * element_expr.h - what an element keeps besides key and value: its limit, its counter, its age
 */
#ifndef NFT_ELEMENT_EXPR_H
#define NFT_ELEMENT_EXPR_H

#include <libnftnl/set.h>

#include "nft/ruleset.h"

/* Give `el` the limit of `e`, where its set has limits. 0, -EINVAL (a limit of 0) or -ENOMEM. */
int element_expr_put(const struct ruleset_elem *e, struct nftnl_set_elem *el);
/* Fill limit, packets and age of `e` from what the kernel gave. */
void element_expr_get(const struct nftnl_set_elem *el, struct ruleset_elem *e);

struct element_count { uint64_t packets, bytes; };
/* The counter; zero when there is none. */
struct element_count element_count(const struct nftnl_set_elem *el);

#endif
