/*
 * upstream.c - real addresses of granted names, asked of the host's resolvers
 *
 * Theory of operation: a question is a name; it is sent as two queries, A and AAAA, in bytes of our
 * own making (ares_send), and read by our own reader (upstream_answer.c): c-ares gives sockets,
 * time-outs, retries and TCP after truncation. When both have ended the results are joined:
 * addresses of either win, a failure of one with no addresses of the other is a failure (a name
 * must not look empty because a resolver was slow). The result is kept for its TTL, clamped, so
 * that profiles share it; a failure is kept for a second, so that a client in a loop does not
 * become a flood (RFC 9520).
 *
 * c-ares keeps one UDP socket per server and channel as long as anything is outstanding, so its
 * source port can be learned. Each set of servers has CHANNELS of them, picked at random for each
 * query, along with a random ID; an idle channel closes its sockets and so changes its ports.
 * Channels are made at start only: c-ares opens files when it makes one, which seccomp forbids
 * later.
 */
#include "dns/upstream.h"

#include <ares.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/random.h>

#include "base/log.h"
#include "dns/message.h"
#include "dns/table.h"
#include "dns/upstream_answer.h"

enum { QUESTIONS_MAX = 4096, CHANNELS = 4, TRIES = 2, FAMILIES = 2 };

struct channel;
struct channel_socket {			/* one of c-ares' descriptors in our loop */
	struct watch watch;
	struct channel *channel;
	struct channel_socket *next;
};
struct channel {
	ares_channel ares;
	struct loop *loop;
	struct timer timer;
	struct channel_socket *sockets;
};

struct servers {			/* a set of resolvers that are asked for the same names */
	const char *suffix;		/* zone, or NULL for all others; borrowed */
	struct channel channels[CHANNELS];
};

struct question;
struct half {				/* the A or the AAAA query of a question */
	struct question *question;
	struct chain chain;
	bool open;
};
struct question {
	struct table_node node;
	struct upstream *owner;
	char name[MSG_NAME];		/* "": the slot is empty */
	bool used;			/* since the clock's hand last passed */
	struct half half[FAMILIES];
	struct upstream_wait waits;	/* ring head */
	uint64_t expires_ms;
	struct upstream_answer answer;
};

struct upstream {
	struct loop *loop;
	const struct host_config *config;
	struct servers *sets;		/* the last one has no suffix */
	size_t n_sets;
	struct table table;
	struct question *questions;
	size_t hand;			/* of the clock: where eviction looks next */
};

static const uint16_t half_type[FAMILIES] = { DNS_A, DNS_AAAA };

/* ---- c-ares in our loop ---- */

static void channel_arm(struct channel *c)
{
	struct timeval tv, *next = ares_timeout(c->ares, NULL, &tv);

	if (next)
		loop_arm(c->loop, &c->timer,
			 (uint64_t)next->tv_sec * 1000 + next->tv_usec / 1000 + 1);
	else
		loop_disarm(c->loop, &c->timer);
}

