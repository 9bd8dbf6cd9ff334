/*
 * address.h - address classes (what a name may resolve to) and the synthetic pool
 *
 * One implementation for netd (pin), dns (answer) and keeper (dial). Spec: threats A10; RFC 6890,
 * RFC 4291 s2.5.5, RFC 6052, RFC 3056, RFC 4380 (the embedded IPv4 address is classified too).
 */
#ifndef POLICY_ADDRESS_H
#define POLICY_ADDRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"

enum address_class {
	ADDRESS_FORBIDDEN = 0,	/* loopback, link-local, metadata, multicast, reserved, synthetic, sandbox, host */
	ADDRESS_PRIVATE,	/* RFC 1918, 100.64/10, ULA: only for rules with private: true */
	ADDRESS_PUBLIC
};

/* What is not in the RFCs but in the host configuration: synthetic pools, sandbox networks, host addresses. */
struct address_context {
	const struct prefix *forbidden;
	size_t n;
};

enum address_class address_classify(const struct addr *a, const struct address_context *ctx);
/* Whether a real address may be used for a grant. */
bool address_usable(const struct addr *a, const struct address_context *ctx, bool private_ok);
/* Forbidden addresses that a prefix holds or lies in: what they are, and (ret_part) which. NULL: none. */
const char *address_forbids(const struct prefix *p, const struct address_context *ctx, struct prefix *ret_part);

/*
 * The synthetic pool: index i is base4 + i and base6 + i. The first POOL_FIRST_NAME are for services,
 * which listen on them (IP_TRANSPARENT) though no interface has them: only TPROXY delivers there.
 */
enum { POOL_CORDON_INTERNAL = 1, POOL_DNS = 53, POOL_PROXY = 80, POOL_FIRST_NAME = 256 };
/* The name of POOL_CORDON_INTERNAL, which every sandbox has; the proxy itself answers there. */
#define CORDON_INTERNAL "cordon.internal"
enum { PORT_DNS = 53, PORT_PROXY = 8443 };	/* of the service addresses, UDP and TCP */
struct pool { struct prefix v4, v6; };
struct addr pool_addr4(const struct pool *p, uint32_t index);
struct addr pool_addr6(const struct pool *p, uint32_t index);
bool pool_index(const struct pool *p, const struct addr *a, uint32_t *ret_index);
uint32_t pool_size(const struct pool *p);	/* indexes below this are valid in both families */

#endif
