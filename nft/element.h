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
	uint8_t key[ELEMENT_KEY_MAX], end[ELEMENT_KEY_MAX];
	size_t key_n, end_n;		/* end: of ranges, else none */
	uint8_t data[ELEMENT_DATA_MAX];
	size_t data_n;			/* none: a set */
};

/* As the kernel hands it back; `end` and `data` may be empty. */
struct element_raw { struct rd key, end, data; };

/* The set or map that holds it, "identity4"; NULL for an element without the family it needs. */
const char *element_set_name(enum ruleset_map map, uint8_t family);
/* False: the element does not make sense (no family, no action). */
bool element_encode(const struct ruleset_elem *e, struct element_wire *ret);
/* The inverse; limits and counters lie in expressions, see ruleset.c. */
bool element_decode(enum ruleset_map map, uint8_t family, const struct element_raw *raw,
		    struct ruleset_elem *ret);

#endif