static void channel_on_timer(struct loop *l, struct timer *t)
{
	struct channel *c = container_of(t, struct channel, timer);

	(void)l;
	ares_process_fd(c->ares, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
	channel_arm(c);
}

/* c-ares may close the descriptor and free the watch meanwhile: it is not touched afterwards. */
static void channel_on_socket(struct loop *l, struct watch *w, uint32_t events)
{
	struct channel *c = container_of(w, struct channel_socket, watch)->channel;
	uint32_t broken = events & (EPOLLERR | EPOLLHUP);
	int fd = w->fd;

	(void)l;
	ares_process_fd(c->ares, events & EPOLLIN || broken ? fd : ARES_SOCKET_BAD,
			events & EPOLLOUT || broken ? fd : ARES_SOCKET_BAD);
	channel_arm(c);
}

static struct channel_socket **socket_find(struct channel *c, int fd)
{
	struct channel_socket **at = &c->sockets;

	while (*at && (*at)->watch.fd != fd)
		at = &(*at)->next;
	return at;
}

static void socket_forget(struct channel *c, struct channel_socket **at)
{
	struct channel_socket *s = *at;

	*at = s->next;
	loop_del(c->loop, &s->watch);
	free(s);
}

static void socket_watch(struct channel *c, int fd, uint32_t events)
{
	AUTO(mem) struct channel_socket *s = calloc(1, sizeof(*s));

	/* A socket that cannot be watched never answers: c-ares' own time-out ends the query. */
	if (!s)
		return;
	s->watch = (struct watch){ .fd = fd, .events = events, .fn = channel_on_socket };
	s->channel = c;
	if (loop_add(c->loop, &s->watch) < 0)
		return;
	s->next = c->sockets;
	c->sockets = STEAL(s);
}

static void channel_on_state(void *data, ares_socket_t fd, int readable, int writable)
{
	struct channel *c = data;
	struct channel_socket **at = socket_find(c, fd);
	uint32_t events = (readable ? EPOLLIN : 0) | (writable ? EPOLLOUT : 0);

	if (*at && !events)
		socket_forget(c, at);
	else if (*at)
		loop_mod(c->loop, &(*at)->watch, events);
	else if (events)
		socket_watch(c, fd, events);
}

static int channel_open(struct channel *c, struct loop *l, const struct host_config *config,
			struct ares_addr_port_node *servers)
{
	struct ares_options o = {
		.flags = ARES_FLAG_NOCHECKRESP | ARES_FLAG_NOSEARCH | ARES_FLAG_NOALIASES |
			 ARES_FLAG_EDNS,
		.timeout = (int)config->dns_timeout_ms,
		.tries = TRIES,
		.ednspsz = DNS_UDP_MAX,
		.sock_state_cb = channel_on_state,
		.sock_state_cb_data = c,
	};
	int mask = ARES_OPT_FLAGS | ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_EDNSPSZ |
		   ARES_OPT_SOCK_STATE_CB;

	c->loop = l;
	c->timer.fn = channel_on_timer;
	if (ares_init_options(&c->ares, &o, mask) != ARES_SUCCESS) {
		c->ares = NULL;
		return -ENOMEM;
	}
	/* NULL: keep the system's, which c-ares has just read. */
	return servers && ares_set_servers_ports(c->ares, servers) != ARES_SUCCESS ? -EINVAL : 0;
}

static void channel_close(struct channel *c)
{
	if (c->ares)
		ares_destroy(c->ares);
	while (c->sockets)
		socket_forget(c, &c->sockets);
	if (c->loop)
		loop_disarm(c->loop, &c->timer);
}

/* ---- sets of servers ---- */

static void server_node(const struct addr *a, uint16_t port, struct ares_addr_port_node *ret)
{
	*ret = (struct ares_addr_port_node){ .udp_port = port, .tcp_port = port };
	ret->family = a->family == 4 ? AF_INET : AF_INET6;
	if (a->family == 4)
		memcpy(&ret->addr.addr4, a->b, 4);
	else
		memcpy(&ret->addr.addr6, a->b, 16);
}

static int servers_open(struct servers *s, struct upstream *u, const char *suffix,
			const struct addr *addrs, size_t n, uint16_t port)
{
	AUTO(mem) struct ares_addr_port_node *nodes = calloc(n ? n : 1, sizeof(*nodes));
	int r;

	if (!nodes)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		server_node(&addrs[i], port, &nodes[i]);
		nodes[i].next = i + 1 < n ? &nodes[i + 1] : NULL;
	}
	s->suffix = suffix;
	for (size_t i = 0; i < CHANNELS; i++) {
		r = channel_open(&s->channels[i], u->loop, u->config, n ? nodes : NULL);
		if (r < 0)
			return r;
	}
	return 0;
}

static bool name_in_zone(const char *name, const char *zone)
{
	size_t n = strlen(name), z = strlen(zone);

	return n >= z && !strcmp(name + n - z, zone) && (n == z || name[n - z - 1] == '.');
}

/* The set of the longest zone that holds the name; the last set holds every name. */
static struct servers *servers_for(struct upstream *u, const char *name)
{
	struct servers *best = &u->sets[u->n_sets - 1];

	for (size_t i = 0; i + 1 < u->n_sets; i++)
		if (name_in_zone(name, u->sets[i].suffix) &&
		    (!best->suffix || strlen(u->sets[i].suffix) > strlen(best->suffix)))
			best = &u->sets[i];
	return best;
}

static int sets_open(struct upstream *u)
{
	const struct host_config *c = u->config;
	int r;

	u->n_sets = c->n_zones + 1;
	u->sets = calloc(u->n_sets, sizeof(*u->sets));
	if (!u->sets)
		return -ENOMEM;
	for (size_t i = 0; i < c->n_zones; i++) {
		r = servers_open(&u->sets[i], u, c->zones[i].suffix, c->zones[i].servers,
				 c->zones[i].n, PORT_DNS);
		if (r < 0)
			return r;
	}
	return servers_open(&u->sets[c->n_zones], u, NULL, c->dns_upstream, c->n_dns_upstream,
			    c->dns_upstream_port);
}

