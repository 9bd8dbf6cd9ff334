/*
 * flood.c - one core that sends as fast as it can, or only spins
 *
 * Theory of operation: frames from a template go out by a packet socket, past the sender's own queues and
 * filters, so that what they cost is what the other end of the link does with them; that runs on the
 * sender's core, which the program is bound to. The destination port counts up: every packet is another
 * refusal. Until SIGTERM; then the number of packets is printed.
 *
 *   bench-flood CPU spin
 *   bench-flood CPU INTERFACE FRAME      FRAME: hex, Ethernet, IPv4 of five words, UDP without checksum
 */
#include <errno.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <arpa/inet.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <sys/socket.h>

enum { FRAME_MAX = 256, BATCH = 32, UDP_PORT = 14 + 20 + 2 };

static volatile sig_atomic_t over;

static void stop(int number)
{
	(void)number;
	over = 1;
}

static void fail(const char *what)
{
	fprintf(stderr, "bench-flood: %s: %s\n", what, strerror(errno));
	exit(1);
}

static size_t unhex(const char *hex, uint8_t out[FRAME_MAX])
{
	size_t n = 0;

	for (; n < FRAME_MAX && sscanf(hex + 2 * n, "%2hhx", &out[n]) == 1; n++)
		;
	return n;
}

static int link_socket(const char *interface)
{
	struct sockaddr_ll at = { .sll_family = AF_PACKET, .sll_protocol = htons(ETHERTYPE_IP),
				  .sll_ifindex = (int)if_nametoindex(interface) };
	int one = 1, fd = socket(AF_PACKET, SOCK_RAW, 0);

	if (fd < 0 || setsockopt(fd, SOL_PACKET, PACKET_QDISC_BYPASS, &one, sizeof(one)) ||
	    bind(fd, (struct sockaddr *)&at, sizeof(at)))
		fail(interface);
	return fd;
}

static uint64_t flood(const char *interface, const char *hex)
{
	uint8_t frames[BATCH][FRAME_MAX];
	struct mmsghdr batch[BATCH] = { 0 };
	struct iovec io[BATCH];
	int fd = link_socket(interface);
	uint64_t total = 0;

	for (int i = 0; i < BATCH; i++) {
		io[i] = (struct iovec){ frames[i], unhex(hex, frames[i]) };
		batch[i].msg_hdr = (struct msghdr){ .msg_iov = &io[i], .msg_iovlen = 1 };
	}
	while (!over) {
		int sent;

		for (int i = 0; i < BATCH; i++) {
			uint16_t port = htons((uint16_t)(1024 + (total + (uint64_t)i) % 60000));

			memcpy(&frames[i][UDP_PORT], &port, sizeof(port));
		}
		sent = sendmmsg(fd, batch, BATCH, 0);
		if (sent < 0 && errno != ENOBUFS && errno != EINTR)
			fail("send");
		total += sent > 0 ? (uint64_t)sent : 0;
	}
	return total;
}

int main(int argc, char **argv)
{
	struct sigaction on_term = { .sa_handler = stop };
	uint64_t total = 0;
	cpu_set_t one;

	if (argc != 4 && (argc != 3 || strcmp(argv[2], "spin"))) {
		fprintf(stderr, "usage: bench-flood CPU spin | CPU INTERFACE FRAME\n");
		return 2;
	}
	CPU_ZERO(&one);
	CPU_SET(atoi(argv[1]), &one);
	sigaction(SIGTERM, &on_term, NULL);
	if (sched_setaffinity(0, sizeof(one), &one))
		fail("affinity");
	puts("ready");
	fflush(stdout);
	if (argc == 4)
		total = flood(argv[2], argv[3]);
	while (!over)
		;
	printf("%llu\n", (unsigned long long)total);
	return 0;
}
