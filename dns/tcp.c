/*
 * tcp.c - questions over TCP (RFC 7766: several on one connection, answered as they become ready)
 *
 * Theory of operation: a connection reads into a buffer that holds one longest question; as often
 * as a length and that many bytes are complete, they are one question and go to the service like
 * any datagram, so each message is policed, however many came in one segment or however many
 * segments one came in. Reading pauses while there is no room for the answers of everything that is
 * under way: that room (one longest answer each) is kept free, so an answer always fits when it
 * comes.
 *
 * Deadlines: a message that has begun must be complete within CONN_MESSAGE_MS, no matter how its
 * bytes trickle; a connection that completes none for CONN_IDLE_MS is closed. A length of zero, or
 * beyond the longest question, ends the connection: what follows could not be framed. Bounds:
 * connections in all, per sandbox (service), questions under way per connection.
 * A late answer names its connection by slot and serial, so one that has closed meanwhile gets
 * nothing and neither does the next one in its slot.
 */
#include "dns/tcp.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

enum {
	CONNS_MAX = 512,
	LISTENERS_MAX = 2,
	ACCEPT_BATCH = 16,
	PREFIX = 2,
	CONN_OUT = 12 * (PREFIX + DNS_REPLY_MAX),
	CONN_MESSAGE_MS = 5000,
	CONN_IDLE_MS = 10000,
	READS_PER_CALL = 4
};

struct conn {
	struct watch watch;
	struct timer timer;
	struct tcp *owner;
	struct client client;
	uint16_t sandbox;
	bool begun;			/* a message is incomplete, and its deadline runs */
	bool ended;			/* the peer sends no more; answers are still owed */
	bool broken;			/* close when safe */
	unsigned under_way;
	size_t in_n, out_n;
	uint8_t in[PREFIX + DNS_QUERY_MAX], out[CONN_OUT];
};
struct tcp {
	struct loop *loop;
	struct service *service;
	struct tcp_listener { struct watch watch; struct tcp *owner; } listener[LISTENERS_MAX];
	size_t n_listeners;
	struct conn *conns[CONNS_MAX];
	uint32_t serial;
};

static void conn_close(struct conn *c)
{
	struct tcp *t = c->owner;

	loop_del(t->loop, &c->watch);
	loop_disarm(t->loop, &c->timer);
	close(c->watch.fd);
	service_connection_closed(t->service, c->sandbox);
	t->conns[c->client.slot] = NULL;
	free(c);
}

static bool conn_has_room(const struct conn *c)
{
	return sizeof(c->out) - c->out_n >= (c->under_way + 1) * (PREFIX + DNS_REPLY_MAX);
}

static void conn_put(struct conn *c, const uint8_t *p, size_t n)
{
	struct wr w = wr_of(c->out, sizeof(c->out));

	w.n = c->out_n;
	wr_u16(&w, n);
	wr_put(&w, p, n);
	if (wr_ok(&w))
		c->out_n = w.n;
	else
		c->broken = true;		/* cannot be: conn_has_room() kept it free */
}

static void conn_flush(struct conn *c)
{
	ssize_t n;

	while (c->out_n) {
		n = send(c->watch.fd, c->out, c->out_n, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			c->broken |= errno != EAGAIN;
			return;
		}
		memmove(c->out, c->out + n, c->out_n - n);
		c->out_n -= n;
	}
}

static void conn_take(struct conn *c, struct rd message)
{
	uint8_t out[DNS_REPLY_MAX];
	size_t n = 0;

	c->under_way++;				/* the answer may come from inside of the call */
	switch (service_query(c->owner->service, &c->client, message, out, &n)) {
	case SERVICE_LATER:
		return;
	case SERVICE_ANSWER:
		conn_put(c, out, n);
		break;
	case SERVICE_SILENT:
		break;
	}
	c->under_way--;
}

/* The next whole message of the buffer. PARSE_BAD: a length that no question has. */
static enum parse message_next(struct rd *in, struct rd *ret)
{
	struct rd ahead = *in;
	uint16_t n;

	if (!rd_u16(&ahead, &n))
		return PARSE_MORE;
	if (!n || n > DNS_QUERY_MAX)
		return PARSE_BAD;
	if (!rd_take(&ahead, n, ret))
		return PARSE_MORE;
	*in = ahead;
	return PARSE_OK;
}

/* Everything that is complete, as long as its answers have room. */
static void conn_messages(struct conn *c)
{
	struct rd in = rd_of(c->in, c->in_n), message;
	enum parse found = PARSE_MORE;
	bool any = false;

	while (conn_has_room(c) && (found = message_next(&in, &message)) == PARSE_OK) {
		conn_take(c, message);
		any = true;
	}
	if (found == PARSE_BAD) {
		service_refused(c->owner->service, &c->client, REASON_QUERY_MALFORMED, "length");
		c->broken = true;
	}
	if (rd_left(&in))
		memmove(c->in, in.p, in.n);
	c->in_n = rd_left(&in);
	if (any || !c->in_n)
		c->begun = false;
}

/* Deadlines follow from what is incomplete; never prolonged by bytes alone. */
static void conn_deadline(struct conn *c, bool progress)
{
	if (c->in_n && !c->begun) {
		c->begun = true;
		loop_arm(c->owner->loop, &c->timer, CONN_MESSAGE_MS);
	} else if (!c->in_n && progress) {
		loop_arm(c->owner->loop, &c->timer, CONN_IDLE_MS);
	}
}

/* After anything: send, decide what to wait for, or close. The connection may be gone then. */
static void conn_settle(struct conn *c)
{
	uint32_t events = 0;

	conn_flush(c);
	if (c->broken || (c->ended && !c->under_way && !c->out_n)) {
		conn_close(c);
		return;
	}
	if (!c->ended && conn_has_room(c))
		events |= EPOLLIN;
	if (c->out_n)
		events |= EPOLLOUT;
	loop_mod(c->owner->loop, &c->watch, events);
}

