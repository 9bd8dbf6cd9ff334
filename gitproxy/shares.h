/*
 * shares.h - places that all sandboxes share, so that none of them gets all
 */
#ifndef GITPROXY_SHARES_H
#define GITPROXY_SHARES_H

#include <stdbool.h>
#include <stdint.h>

/* Embedded, beside the lock of its owner; all zero but `max`: nothing is taken. */
struct shares {
	uint32_t max;			/* places, at most UINT16_MAX */
	uint32_t taken;
	uint16_t of[UINT16_MAX + 1];	/* by sandbox */
};

/* One more for the sandbox. False: it has its share. */
bool shares_take(struct shares *s, uint16_t sandbox);
void shares_give(struct shares *s, uint16_t sandbox);

#endif
