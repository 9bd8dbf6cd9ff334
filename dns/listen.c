/*
 * listen.c - the sockets on which sandboxes' questions arrive
 *
 * Theory of operation: IP_TRANSPARENT lets a socket be bound to an address that the host does not
 * have, and answer from one. The ruleset steers every packet to port 53 here, whatever its
 * destination; the packet keeps that destination, so UDP learns it from packet information and TCP
 * from getsockname(), and answers come from the resolver that the guest asked.
 */
#include "dns/listen.h"

#include <errno.h>
#include <netinet/in.h>

#include "base/mem.h"
#include "policy/address.h"
#include "policy/mark.h"

enum { LISTEN_BACKLOG = 256, LISTEN_BUFFER = 4 << 20 };

struct option { int level, name, value; };

static int set_options(int fd, const struct option *o, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (setsockopt(fd, o[i].level, o[i].name, &o[i].value, sizeof(o[i].value)) < 0)
			return -errno;
	return 0;
}

static int set_family(int fd, uint8_t family)
{
	static const struct option four[] = {
		{ IPPROTO_IP, IP_TRANSPARENT, 1 },
		{ IPPROTO_IP, IP_PKTINFO, 1 },
	};
	static const struct option six[] = {
		{ IPPROTO_IPV6, IPV6_V6ONLY, 1 },
		{ IPPROTO_IPV6, IPV6_TRANSPARENT, 1 },
		{ IPPROTO_IPV6, IPV6_RECVPKTINFO, 1 },
	};

	return family == 4 ? set_options(fd, four, ARRAY_SIZE(four))
			   : set_options(fd, six, ARRAY_SIZE(six));
}

int listen_transparent(const struct addr *a, int type)
{
	static const struct option common[] = {
		{ SOL_SOCKET, SO_REUSEADDR, 1 }, /* connections of a killed one may linger */
		{ SOL_SOCKET, SO_MARK, (int)MARK_SERVICE },
		{ SOL_SOCKET, SO_RCVBUFFORCE, LISTEN_BUFFER }, /* a burst of all sandboxes */
	};
	int family = a->family == 4 ? AF_INET : AF_INET6;
	AUTO(fd) int fd = socket(family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	/* A flood of one TCP connection must not get megabytes: only UDP has the large buffer. */
	size_t n = type == SOCK_DGRAM ? ARRAY_SIZE(common) : ARRAY_SIZE(common) - 1;
	struct sockaddr_storage sa;
	socklen_t len = addr_to_sockaddr(a, PORT_DNS, &sa);
	int r;

	if (fd < 0)
		return -errno;
	r = set_options(fd, common, n);
	if (r == 0)
		r = set_family(fd, a->family);
	if (r < 0)
		return r;
	if (bind(fd, (struct sockaddr *)&sa, len) < 0)
		return -errno;
	if (type == SOCK_STREAM && listen(fd, LISTEN_BACKLOG) < 0)
		return -errno;
	return STEAL_FD(fd);
}
