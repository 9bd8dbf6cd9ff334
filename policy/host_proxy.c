/*
 * host_proxy.c - git.upstream_proxy of the host configuration
 *
 * Theory of operation: our own administrator's text. A user and password are refused with
 * everything else that is not a place: secrets do not stand in this file.
 */
#include "policy/host_proxy.h"

#include <stdlib.h>
#include <string.h>

static bool port_parse(const char *text, uint16_t *ret)
{
	size_t n = strlen(text);
	unsigned long v = 0;

	if (n < 1 || n > 5 || strspn(text, "0123456789") != n)
		return false;
	v = strtoul(text, NULL, 10);
	*ret = (uint16_t)v;
	return v >= 1 && v <= UINT16_MAX;
}

/* Without its brackets, which only an IPv6 address has. */
static bool place_parse(struct rd place, struct host_proxy *ret)
{
	bool brackets = place.n > 2 && place.p[0] == '[' && place.p[place.n - 1] == ']';
	char text[POLICY_NAME_MAX + 1];
	size_t skip = brackets ? 1 : 0, n = place.n - 2 * skip;

	if (!place.n || n >= sizeof(text))
		return false;
	memcpy(text, place.p + skip, n);
	text[n] = '\0';
	if (addr_parse(text, &ret->addr))
		return brackets == (ret->addr.family == 6);
	return !brackets && name_canonical(place, ret->name);
}

bool host_proxy_parse(const char *text, struct host_proxy *ret)
{
	static const char scheme[] = "http://";
	const char *at = text + sizeof(scheme) - 1, *colon = strrchr(text, ':');

	*ret = (struct host_proxy){ 0 };
	if (strncmp(text, scheme, sizeof(scheme) - 1) || colon < at)
		return false;
	return place_parse(rd_of(at, (size_t)(colon - at)), ret) && port_parse(colon + 1, &ret->port);
}
