/*
 * slot.h - which link numbers are taken by runs of this host
 */
#ifndef CLI_SLOT_H
#define CLI_SLOT_H

#include <stdbool.h>

#include "cli/run_net.h"
#include "policy/host_config.h"

/* Held while the run lasts; a killed run's slot is free by itself. Zero-initialise with fd -1. */
struct slot {
	int fd;
	unsigned n;
	struct run_link link;
};

/* All with the lock of up.h held. 0, -EADDRNOTAVAIL when all are taken, or -errno. */
int slot_take(const struct host_config *c, struct slot *ret);
void slot_release(const struct host_config *c, struct slot *s);
/* Whether any run holds a slot. */
bool slot_any(const struct host_config *c);

#endif