/* ---- questions ---- */

static void wait_put(struct question *q, struct upstream_wait *w)
{
	w->prev = q->waits.prev;
	w->next = &q->waits;
	w->prev->next = w;
	q->waits.prev = w;
}

void upstream_cancel(struct upstream_wait *w)
{
	if (!w->next)
		return;
	w->prev->next = w->next;
	w->next->prev = w->prev;
	w->prev = w->next = NULL;
}

static bool question_open(const struct question *q)
{
	return q->half[0].open || q->half[1].open;
}

static void answer_add(struct upstream_answer *a, const struct chain *c, uint16_t type)
{
	if (c->result != CHAIN_ADDRESSES)
		return;
	a->status = UPSTREAM_ADDRESSES;
	if (c->ttl < a->ttl)
		a->ttl = c->ttl;
	if (type == DNS_A) {
		memcpy(a->a4, c->addr, sizeof(a->a4));
		a->n4 = c->n;
	} else {
		memcpy(a->a6, c->addr, sizeof(a->a6));
		a->n6 = c->n;
	}
}

static uint32_t clamp(uint32_t v, uint32_t low, uint32_t high)
{
	return v < low ? low : v > high ? high : v;
}

static void answer_join(const struct chain *a, const struct chain *aaaa,
			struct upstream_answer *ret)
{
	bool failed = a->result == CHAIN_FAILED || aaaa->result == CHAIN_FAILED;
	bool gone = a->result == CHAIN_NXDOMAIN && aaaa->result == CHAIN_NXDOMAIN;

	*ret = (struct upstream_answer){ .status = UPSTREAM_UNREACHABLE, .ttl = UPSTREAM_TTL_MAX };
	answer_add(ret, a, DNS_A);
	answer_add(ret, aaaa, DNS_AAAA);
	if (ret->status == UPSTREAM_ADDRESSES) {
		/* One family unknown: ask again soon. */
		ret->ttl = failed ? UPSTREAM_TTL_MIN
				  : clamp(ret->ttl, UPSTREAM_TTL_MIN, UPSTREAM_TTL_MAX);
		return;
	}
	ret->ttl = failed ? UPSTREAM_TTL_FAILED : UPSTREAM_TTL_NEGATIVE;
	if (!failed)
		ret->status = gone ? UPSTREAM_NXDOMAIN : UPSTREAM_NODATA;
}

/* A callback may cancel other waiters, or ask for other names: they leave one at a time. */
static void question_finish(struct question *q)
{
	struct upstream_wait *w;
	struct upstream_answer answer;

	answer_join(&q->half[0].chain, &q->half[1].chain, &q->answer);
	q->expires_ms = loop_now(q->owner->loop) + (uint64_t)q->answer.ttl * 1000;
	answer = q->answer;
	while ((w = q->waits.next) != &q->waits) {
		upstream_cancel(w);
		w->fn(w, &answer);
	}
}

static void half_on_answer(void *arg, int status, int timeouts, unsigned char *bytes, int n)
{
	struct half *h = arg;
	struct question *q = h->question;
	size_t i = h - q->half;

	(void)timeouts;
	h->open = false;
	h->chain = (struct chain){ .result = CHAIN_FAILED };
	if (status == ARES_SUCCESS && bytes && n > 0)
		chain_read(rd_of(bytes, (size_t)n), q->name, half_type[i], &h->chain);
	if (!question_open(q) && status != ARES_EDESTRUCTION)
		question_finish(q);
}

static void half_send(struct upstream *u, struct half *h, uint16_t type)
{
	struct servers *s = servers_for(u, h->question->name);
	struct { uint16_t id; uint16_t channel; } pick = { 0 };
	uint8_t ask[DNS_ASK_MAX];
	struct channel *c;
	size_t n;

	/* Without randomness an answer could be forged: then do not ask. */
	if (getrandom(&pick, sizeof(pick), 0) != sizeof(pick)) {
		half_on_answer(h, ARES_ENOMEM, 0, NULL, 0);
		return;
	}
	c = &s->channels[pick.channel % CHANNELS];
	n = message_ask(h->question->name, type, pick.id, ask);
	ares_send(c->ares, ask, (int)n, half_on_answer, h);
	channel_arm(c);
}

static void question_send(struct upstream *u, struct question *q)
{
	/* Both are open before one is sent: it may fail at once, which must not end the question.
	 */
	for (size_t i = 0; i < FAMILIES; i++)
		q->half[i] = (struct half){ .question = q, .open = true };
	for (size_t i = 0; i < FAMILIES; i++)
		half_send(u, &q->half[i], half_type[i]);
}

