/*
 * resolve.c - the real addresses of an upstream, as the host sees them
 *
 * Theory of operation: `hosts:` of the configuration first, then the servers of the longest
 * matching zone, else dns.upstream, else the servers of the host's resolv.conf as read at start.
 * One c-ares channel per question, A and AAAA at once, driven by poll() in the calling thread;
 * nothing else of the host's resolver (nsswitch, hosts file, search list) takes part. Whether an
 * address may be dialled is the caller's to decide.
 */
#include "gitproxy/keeper/resolve.h"

#include <arpa/nameser.h>
#include <ares.h>
#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <string.h>
#include <sys/select.h>

#include "base/bytes.h"
#include "gitproxy/deadline.h"

enum { SERVERS_TEXT = 1024, TRIES = 2, ANSWER_FACTOR = 4 /* tries times servers, bounded */ };

struct resolve {
	const struct host_config *config;	/* borrowed */
	char servers[SERVERS_TEXT];		/* of dns.upstream or of the host, for c-ares */
};

struct question {
	struct resolved *out;
	int pending;
	int status;
};

static bool servers_text(const struct addr *a, size_t n, uint16_t port, char out[SERVERS_TEXT])
{
	struct wr w = wr_of(out, SERVERS_TEXT - 1);
	char text[ADDR_TEXT_MAX];

	for (size_t i = 0; i < n; i++) {
		addr_format(&a[i], text);
		wr_fmt(&w, a[i].family == 6 ? "%s[%s]:%u" : "%s%s:%u", i ? "," : "", text,
		       port ? port : NS_DEFAULTPORT);
	}
	out[wr_ok(&w) ? w.n : 0] = '\0';
	return wr_ok(&w) && n;
}

/* The host's own servers, as c-ares reads them from resolv.conf. */
static int system_servers(char out[SERVERS_TEXT])
{
	struct ares_addr_port_node *list = NULL;
	struct addr servers[RESOLVE_MAX] = { 0 };
	ares_channel channel;
	size_t n = 0;

	if (ares_init(&channel) != ARES_SUCCESS)
		return -ENOENT;
	if (ares_get_servers_ports(channel, &list) == ARES_SUCCESS)
		for (struct ares_addr_port_node *s = list; s && n < RESOLVE_MAX; s = s->next, n++) {
			servers[n].family = s->family == AF_INET6 ? 6 : 4;
			memcpy(servers[n].b, &s->addr, addr_len(&servers[n]));
		}
	ares_free_data(list);
	ares_destroy(channel);
	return servers_text(servers, n, 0, out) ? 0 : -ENOENT;
}

static int configured_servers(const struct host_config *c, char out[SERVERS_TEXT])
{
	bool ok = servers_text(c->dns_upstream, c->n_dns_upstream, c->dns_upstream_port, out);

	return ok ? 0 : -E2BIG;
}

int resolve_new(const struct host_config *c, struct resolve **ret)
{
	AUTO(resolve) struct resolve *r = calloc(1, sizeof(*r));
	int e;

	if (!r)
		return -ENOMEM;
	r->config = c;
	if (ares_library_init(ARES_LIB_INIT_ALL) != ARES_SUCCESS)
		return -ENOMEM;
	if (c->n_dns_upstream)
		e = configured_servers(c, r->servers);
	else
		e = system_servers(r->servers);
	if (e < 0)
		return e;
	*ret = STEAL(r);
	return 0;
}

void resolve_free(struct resolve *r)
{
	free(r);
}

static bool in_zone(const char *name, const char *suffix)
{
	size_t n = strlen(name), s = strlen(suffix);

	return s && n >= s && !strcmp(name + (n - s), suffix) && (n == s || name[n - s - 1] == '.');
}

static const struct host_zone *zone_of(const struct host_config *c, const char *name)
{
	const struct host_zone *best = NULL;

	for (size_t i = 0; i < c->n_zones; i++)
		if (in_zone(name, c->zones[i].suffix) &&
		    (!best || strlen(c->zones[i].suffix) > strlen(best->suffix)))
			best = &c->zones[i];
	return best;
}

static bool from_hosts(const struct host_config *c, const char *name, struct resolved *ret)
{
	for (size_t i = 0; i < c->n_hosts && ret->n < RESOLVE_MAX; i++)
		if (!strcmp(c->hosts[i].name, name))
			ret->addr[ret->n++] = c->hosts[i].addr;
	ret->fixed = ret->n > 0;
	return ret->fixed;
}

