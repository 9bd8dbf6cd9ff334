/*
 * take.c - a client that takes answers as fast as it can
 *
 * Theory of operation: one kept connection, plain or TLS, over which the same POST goes out COUNT times;
 * the body of each answer, of an announced length, is read and thrown away. For each a line is printed:
 * bytes, microseconds until the first of them was here, microseconds until the last. Whoever measures
 * bandwidth counts the other end's CPU time; this one's cost is nobody's figure.
 *
 *   bench-take ADDRESS PORT HOST PATH BODY-FILE COUNT [CA-FILE]	(with CA-FILE: TLS)
 */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <arpa/inet.h>
#include <openssl/ssl.h>
#include <sys/socket.h>

enum { WINDOW = 1 << 18, BODY_MAX = 1 << 20 };

static char window[WINDOW];

static void fail(const char *what)
{
	fprintf(stderr, "bench-take: %s: %s\n", what, strerror(errno));
	exit(1);
}

struct peer { int fd; SSL *ssl; };

static size_t take(const struct peer *p, void *to, size_t n)
{
	ssize_t got = p->ssl ? SSL_read(p->ssl, to, (int)n) : recv(p->fd, to, n, 0);

	if (got <= 0)
		fail("the answer broke off");
	return (size_t)got;
}

static void say(const struct peer *p, const void *from, size_t n)
{
	ssize_t sent = p->ssl ? SSL_write(p->ssl, from, (int)n) : send(p->fd, from, n, MSG_NOSIGNAL);

	if (sent != (ssize_t)n)
		fail("the request");
}

static struct peer reach(const char *address, const char *port, const char *host, const char *ca)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(port)) };
	struct peer p = { .fd = socket(AF_INET, SOCK_STREAM, 0) };
	SSL_CTX *ctx = ca ? SSL_CTX_new(TLS_client_method()) : NULL;

	if (inet_pton(AF_INET, address, &to.sin_addr) != 1 ||
	    connect(p.fd, (const struct sockaddr *)&to, sizeof(to)))
		fail(address);
	if (!ca)
		return p;
	SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
	p.ssl = SSL_CTX_load_verify_locations(ctx, ca, NULL) == 1 ? SSL_new(ctx) : NULL;
	if (!p.ssl || !SSL_set_tlsext_host_name(p.ssl, host) || !SSL_set1_host(p.ssl, host) ||
	    !SSL_set_fd(p.ssl, p.fd) || SSL_connect(p.ssl) != 1)
		fail("TLS");
	return p;
}

static int64_t now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

/* The head of an answer, and what came with it of the body: how much; *ret_length: how long that is. */
static size_t head(const struct peer *p, size_t *ret_length)
{
	size_t n = 0;
	char *end = NULL, *length;

	while (!end && n < WINDOW - 1) {
		n += take(p, window + n, WINDOW - 1 - n);
		window[n] = 0;
		end = strstr(window, "\r\n\r\n");
	}
	length = end ? strstr(window, "content-length: ") : NULL;
	if (!length || length > end || strncmp(window, "HTTP/1.1 200 ", 13) ||
	    sscanf(length, "content-length: %zu", ret_length) != 1)
		fail(window);
	return n - (size_t)(end + 4 - window);
}

static void once(const struct peer *p, const char *request, size_t n)
{
	int64_t begin = now(), first = 0;
	size_t length, got;

	say(p, request, n);
	got = head(p, &length);
	for (first = got ? now() : 0; got < length; first = first ? first : now())
		got += take(p, window, length - got < WINDOW ? length - got : WINDOW);
	printf("%zu %lld %lld\n", length, (long long)(first - begin), (long long)(now() - begin));
}

int main(int argc, char **argv)
{
	static char body[BODY_MAX], request[BODY_MAX + 4096];
	FILE *f = argc == 7 || argc == 8 ? fopen(argv[5], "r") : NULL;
	size_t body_n = f ? fread(body, 1, sizeof(body), f) : 0, n;
	struct peer p;

	if (!body_n)
		fail("ADDRESS PORT HOST PATH BODY-FILE COUNT [CA-FILE]");
	n = (size_t)snprintf(request, 4096,
			     "POST %s HTTP/1.1\r\nHost: %s\r\nGit-Protocol: version=2\r\nUser-Agent: git/2.39.5\r\n"
			     "Content-Type: application/x-git-upload-pack-request\r\nContent-Length: %zu\r\n\r\n",
			     argv[4], argv[3], body_n);
	memcpy(request + n, body, body_n);
	p = reach(argv[1], argv[2], argv[3], argc == 8 ? argv[7] : NULL);
	for (int i = 0; i < atoi(argv[6]); i++)
		once(&p, request, n + body_n);
	return 0;
}
