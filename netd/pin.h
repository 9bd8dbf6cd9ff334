/*
 * pin.h - the resolver asks for a name to be granted (PIN), and is answered when it is (PINNED)
 */
#ifndef NETD_PIN_H
#define NETD_PIN_H

#include <stdint.h>

#include "base/msg.h"
#include "netd/netd.h"

/*
 * Answered at once or later, always exactly once (unless the part is gone). 0, or -EPROTO for a message
 * that no resolver of this build sends.
 */
int pin_start(struct netd *n, uint64_t part, uint32_t sequence, const struct msg_pin *m);

#endif
