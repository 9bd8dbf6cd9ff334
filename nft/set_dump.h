/*
 * set_dump.h - every element of one set, as libnftnl gives it
 */
#ifndef NFT_SET_DUMP_H
#define NFT_SET_DUMP_H

#include <libnftnl/set.h>

#include "nft/batch.h"

/* fn returns 0 to go on. */
typedef int set_dump_fn(void *owner, struct nftnl_set_elem *el);
/* `family` is the table's: NFPROTO_INET or NFPROTO_ARP; its name is "cordon". 0 or -errno. */
/* Every element of the answers to one request. */
int set_answers(struct batch *b, struct nlmsghdr *h, set_dump_fn *fn, void *owner);
int set_dump(struct batch *b, uint8_t family, const char *set, set_dump_fn *fn, void *owner);

#endif