static void conn_read(struct conn *c)
{
	ssize_t n;

	for (int i = 0; i < READS_PER_CALL && !c->broken && !c->ended && conn_has_room(c); i++) {
		n = recv(c->watch.fd, c->in + c->in_n, sizeof(c->in) - c->in_n, MSG_DONTWAIT);
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		if (n < 0)
			c->broken = true;
		else if (n == 0)
			c->ended = true;
		else
			c->in_n += n;
		conn_messages(c);
	}
}

static void conn_on_event(struct loop *l, struct watch *w, uint32_t events)
{
	struct conn *c = container_of(w, struct conn, watch);

	(void)l;
	if (events & (EPOLLERR | EPOLLHUP))	/* not a half-close: nothing can be sent any more */
		c->broken = true;
	if (events & EPOLLIN)
		conn_read(c);
	conn_flush(c);
	if (!c->broken)
		conn_messages(c);		/* room may have come back */
	conn_deadline(c, events & EPOLLIN);
	conn_settle(c);
}

static void conn_on_deadline(struct loop *l, struct timer *t)
{
	struct conn *c = container_of(t, struct conn, timer);

	(void)l;
	if (c->begun)
		service_refused(c->owner->service, &c->client, REASON_DEADLINE_EXCEEDED,
				"incomplete");
	conn_close(c);
}

static void tcp_late(void *owner, const struct client *cl, const uint8_t *p, size_t n)
{
	struct tcp *t = owner;
	struct conn *c = cl->slot < CONNS_MAX ? t->conns[cl->slot] : NULL;

	if (!c || c->client.serial != cl->serial)
		return;
	c->under_way--;
	if (n)
		conn_put(c, p, n);
	/*
	 * This may be inside of conn_take() of the same connection, which must not be closed under
	 * it: wait for the loop, which finds the socket writable.
	 */
	loop_mod(t->loop, &c->watch, EPOLLIN | EPOLLOUT);
}

static bool conn_addresses(struct conn *c, int fd)
{
	struct sockaddr_storage peer, asked;
	socklen_t peer_n = sizeof(peer), asked_n = sizeof(asked);
	uint16_t port;

	return !getpeername(fd, (struct sockaddr *)&peer, &peer_n) &&
	       !getsockname(fd, (struct sockaddr *)&asked, &asked_n) &&
	       addr_from_sockaddr(&peer, &c->client.guest, &c->client.port) &&
	       addr_from_sockaddr(&asked, &c->client.asked, &port);
}

static void conn_new(struct tcp *t, int fd /* takes */)
{
	AUTO(fd) int owned = fd;
	AUTO(mem) struct conn *c = calloc(1, sizeof(*c));
	uint32_t slot = 0;

	while (slot < CONNS_MAX && t->conns[slot])
		slot++;
	if (!c || !conn_addresses(c, fd))
		return;
	c->owner = t;
	c->client.kind = CLIENT_TCP;
	c->client.slot = slot;
	c->client.serial = ++t->serial;
	c->watch = (struct watch){ .fd = fd, .events = EPOLLIN, .fn = conn_on_event };
	c->timer.fn = conn_on_deadline;
	if (slot == CONNS_MAX) {
		service_refused(t->service, &c->client, REASON_TOO_MANY_CONNECTIONS,
				"all connections");
		return;
	}
	if (!service_connection_opened(t->service, &c->client, &c->sandbox))
		return;
	if (loop_add(t->loop, &c->watch) < 0 || loop_arm(t->loop, &c->timer, CONN_IDLE_MS) < 0) {
		loop_del(t->loop, &c->watch);
		service_connection_closed(t->service, c->sandbox);
		return;
	}
	STEAL_FD(owned);
	t->conns[slot] = STEAL(c);
}

static void tcp_on_accept(struct loop *l, struct watch *w, uint32_t events)
{
	struct tcp *t = container_of(w, struct tcp_listener, watch)->owner;
	int fd;

	(void)l;
	(void)events;
	for (int i = 0; i < ACCEPT_BATCH; i++) {
		fd = accept4(w->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd < 0)
			return;
		conn_new(t, fd);
	}
}

int tcp_listen(struct tcp *t, int fd)
{
	AUTO(fd) int owned = fd;
	struct tcp_listener *at = &t->listener[t->n_listeners];
	int r;

	if (t->n_listeners == LISTENERS_MAX)
		return -ENOSPC;
	at->owner = t;
	at->watch = (struct watch){ .fd = fd, .events = EPOLLIN, .fn = tcp_on_accept };
	r = loop_add(t->loop, &at->watch);
	if (r < 0)
		return r;
	STEAL_FD(owned);
	t->n_listeners++;
	return 0;
}

int tcp_new(struct loop *l, struct service *s, struct tcp **ret)
{
	struct tcp *t = calloc(1, sizeof(*t));

	if (!t)
		return -ENOMEM;
	t->loop = l;
	t->service = s;
	service_set_late(s, CLIENT_TCP, tcp_late, t);
	*ret = t;
	return 0;
}

void tcp_free(struct tcp *t)
{
	if (!t)
		return;
	service_set_late(t->service, CLIENT_TCP, NULL, NULL);
	for (size_t i = 0; i < CONNS_MAX; i++)
		if (t->conns[i])
			conn_close(t->conns[i]);
	for (size_t i = 0; i < t->n_listeners; i++) {
		loop_del(t->loop, &t->listener[i].watch);
		close(t->listener[i].watch.fd);
	}
	free(t);
}
