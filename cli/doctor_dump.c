/*
 * doctor_dump.c - rtnetlink dumps for the checks of `cordon doctor`
 *
 * Theory of operation: one short-lived socket a dump. The address family is the first byte of every
 * fixed header of rtnetlink (ifinfomsg, rtmsg, fib_rule_hdr).
 */
#include "cli/doctor_dump.h"

#include <errno.h>
#include <sys/socket.h>

#include "base/mem.h"

enum { DUMP_BUFFER = 1 << 16 };

typedef struct mnl_socket *dump_socket;
static void dump_socket_close(struct mnl_socket *s)
{
	mnl_socket_close(s);
}
DEFINE_AUTO(dump_socket, dump_socket, dump_socket_close)

int doctor_dump_route(uint16_t type, uint8_t family, size_t header_n, mnl_cb_t fn, void *owner)
{
	AUTO(dump_socket) struct mnl_socket *s = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC);
	AUTO(mem) char *buf = malloc(DUMP_BUFFER);
	struct nlmsghdr *h;
	int r = 1;

	if (!s || !buf || mnl_socket_bind(s, 0, MNL_SOCKET_AUTOPID) < 0)
		return -errno;
	h = mnl_nlmsg_put_header(buf);
	h->nlmsg_type = type;
	h->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
	*(uint8_t *)mnl_nlmsg_put_extra_header(h, header_n) = family;
	if (mnl_socket_sendto(s, h, h->nlmsg_len) < 0)
		return -errno;
	while (r > 0) {
		ssize_t n = mnl_socket_recvfrom(s, buf, DUMP_BUFFER);

		if (n < 0)
			return -errno;
		r = mnl_cb_run(buf, (size_t)n, 0, mnl_socket_get_portid(s), fn, owner);
	}
	return r < 0 ? -errno : 0;
}
