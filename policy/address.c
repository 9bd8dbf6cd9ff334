/*
 * address.c - what a name may resolve to, and the arithmetic of the synthetic pool
 *
 * Theory of operation: a table of prefixes, first match wins, so metadata addresses inside a
 * private range stand before it. What the table does not name is public. IPv6 forms that carry an
 * IPv4 address are refused outright (no server lives at a v4-mapped, v4-compatible, 6to4 or Teredo
 * address, and RFC 8215 prefixes are local use), except the well-known NAT64 prefix: hosts behind
 * NAT64 see every IPv4 server through it, so there the IPv4 address inside decides, and RFC 6052
 * s3.1 forbids private ones. The context (pools, sandbox networks, host addresses) is asked for the
 * address and for what it carries.
 * Spec: threats A10, RFC 6890, RFC 4291 s2.5.5, RFC 6052, RFC 3056, RFC 4380.
 */
#include "policy/address.h"

#include <string.h>

#include "base/mem.h"

enum { POOL_SIZE_MAX = 1 << 24 };

/* clang-format off: a table is read in columns */
#define V4(a, b, c, d) { 4, { a, b, c, d } }
#define V6(...) { 6, { __VA_ARGS__ } }

static const struct {
	struct prefix prefix;
	enum address_class class;
	const char *what;	/* of forbidden ones */
} classes[] = {
	/* Metadata services of clouds; 169.254/16 and 192.0.0/24 cover those that are not here. */
	{ { V4(100, 100, 100, 200), 32 }, ADDRESS_FORBIDDEN, "the metadata service of Alibaba" },
	{ { V4(168, 63, 129, 16), 32 }, ADDRESS_FORBIDDEN, "the metadata service of Azure" },	/* public */
	{ { V6(0xfd, 0x00, 0x0e, 0xc2), 32 }, ADDRESS_FORBIDDEN, "the metadata service of AWS" }, /* fd00:ec2::254 */
	{ { V6(0xfd, 0x20, 0x00, 0xce), 32 }, ADDRESS_FORBIDDEN, "the metadata service of Google" }, /* fd20:ce::254 */
	{ { V6(0xfd, 0x00, 0x00, 0x42), 32 }, ADDRESS_FORBIDDEN, "the metadata service of Scaleway" }, /* fd00:42::42 */

	{ { V4(0, 0, 0, 0), 8 }, ADDRESS_FORBIDDEN, "this network" },
	{ { V4(127, 0, 0, 0), 8 }, ADDRESS_FORBIDDEN, "loopback" },
	{ { V4(169, 254, 0, 0), 16 }, ADDRESS_FORBIDDEN, "link-local" },
	{ { V4(192, 0, 0, 0), 24 }, ADDRESS_FORBIDDEN, "protocol assignments" },
	{ { V4(192, 0, 2, 0), 24 }, ADDRESS_FORBIDDEN, "documentation" },	/* RFC 5737 */
	{ { V4(198, 51, 100, 0), 24 }, ADDRESS_FORBIDDEN, "documentation" },
	{ { V4(203, 0, 113, 0), 24 }, ADDRESS_FORBIDDEN, "documentation" },
	{ { V4(192, 88, 99, 0), 24 }, ADDRESS_FORBIDDEN, "6to4 relays" },	/* RFC 7526 */
	{ { V4(198, 18, 0, 0), 15 }, ADDRESS_FORBIDDEN, "benchmarks" },		/* the usual pool */
	{ { V4(224, 0, 0, 0), 4 }, ADDRESS_FORBIDDEN, "multicast" },
	{ { V4(240, 0, 0, 0), 4 }, ADDRESS_FORBIDDEN, "reserved" },		/* and broadcast */
	{ { V4(10, 0, 0, 0), 8 }, ADDRESS_PRIVATE },
	{ { V4(172, 16, 0, 0), 12 }, ADDRESS_PRIVATE },
	{ { V4(192, 168, 0, 0), 16 }, ADDRESS_PRIVATE },
	{ { V4(100, 64, 0, 0), 10 }, ADDRESS_PRIVATE },				/* shared, RFC 6598 */

	{ { V6(0), 96 }, ADDRESS_FORBIDDEN, "loopback and IPv4 inside" },	/* ::, ::1, v4-compatible */
	{ { V6(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff), 96 }, ADDRESS_FORBIDDEN, "IPv4 inside" }, /* v4-mapped */
	{ { V6(0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff), 96 }, ADDRESS_FORBIDDEN, "IPv4 inside" }, /* v4-translated, SIIT */
	{ { V6(0x00, 0x64, 0xff, 0x9b, 0, 1), 48 }, ADDRESS_FORBIDDEN, "local NAT64" },
	{ { V6(0x01, 0x00), 64 }, ADDRESS_FORBIDDEN, "discard" },		/* RFC 6666 */
	{ { V6(0x20, 0x01), 32 }, ADDRESS_FORBIDDEN, "Teredo" },
	{ { V6(0x20, 0x01, 0x00, 0x10), 28 }, ADDRESS_FORBIDDEN, "ORCHID" },
	{ { V6(0x20, 0x01, 0x00, 0x20), 28 }, ADDRESS_FORBIDDEN, "ORCHIDv2" },
	{ { V6(0x20, 0x01, 0x0d, 0xb8), 32 }, ADDRESS_FORBIDDEN, "documentation" },
	{ { V6(0x3f, 0xff), 20 }, ADDRESS_FORBIDDEN, "documentation" },		/* RFC 9637 */
	{ { V6(0x20, 0x02), 16 }, ADDRESS_FORBIDDEN, "6to4" },
	{ { V6(0x5f, 0x00), 16 }, ADDRESS_FORBIDDEN, "SRv6" },			/* RFC 9602 */
	{ { V6(0xfe, 0x80), 10 }, ADDRESS_FORBIDDEN, "link-local" },
	{ { V6(0xfe, 0xc0), 10 }, ADDRESS_FORBIDDEN, "site-local" },		/* RFC 3879 */
	{ { V6(0xff), 8 }, ADDRESS_FORBIDDEN, "multicast" },
	{ { V6(0xfc), 7 }, ADDRESS_PRIVATE },					/* ULA */
};
/* clang-format on */

