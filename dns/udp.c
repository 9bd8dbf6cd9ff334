/*
 * udp.c - questions over UDP
 *
 * Theory of operation: one batch of datagrams is received per wake-up, each is answered into the
 * buffer of its slot, and the answers leave in one batch; all buffers exist from the start. An
 * answer is sent from the address that was asked (packet information), which makes the source port
 * right as well, since the socket's port is 53. An answer that cannot be sent is dropped, as the
 * network might have done: the client asks again.
 */
#include "dns/udp.h"

#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

enum { UDP_BATCH = 32, UDP_CONTROL = 64 };

struct slot {
	struct sockaddr_storage peer;
	struct client client;
	struct iovec in_iov, out_iov;
	uint8_t in[DNS_QUERY_MAX], out[DNS_REPLY_MAX];
	_Alignas(struct cmsghdr) uint8_t control[UDP_CONTROL], out_control[UDP_CONTROL];
};
struct udp {
	struct watch watch;
	struct loop *loop;
	struct service *service;
	enum client_kind kind;
	struct slot slots[UDP_BATCH];
	struct mmsghdr in[UDP_BATCH], out[UDP_BATCH];
};

/* The destination of a datagram, from its packet information. */
static bool asked_address(struct msghdr *h, struct addr *ret)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(h); c; c = CMSG_NXTHDR(h, c)) {
		struct in_pktinfo four;
		struct in6_pktinfo six;

		*ret = (struct addr){ 0 };
		if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO) {
			memcpy(&four, CMSG_DATA(c), sizeof(four));
			ret->family = 4;
			memcpy(ret->b, &four.ipi_addr, 4);
			return true;
		}
		if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO) {
			memcpy(&six, CMSG_DATA(c), sizeof(six));
			ret->family = 6;
			memcpy(ret->b, &six.ipi6_addr, 16);
			return true;
		}
	}
	return false;
}

/* Packet information that makes `from` the source of what is sent. */
static size_t put_source(const struct addr *from, uint8_t control[UDP_CONTROL])
{
	struct in_pktinfo four = { 0 };
	struct in6_pktinfo six = { 0 };
	bool v4 = from->family == 4;
	size_t n = v4 ? sizeof(four) : sizeof(six);
	struct msghdr h = { .msg_control = control, .msg_controllen = CMSG_SPACE(n) };
	struct cmsghdr *c;

	memset(control, 0, UDP_CONTROL);
	memcpy(&four.ipi_spec_dst, from->b, 4);
	memcpy(&six.ipi6_addr, from->b, 16);
	c = CMSG_FIRSTHDR(&h);
	c->cmsg_level = v4 ? IPPROTO_IP : IPPROTO_IPV6;
	c->cmsg_type = v4 ? IP_PKTINFO : IPV6_PKTINFO;
	c->cmsg_len = CMSG_LEN(n);
	if (v4)
		memcpy(CMSG_DATA(c), &four, n);
	else
		memcpy(CMSG_DATA(c), &six, n);
	return CMSG_SPACE(n);
}

static void make_message(struct msghdr *h, const struct client *c, struct sockaddr_storage *peer,
			 struct iovec *iov, uint8_t control[UDP_CONTROL])
{
	*h = (struct msghdr){
		.msg_name = peer, .msg_iov = iov, .msg_iovlen = 1, .msg_control = control
	};
	h->msg_namelen = addr_to_sockaddr(&c->guest, c->port, peer);
	h->msg_controllen = put_source(&c->asked, control);
}

static void udp_late(void *owner, const struct client *c, const uint8_t *p, size_t n)
{
	struct udp *u = owner;
	_Alignas(struct cmsghdr) uint8_t control[UDP_CONTROL];
	struct sockaddr_storage peer;
	uint8_t copy[DNS_REPLY_MAX];
	struct iovec iov = { .iov_base = copy, .iov_len = n };
	struct msghdr h;

	if (!n)
		return;
	memcpy(copy, p, n);
	make_message(&h, c, &peer, &iov, control);
	(void)!sendmsg(u->watch.fd, &h, MSG_NOSIGNAL);
}

/* True when slot i has an answer, which is then the next of the outgoing batch. */
static bool udp_answer(struct udp *u, size_t i, struct mmsghdr *out)
{
	struct slot *s = &u->slots[i];
	struct mmsghdr *m = &u->in[i];
	size_t n = 0;

	s->client = (struct client){ .kind = u->kind };
	if (!addr_from_sockaddr(&s->peer, &s->client.guest, &s->client.port) ||
	    !asked_address(&m->msg_hdr, &s->client.asked))
		return false;
	if (m->msg_hdr.msg_flags & MSG_TRUNC) {
		service_refused(u->service, &s->client, REASON_QUERY_MALFORMED, "too long");
		return false;
	}
	if (service_query(u->service, &s->client, rd_of(s->in, m->msg_len), s->out, &n) !=
	    SERVICE_ANSWER)
		return false;
	s->out_iov = (struct iovec){ .iov_base = s->out, .iov_len = n };
	make_message(&out->msg_hdr, &s->client, &s->peer, &s->out_iov, s->out_control);
	return true;
}

static void udp_send(struct udp *u, unsigned n)
{
	int sent;

	for (unsigned at = 0; at < n; at += sent) {
		sent = sendmmsg(u->watch.fd, &u->out[at], n - at, MSG_NOSIGNAL);
		if (sent < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		if (sent <= 0)
			sent = 1;			/* the one that the kernel refused */
	}
}

static void udp_on_readable(struct loop *l, struct watch *w, uint32_t events)
{
	struct udp *u = container_of(w, struct udp, watch);
	unsigned answers = 0;
	int n;

	(void)l;
	(void)events;
	for (size_t i = 0; i < UDP_BATCH; i++) {
		u->in[i].msg_hdr.msg_namelen = sizeof(u->slots[i].peer);
		u->in[i].msg_hdr.msg_controllen = UDP_CONTROL;
	}
	n = recvmmsg(w->fd, u->in, UDP_BATCH, MSG_DONTWAIT, NULL);
	for (int i = 0; i < n; i++)
		answers += udp_answer(u, i, &u->out[answers]);
	udp_send(u, answers);
}

int udp_new(struct loop *l, struct service *s, enum client_kind kind, int fd, struct udp **ret)
{
	AUTO(fd) int owned = fd;
	AUTO(mem) struct udp *u = calloc(1, sizeof(*u));
	int r;

	if (!u)
		return -ENOMEM;
	for (size_t i = 0; i < UDP_BATCH; i++) {
		struct slot *slot = &u->slots[i];

		slot->in_iov = (struct iovec){ .iov_base = slot->in, .iov_len = sizeof(slot->in) };
		u->in[i].msg_hdr = (struct msghdr){ .msg_name = &slot->peer,
						    .msg_iov = &slot->in_iov,
						    .msg_iovlen = 1,
						    .msg_control = slot->control };
	}
	u->loop = l;
	u->service = s;
	u->kind = kind;
	u->watch = (struct watch){ .fd = fd, .events = EPOLLIN, .fn = udp_on_readable };
	r = loop_add(l, &u->watch);
	if (r < 0)
		return r;
	service_set_late(s, kind, udp_late, u);
	STEAL_FD(owned);
	*ret = STEAL(u);
	return 0;
}

void udp_free(struct udp *u)
{
	if (!u)
		return;
	service_set_late(u->service, u->kind, NULL, NULL);
	loop_del(u->loop, &u->watch);
	close(u->watch.fd);
	free(u);
}