static int open_channel(const struct resolve *r, const char *name, ares_channel *ret)
{
	const struct host_zone *z = zone_of(r->config, name);
	struct ares_options o = { .flags =
					  ARES_FLAG_NOSEARCH | ARES_FLAG_NOALIASES | ARES_FLAG_EDNS,
				  .timeout = (int)r->config->dns_timeout_ms,
				  .tries = TRIES,
				  .ednspsz = 1232,
				  .lookups = (char *)(uintptr_t) "b" };
	char text[SERVERS_TEXT];

	if (z && !servers_text(z->servers, z->n, r->config->dns_upstream_port, text))
		return -E2BIG;
	if (ares_init_options(ret, &o, ARES_OPT_FLAGS | ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES |
			      ARES_OPT_LOOKUPS | ARES_OPT_EDNSPSZ) != ARES_SUCCESS)
		return -ENOMEM;
	if (ares_set_servers_ports_csv(*ret, z ? text : r->servers) == ARES_SUCCESS)
		return 0;
	ares_destroy(*ret);
	return -EINVAL;
}

static void on_answer(void *arg, int status, int timeouts, struct ares_addrinfo *result)
{
	struct question *q = arg;
	struct sockaddr_storage ss;
	uint16_t port;

	(void)timeouts;
	q->pending--;
	q->status = status;
	for (struct ares_addrinfo_node *n = result ? result->nodes : NULL; n; n = n->ai_next) {
		if (q->out->n == RESOLVE_MAX || (size_t)n->ai_addrlen > sizeof(ss))
			break;
		memcpy(&ss, n->ai_addr, (size_t)n->ai_addrlen);
		if (addr_from_sockaddr(&ss, &q->out->addr[q->out->n], &port))
			q->out->n++;
	}
	ares_freeaddrinfo(result);
}

/* One turn: wait for any of the channel's sockets, let c-ares read, write and time out. */
static int turn(ares_channel channel, uint64_t deadline)
{
	enum { SOCKS = ARES_GETSOCK_MAXNUM - 1 };	/* the macro shifts the last one into the sign */
	ares_socket_t socks[SOCKS];
	struct pollfd p[SOCKS];
	int bits = ares_getsock(channel, socks, SOCKS), n = 0;
	uint64_t now = deadline_now();

	if (now >= deadline)
		return -ETIMEDOUT;
	for (int i = 0; i < SOCKS; i++) {
		short ev = (ARES_GETSOCK_READABLE(bits, i) ? POLLIN : 0) |
			   (ARES_GETSOCK_WRITABLE(bits, i) ? POLLOUT : 0);

		if (ev)
			p[n++] = (struct pollfd){ .fd = socks[i], .events = ev };
	}
	if (poll(p, (nfds_t)n, 50) < 0 && errno != EINTR)
		return -errno;
	for (int i = 0; i < n; i++)
		ares_process_fd(channel, p[i].revents & ~POLLOUT ? p[i].fd : ARES_SOCKET_BAD,
				p[i].revents & POLLOUT ? p[i].fd : ARES_SOCKET_BAD);
	ares_process_fd(channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);	/* timeouts */
	return 0;
}

static int ask(ares_channel channel, const char *name, uint64_t deadline, struct resolved *ret)
{
	struct ares_addrinfo_hints hints = { .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM,
					     .ai_flags = ARES_AI_NOSORT };
	struct question q = { .out = ret, .pending = 1 };
	int r = 0;

	ares_getaddrinfo(channel, name, NULL, &hints, on_answer, &q);
	while (q.pending && !r)
		r = turn(channel, deadline);
	if (q.pending)
		ares_cancel(channel);			/* on_answer() runs; q is still here */
	if (ret->n)
		return 0;
	return r ? r : q.status == ARES_ETIMEOUT ? -ETIMEDOUT : -ENOENT;
}

int resolve_name(struct resolve *r, const char *name, struct resolved *ret)
{
	uint64_t deadline =
		deadline_in((uint64_t)r->config->dns_timeout_ms * TRIES * ANSWER_FACTOR);
	ares_channel channel;
	int e;

	*ret = (struct resolved){ 0 };
	if (from_hosts(r->config, name, ret))
		return 0;
	e = open_channel(r, name, &channel);
	if (e < 0)
		return e;
	e = ask(channel, name, deadline, ret);
	ares_destroy(channel);
	return e;
}
