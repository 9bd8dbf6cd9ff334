/*
 * doctor_rules.h - every chain, rule, set and flowtable of the host but Cordon's own, read once
 */
#ifndef CLI_DOCTOR_RULES_H
#define CLI_DOCTOR_RULES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <netinet/in.h> /* before the kernel's own */
#include <libnftnl/chain.h>
#include <libnftnl/rule.h>

#include "base/mem.h"
#include "nft/batch.h"

/* hook: NF_INET_* or NF_NETDEV_*; -1: no base chain. */
struct rules_chain {
	struct nftnl_chain *c; /* owned */
	uint32_t family;
	const char *table, *name; /* borrowed from c */
	int hook;
	int32_t priority;
	uint32_t policy;	  /* NF_ACCEPT, NF_DROP */
	struct nftnl_rule **rule; /* owned, in order */
	size_t n;
};

struct rules_elem {
	uint8_t key[64];
	uint32_t key_n;
	bool has_verdict;
	uint32_t verdict;
	const char *chain; /* owned by rules_set: of a jump or goto */
};

struct rules_set {
	uint32_t flags; /* NFT_SET_* */
	struct rules_elem *elem;
	size_t n;
};

struct rules {
	struct batch batch;
	struct rules_chain *chain;
	size_t n;
};

/* 0 or -errno. */
int rules_read(struct rules **ret);
void rules_free(struct rules *r);
DEFINE_AUTO(rules, struct rules *, rules_free)

/* NULL: there is none of that name. */
const struct rules_chain *rules_chain_named(const struct rules *r, uint32_t family,
					    const char *table, const char *name);
/* The elements of a set; rules_set_done(). 0 or -errno. */
int rules_set_read(struct rules *r, const struct rules_chain *at, const char *name,
		   struct rules_set *ret);
void rules_set_done(struct rules_set *s);
/* Each device of each flowtable that is not Cordon's. 0 or -errno. */
int rules_flowtables(struct rules *r,
		     void (*fn)(void *owner, const char *table, const char *name, const char *dev),
		     void *owner);
const char *rules_family_name(uint32_t family); /* as nft spells it */

#endif
