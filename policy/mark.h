/*
 * mark.h - the 32-bit packet and conntrack mark: state << 28 | profile << 16 | sandbox
 *
 * The ruleset sets it from the identity map; 0 is never assigned. States are single bits. Before routing
 * only the state bits stay on the packet, the conntrack mark keeps all of it.
 */
#ifndef POLICY_MARK_H
#define POLICY_MARK_H

#include <stdint.h>

enum { MARK_SANDBOX_MAX = 0xffff, MARK_PROFILE_MAX = 0xfff };
#define MARK_FORWARD	0x10000000u	/* granted without inspection */
#define MARK_INSPECT	0x20000000u	/* first bytes go through the inspector */
#define MARK_DECIDED	0x40000000u	/* inspected and allowed: the kernel forwards alone */
#define MARK_STEERED	0x80000000u	/* handed to the resolver or the proxy */
/* SO_MARK of the sockets that steered packets are for: the ruleset lets them into no other. */
#define MARK_SERVICE	MARK_STEERED
#define MARK_STATE_MASK	0xf0000000u
#define MARK_PROFILE_MASK 0x0fff0000u
#define MARK_SANDBOX_MASK 0x0000ffffu

static inline uint32_t mark_of(uint16_t profile, uint16_t sandbox) { return (uint32_t)profile << 16 | sandbox; }
static inline uint16_t mark_profile(uint32_t m) { return (m & MARK_PROFILE_MASK) >> 16; }
static inline uint16_t mark_sandbox(uint32_t m) { return m & MARK_SANDBOX_MASK; }

#endif
