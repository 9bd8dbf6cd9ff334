/*
 * queue.c - NFQUEUE through libmnl and libnetfilter_queue
 *
 * Theory of operation: packets come whole (copy range 0xffff), up to BATCH in one recvmmsg(); each
 * gets its own verdict message, since a batch verdict would cover packets by number, and all of
 * them go back in one send: half the system calls of one verdict at a time, measured. Without F_GSO
 * the kernel cuts what is larger than the MTU and writes checksums before it copies. That matters:
 * a guest says itself where a checksum goes, and what is written after the inspector has looked is
 * not what it has looked at.
 * Never fail-open: no NFQA_CFG_F_FAIL_OPEN here and no bypass in the rule, so a full queue, a process
 * that is stopped, slow or dead, and a full socket all mean drop. NETLINK_NO_ENOBUFS: what did not fit
 * into the socket was dropped by the kernel and needs no error as well.
 * The copy mode is set last and without asking for an acknowledgement: from then on packets come, and
 * one read while waiting for it would never get its verdict.
 * Invariants: buffers are taken at open; every packet that is read gets exactly one verdict.
 */
#include "netd/inspect/queue.h"

#include <arpa/inet.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <libnetfilter_queue/libnetfilter_queue.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nfnetlink_queue.h>
#include <sys/mman.h>
#include <sys/socket.h>

enum {
	BATCH = 32,
	MESSAGE_MAX = 65536 + 4096,		/* a packet and its attributes */
	VERDICT_MAX = 64,			/* header, verdict, mark */
	COPY_RANGE = 0xffff,
	QUEUE_LENGTH = 16384,
	RECEIVE_BUFFER = 64 << 20,
	CONFIG_MAX = 256,
};

struct queue {
	struct mnl_socket *nl;
	unsigned portid;
	uint16_t number;
	uint32_t sequence;
	uint8_t *in;				/* BATCH * MESSAGE_MAX */
	char out[BATCH * VERDICT_MAX] __attribute__((aligned(8)));
	size_t out_n;
	struct mmsghdr msgs[BATCH];
	struct iovec iov[BATCH];
};

/* ---- configuration ---- */

/* The answer to a request: 0 or what the kernel said. */
static int config_answer(struct queue *q)
{
	char buf[4096] __attribute__((aligned(8)));
	ssize_t n = mnl_socket_recvfrom(q->nl, buf, sizeof(buf));

	if (n < 0)
		return -errno;
	return mnl_cb_run(buf, (size_t)n, q->sequence, q->portid, NULL, NULL) < 0 ? -errno : 0;
}

static int config_send(struct queue *q, struct nlmsghdr *h, bool acknowledge)
{
	h->nlmsg_seq = ++q->sequence;
	if (acknowledge)
		h->nlmsg_flags |= NLM_F_ACK;
	if (mnl_socket_sendto(q->nl, h, h->nlmsg_len) < 0)
		return -errno;
	return acknowledge ? config_answer(q) : 0;
}

static int config_bind(struct queue *q)
{
	char buf[CONFIG_MAX] __attribute__((aligned(8)));
	struct nlmsghdr *h = nfq_nlmsg_put(buf, NFQNL_MSG_CONFIG, q->number);

	nfq_nlmsg_cfg_put_cmd(h, AF_UNSPEC, NFQNL_CFG_CMD_BIND);
	return config_send(q, h, true);
}

static int config_flags(struct queue *q)
{
	char buf[CONFIG_MAX] __attribute__((aligned(8)));
	struct nlmsghdr *h = nfq_nlmsg_put(buf, NFQNL_MSG_CONFIG, q->number);

	mnl_attr_put_u32(h, NFQA_CFG_FLAGS, htonl(0));
	mnl_attr_put_u32(h, NFQA_CFG_MASK, htonl(NFQA_CFG_F_GSO | NFQA_CFG_F_FAIL_OPEN));
	nfq_nlmsg_cfg_put_qmaxlen(h, QUEUE_LENGTH);
	return config_send(q, h, true);
}

static int config_copy(struct queue *q)
{
	char buf[CONFIG_MAX] __attribute__((aligned(8)));
	struct nlmsghdr *h = nfq_nlmsg_put(buf, NFQNL_MSG_CONFIG, q->number);

	nfq_nlmsg_cfg_put_params(h, NFQNL_COPY_PACKET, COPY_RANGE);
	return config_send(q, h, false);
}

static int socket_open(struct queue *q)
{
	int on = 1, size = RECEIVE_BUFFER;

	q->nl = mnl_socket_open2(NETLINK_NETFILTER, SOCK_CLOEXEC);
	if (!q->nl || mnl_socket_bind(q->nl, 0, MNL_SOCKET_AUTOPID) < 0)
		return -errno;
	q->portid = mnl_socket_get_portid(q->nl);
	if (mnl_socket_setsockopt(q->nl, NETLINK_NO_ENOBUFS, &on, sizeof(on)) < 0)
		return -errno;
	if (setsockopt(mnl_socket_get_fd(q->nl), SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)) < 0)
		return -errno;
	return 0;
}

