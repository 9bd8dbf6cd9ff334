/*
 * addr.c - one IPv4 or IPv6 address, and prefixes
 *
 * Theory of operation: an address is its family and sixteen bytes of which IPv4 uses the first
 * four, so comparing, masking and counting are the same code for both. Text is read by
 * inet_pton(3), which takes exactly the four-part decimal form without leading zeros and the RFC
 * 4291 form without a zone.
 * Invariants: what cannot be represented (a sum that overflows, an unknown family) gives family 0,
 * which is inside no prefix and equals no real address.
 */
#include "base/addr.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"

unsigned addr_len(const struct addr *a)
{
	return a->family == 4 ? 4 : a->family == 6 ? 16 : 0;
}

bool addr_parse(const char *text, struct addr *ret)
{
	struct addr a = { .family = 4 };

	*ret = (struct addr){ 0 };
	if (inet_pton(AF_INET, text, a.b) != 1) {
		a.family = 6;
		if (inet_pton(AF_INET6, text, a.b) != 1)
			return false;
	}
	*ret = a;
	return true;
}

/* One to three decimal digits, no sign, no leading zero. */
static bool bits_parse(const char *text, unsigned max, uint8_t *ret)
{
	unsigned v = 0;
	size_t n = strlen(text);

	if (n < 1 || n > 3 || (n > 1 && text[0] == '0'))
		return false;
	for (size_t i = 0; i < n; i++) {
		if (text[i] < '0' || text[i] > '9')
			return false;
		v = v * 10 + (unsigned)(text[i] - '0');
	}
	*ret = (uint8_t)v;
	return v <= max;
}

/* The address with everything after the first `bits` bits zeroed. */
static struct addr addr_masked(const struct addr *a, unsigned bits)
{
	struct addr m = { .family = a->family };

	for (unsigned i = 0; i < addr_len(a) && i * 8 < bits; i++) {
		unsigned keep = bits - i * 8 >= 8 ? 8 : bits - i * 8;

		m.b[i] = a->b[i] & (uint8_t)(0xff00u >> keep);
	}
	return m;
}

/* The address and length as written. */
static bool prefix_read(const char *text, struct prefix *ret)
{
	const char *slash = strchr(text, '/');
	char addr[ADDR_TEXT_MAX];

	*ret = (struct prefix){ 0 };
	if (!slash || (size_t)(slash - text) >= sizeof(addr))
		return false;
	memcpy(addr, text, (size_t)(slash - text));
	addr[slash - text] = 0;
	return addr_parse(addr, &ret->addr) &&
	       bits_parse(slash + 1, addr_len(&ret->addr) * 8, &ret->bits);
}

bool prefix_parse_any(const char *text, struct prefix *ret)
{
	struct prefix p;
	bool ok = prefix_read(text, &p);

	p.addr = addr_masked(&p.addr, p.bits);
	*ret = ok ? p : (struct prefix){ 0 };
	return ok;
}

bool prefix_parse(const char *text, struct prefix *ret)
{
	struct prefix p;
	bool ok = prefix_parse_any(text, ret) && prefix_read(text, &p) &&
		  addr_eq(&p.addr, &ret->addr);

	if (!ok)
		*ret = (struct prefix){ 0 };
	return ok;
}

void addr_format(const struct addr *a, char out[ADDR_TEXT_MAX])
{
	out[0] = 0;
	if (addr_len(a))
		inet_ntop(a->family == 4 ? AF_INET : AF_INET6, a->b, out, ADDR_TEXT_MAX);
}

void prefix_format(const struct prefix *p, char out[ADDR_TEXT_MAX])
{
	size_t n;

	addr_format(&p->addr, out);
	n = strlen(out);
	if (n)
		snprintf(out + n, ADDR_TEXT_MAX - n, "/%u", p->bits);
}

bool addr_eq(const struct addr *a, const struct addr *b)
{
	return a->family == b->family && !memcmp(a->b, b->b, addr_len(a));
}

bool prefix_has(const struct prefix *p, const struct addr *a)
{
	struct addr masked;

	if (!addr_len(a) || a->family != p->addr.family)
		return false;
	masked = addr_masked(a, p->bits);
	return addr_eq(&masked, &p->addr);
}

bool prefix_overlap(const struct prefix *a, const struct prefix *b)
{
	return a->bits <= b->bits ? prefix_has(a, &b->addr) : prefix_has(b, &a->addr);
}

/* The last four (IPv4) or eight (IPv6) bytes as a number. */
static uint64_t addr_low(const struct addr *a)
{
	unsigned len = addr_len(a);
	uint64_t v = 0;

	for (unsigned i = len == 16 ? 8 : 0; i < len; i++)
		v = v << 8 | a->b[i];
	return v;
}

struct addr addr_plus(const struct addr *base, uint64_t n)
{
	uint64_t most = base->family == 4 ? UINT32_MAX : UINT64_MAX;
	uint64_t low = addr_low(base);
	struct addr a = *base;

	if (!addr_len(base) || n > most - low)
		return (struct addr){ 0 };
	low += n;
	for (unsigned i = addr_len(base); low; i--, low >>= 8)
		a.b[i - 1] = (uint8_t)low;
	return a;
}

uint64_t addr_minus(const struct addr *a, const struct addr *base)
{
	if (!addr_len(a) || a->family != base->family)
		return UINT64_MAX;
	if (a->family == 6 && memcmp(a->b, base->b, 8))
		return UINT64_MAX;
	if (addr_low(a) < addr_low(base))
		return UINT64_MAX;
	return addr_low(a) - addr_low(base);
}

bool addr_from_sockaddr(const struct sockaddr_storage *sa, struct addr *ret, uint16_t *ret_port)
{
	struct sockaddr_in in;
	struct sockaddr_in6 in6;

	*ret = (struct addr){ 0 };
	if (ret_port)
		*ret_port = 0;
	if (sa->ss_family == AF_INET) {
		memcpy(&in, sa, sizeof(in));
		ret->family = 4;
		memcpy(ret->b, &in.sin_addr, 4);
		if (ret_port)
			*ret_port = ntohs(in.sin_port);
		return true;
	}
	if (sa->ss_family != AF_INET6)
		return false;
	memcpy(&in6, sa, sizeof(in6));
	if (IN6_IS_ADDR_V4MAPPED(&in6.sin6_addr)) {
		ret->family = 4;
		memcpy(ret->b, in6.sin6_addr.s6_addr + 12, 4);
	} else {
		ret->family = 6;
		memcpy(ret->b, &in6.sin6_addr, 16);
	}
	if (ret_port)
		*ret_port = ntohs(in6.sin6_port);
	return true;
}

socklen_t addr_to_sockaddr(const struct addr *a, uint16_t port, struct sockaddr_storage *ret)
{
	struct sockaddr_in in = { .sin_family = AF_INET, .sin_port = htons(port) };
	struct sockaddr_in6 in6 = { .sin6_family = AF_INET6, .sin6_port = htons(port) };

	memset(ret, 0, sizeof(*ret));
	if (a->family == 4) {
		memcpy(&in.sin_addr, a->b, 4);
		memcpy(ret, &in, sizeof(in));
		return sizeof(in);
	}
	if (a->family == 6) {
		memcpy(&in6.sin6_addr, a->b, 16);
		memcpy(ret, &in6, sizeof(in6));
		return sizeof(in6);
	}
	return 0;
}
