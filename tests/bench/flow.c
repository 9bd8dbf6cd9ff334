/*
 * flow.c - a flow that looks like TLS for one round trip and then moves bulk bytes
 *
 * Theory of operation: the client sends a ClientHello with a server name, the server one ServerHello
 * record; from there on the inspector has decided and both only copy bytes. What is timed is the path,
 * not cryptography. The direction (D: server to client, U: the other) stands in the first byte of the
 * hello's session id, so that one server serves both.
 *
 *   bench-flow server ADDRESS PORT
 *   bench-flow client ADDRESS PORT NAME D|U SECONDS FLOWS     prints bytes per second of all flows
 *   bench-flow answer ADDRESS PORT                            accepts and closes
 *   bench-flow calls ADDRESS PORT COUNT                       prints microseconds of each connect()
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <sched.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { CHUNK = 256 << 10, HELLO_MAX = 512, SID_OFFSET = 44, RECORD_HEADER = 5 };

static char chunk[CHUNK];

static void fail(const char *what)
{
	fprintf(stderr, "bench-flow: %s: %s\n", what, strerror(errno));
	exit(1);
}

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static struct addrinfo *resolve(const char *address, const char *port)
{
	const struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICHOST };
	struct addrinfo *ai;

	if (getaddrinfo(address, port, &hints, &ai)) {
		fprintf(stderr, "bench-flow: %s is not an address\n", address);
		exit(1);
	}
	return ai;
}

static void send_all(int fd, const void *bytes, size_t n)
{
	for (const char *p = bytes; n;) {
		ssize_t sent = send(fd, p, n, MSG_NOSIGNAL);

		if (sent < 0)
			fail("send");
		p += sent;
		n -= (size_t)sent;
	}
}

static void recv_all(int fd, void *bytes, size_t n)
{
	for (char *p = bytes; n;) {
		ssize_t got = recv(fd, p, n, 0);

		if (got <= 0)
			fail("recv");
		p += got;
		n -= (size_t)got;
	}
}

/* One whole TLS record; its length with the header. */
static size_t recv_record(int fd, uint8_t out[HELLO_MAX])
{
	size_t n;

	recv_all(fd, out, RECORD_HEADER);
	n = (size_t)out[3] << 8 | out[4];
	if (n > HELLO_MAX - RECORD_HEADER)
		fail("record too long");
	recv_all(fd, out + RECORD_HEADER, n);
	return n + RECORD_HEADER;
}

static uint8_t *put16(uint8_t *p, size_t v)
{
	*p++ = (uint8_t)(v >> 8);
	*p++ = (uint8_t)v;
	return p;
}

/* TLS 1.2 ClientHello, one cipher suite, server_name as the only extension (RFC 5246, RFC 6066). */
static size_t client_hello(uint8_t out[HELLO_MAX], const char *name, char direction)
{
	size_t n = strlen(name);
	size_t extension = 5 + n, body = 2 + 32 + 1 + 32 + 4 + 2 + 2 + 4 + extension;
	uint8_t *p = out;

	*p++ = 22;
	p = put16(p, 0x0301);
	p = put16(p, body + 4);
	*p++ = 1;
	*p++ = 0;
	p = put16(p, body);
	p = put16(p, 0x0303);
	memset(p, 7, 32);
	p += 32;
	*p++ = 32;
	memset(p, direction, 32);
	p += 32;
	p = put16(p, 2);
	p = put16(p, 0x1301);
	p = put16(p, 0x0100);			/* one compression method: null */
	p = put16(p, 4 + extension);
	p = put16(p, 0);			/* server_name */
	p = put16(p, extension);
	p = put16(p, 3 + n);
	*p++ = 0;
	p = put16(p, n);
	memcpy(p, name, n);
	return (size_t)(p + n - out);
}

/* ServerHello with a random that is not that of a HelloRetryRequest. */
static void send_server_hello(int fd)
{
	uint8_t hello[RECORD_HEADER + 4 + 2 + 32 + 1 + 2 + 1] = { 22, 3, 3, 0, 42, 2, 0, 0, 38, 3, 3 };

	memset(hello + 11, 9, 32);
	hello[44] = 0x13;
	hello[45] = 0x01;
	send_all(fd, hello, sizeof(hello));
}

static void serve_one(int fd)
{
	uint8_t hello[HELLO_MAX];
	uint64_t total = 0;
	ssize_t n;

	recv_record(fd, hello);
	send_server_hello(fd);
	if (hello[SID_OFFSET] == 'D') {
		while (send(fd, chunk, CHUNK, MSG_NOSIGNAL) > 0)
			;
		return;
	}
	while ((n = recv(fd, chunk, CHUNK, MSG_TRUNC)) > 0)
		total += (uint64_t)n;
	send_all(fd, &total, sizeof(total));
}