static const struct prefix nat64 = { V6(0x00, 0x64, 0xff, 0x9b), 96 };

static bool address_in(const struct addr *a, const struct address_context *ctx)
{
	for (size_t i = 0; ctx && i < ctx->n; i++)
		if (prefix_has(&ctx->forbidden[i], a))
			return true;
	return false;
}

static enum address_class address_table(const struct addr *a)
{
	for (size_t i = 0; i < ARRAY_SIZE(classes); i++)
		if (prefix_has(&classes[i].prefix, a))
			return classes[i].class;
	return ADDRESS_PUBLIC;
}

enum address_class address_classify(const struct addr *a, const struct address_context *ctx)
{
	struct addr inner = { .family = 4 };

	if ((a->family != 4 && a->family != 6) || address_in(a, ctx))
		return ADDRESS_FORBIDDEN;
	if (!prefix_has(&nat64, a))
		return address_table(a);
	memcpy(inner.b, a->b + 12, 4);
	if (address_in(&inner, ctx) || address_table(&inner) != ADDRESS_PUBLIC)
		return ADDRESS_FORBIDDEN;
	return ADDRESS_PUBLIC;
}

bool address_usable(const struct addr *a, const struct address_context *ctx, bool private_ok)
{
	switch (address_classify(a, ctx)) {
	case ADDRESS_PUBLIC:
		return true;
	case ADDRESS_PRIVATE:
		return private_ok;
	case ADDRESS_FORBIDDEN:
		break;
	}
	return false;
}

const char *address_forbids(const struct prefix *p, const struct address_context *ctx,
			    struct prefix *ret_part)
{
	for (size_t i = 0; ctx && i < ctx->n; i++) {
		*ret_part = ctx->forbidden[i];
		if (prefix_overlap(p, ret_part))
			return ret_part->bits == addr_len(&ret_part->addr) * 8
				       ? "an address of this host"
				       : "synthetic or sandboxes' addresses";
	}
	for (size_t i = 0; i < ARRAY_SIZE(classes); i++) {
		*ret_part = classes[i].prefix;
		if (classes[i].class == ADDRESS_FORBIDDEN && prefix_overlap(p, ret_part))
			return classes[i].what;
	}
	*ret_part = nat64;
	return prefix_overlap(p, ret_part) ? "IPv4 addresses behind NAT64" : NULL;
}

struct addr pool_addr4(const struct pool *p, uint32_t index)
{
	return addr_plus(&p->v4.addr, index);
}

struct addr pool_addr6(const struct pool *p, uint32_t index)
{
	return addr_plus(&p->v6.addr, index);
}

bool pool_index(const struct pool *p, const struct addr *a, uint32_t *ret_index)
{
	const struct prefix *from = a->family == 4 ? &p->v4 : &p->v6;
	uint64_t i;

	*ret_index = 0;
	if (!prefix_has(from, a))
		return false;
	i = addr_minus(a, &from->addr);
	if (i >= pool_size(p))
		return false;
	*ret_index = (uint32_t)i;
	return true;
}

static uint32_t pool_family_size(const struct prefix *p, unsigned width)
{
	unsigned host = p->bits <= width ? width - p->bits : 0;

	return host >= 24 ? POOL_SIZE_MAX : 1u << host;
}

uint32_t pool_size(const struct pool *p)
{
	uint32_t n4 = pool_family_size(&p->v4, 32), n6 = pool_family_size(&p->v6, 128);

	return n4 < n6 ? n4 : n6;
}
