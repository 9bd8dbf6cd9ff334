/*
 * element.h - struct ruleset_elem to and from the bytes of a set element
 *
 * A concatenated key is its fields one after another, each padded with zeros to four bytes (the
 * kernel's register size); marks are in host order, everything else in network order.
 */
#ifndef NFT_ELEMENT_H
#define NFT_ELEMENT_H

#include "base/bytes.h"
#include "nft/ruleset.h"

enum { ELEMENT_KEY_MAX = 64, ELEMENT_DATA_MAX = 16 };

struct element_wire {
	uint8_t key[ELEMENT_KEY_MAX];
	size_t key_n;
	uint8_t data[ELEMENT_DATA_MAX];	/* none for names, a chain for grants */
	size_t data_n;
	const char *chain;		/* MAP_GRANTS: where to go; NULL otherwise */
};

/* The set or map that holds it, "identity4"; NULL for an element without a family. */
const char *element_set_name(enum ruleset_map map, uint8_t family);
/* False: the element does not make sense (no family, no action). */
bool element_encode(const struct ruleset_elem *e, struct element_wire *ret);
/* The inverse. `chain` is NULL where the value is none. */
bool element_decode(enum ruleset_map map, uint8_t family, struct rd key, struct rd data,
		    const char *chain, struct ruleset_elem *ret);

#endif