static int buffers_open(struct queue *q)
{
	void *p = mmap(NULL, (size_t)BATCH * MESSAGE_MAX, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		return -ENOMEM;
	q->in = p;
	for (size_t i = 0; i < BATCH; i++) {
		q->iov[i] = (struct iovec){ q->in + i * MESSAGE_MAX, MESSAGE_MAX };
		q->msgs[i].msg_hdr = (struct msghdr){ .msg_iov = &q->iov[i], .msg_iovlen = 1 };
	}
	return 0;
}

int queue_open(uint16_t number, struct queue **ret)
{
	AUTO(queue) struct queue *q = calloc(1, sizeof(*q));
	int r;

	if (!q)
		return -ENOMEM;
	q->number = number;
	r = buffers_open(q);
	if (!r)
		r = socket_open(q);
	if (!r)
		r = config_bind(q);
	if (!r)
		r = config_flags(q);
	if (!r)
		r = config_copy(q);
	if (r < 0)
		return r;
	*ret = STEAL(q);
	return 0;
}

void queue_close(struct queue *q)
{
	if (!q)
		return;
	if (q->nl)
		mnl_socket_close(q->nl);
	if (q->in)
		munmap(q->in, (size_t)BATCH * MESSAGE_MAX);
	free(q);
}

int queue_fd(const struct queue *q)
{
	return mnl_socket_get_fd(q->nl);
}

/* ---- packets ---- */

static int verdicts_send(struct queue *q)
{
	size_t n = q->out_n;

	q->out_n = 0;
	if (!n)
		return 0;
	return mnl_socket_sendto(q->nl, q->out, n) < 0 ? -errno : 0;
}

static int verdict_put(struct queue *q, uint32_t id, const struct queue_answer *a)
{
	struct nlmsghdr *h;
	int r = sizeof(q->out) - q->out_n < VERDICT_MAX ? verdicts_send(q) : 0;

	if (r < 0)
		return r;
	h = nfq_nlmsg_put(q->out + q->out_n, NFQNL_MSG_VERDICT, q->number);
	nfq_nlmsg_verdict_put(h, (int)id, a->accept ? NF_ACCEPT : NF_DROP);
	if (a->set_mark)
		nfq_nlmsg_verdict_put_mark(h, a->mark);
	q->out_n += MNL_ALIGN(h->nlmsg_len);
	return 0;
}

static int message_read(struct queue *q, const struct nlmsghdr *h, queue_fn *fn, void *owner)
{
	struct nlattr *attr[NFQA_MAX + 1] = { 0 };
	const struct nfqnl_msg_packet_hdr *head;
	struct queue_answer answer;
	struct queued p = { 0 };

	/* Also errors: a verdict that the kernel refused, since its packet was gone already. */
	if (h->nlmsg_type != ((NFNL_SUBSYS_QUEUE << 8) | NFQNL_MSG_PACKET))
		return 0;
	if (nfq_nlmsg_parse(h, attr) < 0 || !attr[NFQA_PACKET_HDR])
		return 0;
	head = mnl_attr_get_payload(attr[NFQA_PACKET_HDR]);
	p.hook = head->hook;
	if (attr[NFQA_MARK])
		p.mark = ntohl(mnl_attr_get_u32(attr[NFQA_MARK]));
	if (attr[NFQA_PAYLOAD])
		p.packet = rd_of(mnl_attr_get_payload(attr[NFQA_PAYLOAD]),
				 mnl_attr_get_payload_len(attr[NFQA_PAYLOAD]));
	answer = fn(owner, &p);
	return verdict_put(q, ntohl(head->packet_id), &answer);
}

static int datagram_read(struct queue *q, void *buf, size_t n, queue_fn *fn, void *owner)
{
	const struct nlmsghdr *h = buf;
	int left = (int)n, r = 0;

	for (; !r && mnl_nlmsg_ok(h, left); h = mnl_nlmsg_next(h, &left))
		r = message_read(q, h, fn, owner);
	return r;
}

int queue_read(struct queue *q, queue_fn *fn, void *owner)
{
	int r = 0, n = recvmmsg(queue_fd(q), q->msgs, BATCH, MSG_DONTWAIT, NULL);

	if (n < 0)
		return errno == EAGAIN || errno == EINTR || errno == ENOBUFS ? 0 : -errno;
	for (int i = 0; !r && i < n; i++)
		r = datagram_read(q, q->iov[i].iov_base, q->msgs[i].msg_len, fn, owner);
	return r < 0 ? r : verdicts_send(q);
}