static int listener(const char *address, const char *port)
{
	struct addrinfo *ai = resolve(address, port);
	int one = 1, fd = socket(ai->ai_family, SOCK_STREAM, 0);

	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) ||
	    bind(fd, ai->ai_addr, ai->ai_addrlen) || listen(fd, 1024))
		fail("listen");
	freeaddrinfo(ai);
	return fd;
}

static int server(char **argv)
{
	int fd = listener(argv[0], argv[1]);

	signal(SIGCHLD, SIG_IGN);
	for (;;) {
		int conn = accept(fd, NULL, NULL);

		if (conn < 0)
			fail("accept");
		if (!fork()) {
			serve_one(conn);
			_exit(0);
		}
		close(conn);
	}
	return 1;
}

/* Bytes per second over `seconds`. */
static double transfer(int fd, char direction, double seconds)
{
	double begin = now(), end = begin + seconds;
	uint64_t total = 0;
	ssize_t n;

	if (direction == 'D') {
		while (now() < end && (n = recv(fd, chunk, CHUNK, MSG_TRUNC)) > 0)
			total += (uint64_t)n;
		return (double)total / (now() - begin);
	}
	while (now() < end)
		send_all(fd, chunk, CHUNK);
	shutdown(fd, SHUT_WR);
	recv_all(fd, &total, sizeof(total));
	return (double)total / (now() - begin);
}

static double flow(char **argv)
{
	struct addrinfo *ai = resolve(argv[0], argv[1]);
	uint8_t hello[HELLO_MAX];
	int fd = socket(ai->ai_family, SOCK_STREAM, 0);

	if (strlen(argv[2]) > 253 || fd < 0 || connect(fd, ai->ai_addr, ai->ai_addrlen))
		fail("connect");
	freeaddrinfo(ai);
	send_all(fd, hello, client_hello(hello, argv[2], argv[3][0]));
	recv_record(fd, hello);
	return transfer(fd, argv[3][0], atof(argv[4]));
}

/* One process a flow. */
static int client(char **argv)
{
	int flows = atoi(argv[5]), ends[2], status;
	double sum = 0, one;

	if (pipe(ends))
		fail("pipe");
	for (int i = 0; i < flows; i++)
		if (!fork()) {
			one = flow(argv);
			_exit(write(ends[1], &one, sizeof(one)) != sizeof(one));
		}
	for (int i = 0; i < flows; i++) {
		if (wait(&status) < 0 || status || read(ends[0], &one, sizeof(one)) != sizeof(one))
			return 1;
		sum += one;
	}
	printf("%.0f\n", sum);
	return 0;
}

static int answer(char **argv)
{
	int fd = listener(argv[0], argv[1]), conn;

	while ((conn = accept(fd, NULL, NULL)) >= 0)
		close(conn);
	fail("accept");
	return 1;
}

/*
 * Between namespaces the whole handshake runs on the caller's core, in its system call: as a real-time
 * process it is measured without what the scheduler gives to others meanwhile. Closed with a reset:
 * neither end keeps anything of the call.
 */
static int calls(char **argv)
{
	const struct sched_param real_time = { .sched_priority = 1 };
	const struct linger reset = { .l_onoff = 1 };
	struct addrinfo *ai = resolve(argv[0], argv[1]);

	if (sched_setscheduler(0, SCHED_FIFO, &real_time))
		fail("real-time scheduling");
	for (int n = atoi(argv[2]); n > 0; n--) {
		int fd = socket(ai->ai_family, SOCK_STREAM, 0);
		double begin = now();

		if (fd < 0 || connect(fd, ai->ai_addr, ai->ai_addrlen))
			fail("connect");
		printf("%.2f\n", (now() - begin) * 1e6);
		setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
		close(fd);
	}
	freeaddrinfo(ai);
	return 0;
}

static const struct mode {
	const char *name;
	int words;
	int (*run)(char **argv);
} modes[] = { { "server", 2, server }, { "client", 6, client }, { "answer", 2, answer }, { "calls", 3, calls } };

int main(int argc, char **argv)
{
	for (size_t i = 0; i < sizeof(modes) / sizeof(*modes); i++)
		if (argc == modes[i].words + 2 && !strcmp(argv[1], modes[i].name))
			return modes[i].run(argv + 2);
	fprintf(stderr, "usage: bench-flow server|answer ADDRESS PORT | calls ADDRESS PORT COUNT | "
		"client ADDRESS PORT NAME D|U SECONDS FLOWS\n");
	return 2;
}