static struct question *question_find(struct upstream *u, const char *name, uint64_t hash)
{
	struct table_node *n = table_first(&u->table, hash);

	for (; n; n = table_next(n)) {
		struct question *q = container_of(n, struct question, node);

		if (!strcmp(q->name, name))
			return q;
	}
	return NULL;
}

/* A slot that nobody waits for; second chance for those used lately. NULL: all are being asked. */
static struct question *question_evict(struct upstream *u)
{
	for (size_t i = 0; i < 2 * QUESTIONS_MAX; i++) {
		struct question *q = &u->questions[u->hand];

		u->hand = (u->hand + 1) % QUESTIONS_MAX;
		if (q->name[0] && (question_open(q) || q->waits.next != &q->waits))
			continue;
		if (q->name[0] && q->used) {
			q->used = false;
			continue;
		}
		if (q->name[0])
			table_remove(&u->table, &q->node);
		q->name[0] = 0;
		return q;
	}
	return NULL;
}

static struct question *question_new(struct upstream *u, const char *name, uint64_t hash)
{
	struct question *q = question_evict(u);

	if (!q || !msg_text_set(q->name, sizeof(q->name), name))
		return NULL;
	q->owner = u;
	q->expires_ms = 0;
	q->waits.prev = q->waits.next = &q->waits;
	table_put(&u->table, &q->node, hash);
	return q;
}

/* `hosts:` of the configuration comes before any resolver. */
static bool answer_static(const struct host_config *c, const char *name,
			  struct upstream_answer *ret)
{
	*ret = (struct upstream_answer){ .status = UPSTREAM_ADDRESSES, .ttl = UPSTREAM_TTL_MAX };
	for (size_t i = 0; i < c->n_hosts; i++) {
		const struct host_static *h = &c->hosts[i];

		if (strcmp(h->name, name))
			continue;
		if (h->addr.family == 4 && ret->n4 < MSG_ADDRS)
			ret->a4[ret->n4++] = h->addr;
		else if (h->addr.family == 6 && ret->n6 < MSG_ADDRS)
			ret->a6[ret->n6++] = h->addr;
	}
	return ret->n4 || ret->n6;
}

static void answer_left(const struct question *q, uint64_t now, struct upstream_answer *ret)
{
	*ret = q->answer;
	ret->ttl = (q->expires_ms - now + 999) / 1000;
}

void upstream_ask(struct upstream *u, const char *name, struct upstream_wait *w)
{
	struct upstream_answer answer = { .status = UPSTREAM_UNREACHABLE,
					  .ttl = UPSTREAM_TTL_FAILED };
	uint64_t hash = table_hash(&u->table, name, strlen(name), 0), now = loop_now(u->loop);
	struct question *q = question_find(u, name, hash);

	if (answer_static(u->config, name, &answer)) {
		w->fn(w, &answer);
		return;
	}
	if (!q)
		q = question_new(u, name, hash);
	if (q && !question_open(q) && q->expires_ms > now) {
		q->used = true;
		answer_left(q, now, &answer);
		w->fn(w, &answer);
		return;
	}
	if (!q) {
		answer = (struct upstream_answer){ .ttl = UPSTREAM_TTL_FAILED };
		w->fn(w, &answer);
		return;
	}
	q->used = true;
	wait_put(q, w);
	if (!question_open(q))
		question_send(u, q);
}

int upstream_new(struct loop *l, const struct host_config *c, struct upstream **ret)
{
	AUTO(upstream) struct upstream *u = calloc(1, sizeof(*u));
	int r;

	if (!u)
		return -ENOMEM;
	u->loop = l;
	u->config = c;
	u->questions = calloc(QUESTIONS_MAX, sizeof(*u->questions));
	r = u->questions ? table_init(&u->table, QUESTIONS_MAX) : -ENOMEM;
	if (r < 0)
		return r;
	if (ares_library_init(ARES_LIB_INIT_ALL) != ARES_SUCCESS)
		return -EIO;
	r = sets_open(u);
	if (r < 0)
		return r;
	*ret = STEAL(u);
	return 0;
}

void upstream_free(struct upstream *u)
{
	if (!u)
		return;
	for (size_t i = 0; u->sets && i < u->n_sets; i++)
		for (size_t j = 0; j < CHANNELS; j++)
			channel_close(&u->sets[i].channels[j]);
	free(u->sets);
	table_done(&u->table);
	free(u->questions);
	free(u);
}
