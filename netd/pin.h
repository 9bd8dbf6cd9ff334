/*
 * pin.h - the resolver asks for a name to be granted (PIN), and is answered when it is (PINNED)
 */
#ifndef NETD_PIN_H
#define NETD_PIN_H

#include <stdint.h>

#include "base/mem.h"
#include "base/msg.h"
#include "netd/netd.h"

int pins_new(struct netd *n, struct pins **ret);
void pins_free(struct pins *ps);
DEFINE_AUTO(pins, struct pins *, pins_free)

/*
 * Answered at once or later, always exactly once (unless the part is gone). 0, or -EPROTO for a
 * message that no resolver of this build sends.
 */
int pin_start(struct netd *n, uint64_t part, uint32_t sequence, const struct msg_pin *m);
/* Grant what is due, after a part has been read; what comes due otherwise is granted a moment
 * later. */
void pins_turn(struct netd *n);

#endif
