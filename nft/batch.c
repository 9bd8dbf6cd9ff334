/*
 * batch.c - one nftables transaction over netlink, and single requests that are answered
 *
 * Theory of operation: messages are gathered in one growing buffer between NFNL_MSG_BATCH_BEGIN and _END
 * and handed to the kernel in one sendmsg(), which runs the whole transaction before it returns. Only the
 * last message asks for an acknowledgement: it is sent after the commit, so its arrival proves that all of
 * it took effect. Errors of any message arrive in any case and mean that nothing did. No answer at all
 * is an error, too.
 */
#include "nft/batch.h"

#include <errno.h>
#include <string.h>
#include <time.h>
#include <sys/socket.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <libnftnl/common.h>

enum { SEND_SLACK = 4096, RECEIVE_BUFFER = 1 << 20 };

int batch_init(struct batch *b)
{
	int force = RECEIVE_BUFFER;

	*b = (struct batch){ .seq = (uint32_t)time(NULL) };
	b->nl = mnl_socket_open2(NETLINK_NETFILTER, SOCK_CLOEXEC);
	if (!b->nl)
		return -errno;
	if (mnl_socket_bind(b->nl, 0, MNL_SOCKET_AUTOPID) < 0)
		return -errno;
	setsockopt(mnl_socket_get_fd(b->nl), SOL_SOCKET, SO_RCVBUFFORCE, &force, sizeof(force));
	return 0;
}

void batch_done(struct batch *b)
{
	if (b->nl)
		mnl_socket_close(b->nl);
	free(b->bytes);
	*b = (struct batch){ 0 };
}

static bool batch_reserve(struct batch *b, size_t n)
{
	size_t cap = b->cap ? b->cap : BATCH_MESSAGE_MAX * 4;
	uint8_t *grown;

	while (cap - b->n < n)
		cap *= 2;
	if (cap == b->cap)
		return true;
	grown = realloc(b->bytes, cap);
	if (!grown)
		return false;
	b->bytes = grown;
	b->cap = cap;
	return true;
}

int batch_begin(struct batch *b)
{
	if (b->open)
		return -EBUSY;
	b->n = b->last = 0;
	b->failed = false;
	if (!batch_reserve(b, BATCH_MESSAGE_MAX))
		return -ENOMEM;
	nftnl_batch_begin((char *)b->bytes, b->seq++);
	b->n = ((struct nlmsghdr *)b->bytes)->nlmsg_len;
	b->open = true;
	return 0;
}

struct nlmsghdr *batch_message(struct batch *b, uint8_t family, uint16_t nft_type, uint16_t flags)
{
	if (!b->open || b->failed || !batch_reserve(b, BATCH_MESSAGE_MAX)) {
		b->failed = true;
		return NULL;
	}
	return nftnl_nlmsg_build_hdr((char *)b->bytes + b->n, nft_type, family, flags, b->seq++);
}

void batch_add(struct batch *b, const struct nlmsghdr *nlh)
{
	b->last = b->n;
	b->n += NLMSG_ALIGN(nlh->nlmsg_len);
}

void batch_abort(struct batch *b)
{
	b->open = false;
}

/* The transaction has run when sendmsg() returns: what there is to read is there. */
static int batch_outcome(struct batch *b, uint32_t first_seq)
{
	char buf[BATCH_MESSAGE_MAX] __attribute__((aligned(8)));
	bool acked = false;
	int error = 0;

	for (;;) {
		ssize_t n = recv(mnl_socket_get_fd(b->nl), buf, sizeof(buf), MSG_DONTWAIT);
		struct nlmsghdr *h = (struct nlmsghdr *)buf;
		int left = (int)n;

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return error ? error : acked ? 0 : -EIO;
		for (; mnl_nlmsg_ok(h, left); h = mnl_nlmsg_next(h, &left)) {
			const struct nlmsgerr *e = mnl_nlmsg_get_payload(h);

			if (h->nlmsg_type != NLMSG_ERROR || h->nlmsg_seq < first_seq)
				continue;
			if (e->error && !error)
				error = e->error;
			acked |= !e->error;
		}
	}
}

int batch_commit(struct batch *b)
{
	int fd = mnl_socket_get_fd(b->nl), size;
	uint32_t first = b->bytes ? ((struct nlmsghdr *)b->bytes)->nlmsg_seq : 0;

	if (!b->open || b->failed) {
		b->open = false;
		return -ENOMEM;
	}
	b->open = false;
	if (!b->last)
		return 0;					/* an empty transaction */
	((struct nlmsghdr *)(b->bytes + b->last))->nlmsg_flags |= NLM_F_ACK;
	if (!batch_reserve(b, BATCH_MESSAGE_MAX))
		return -ENOMEM;
	nftnl_batch_end((char *)b->bytes + b->n, b->seq++);
	b->n += ((struct nlmsghdr *)(b->bytes + b->n))->nlmsg_len;
	size = (int)b->n + SEND_SLACK;
	setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size));
	if (mnl_socket_sendto(b->nl, b->bytes, b->n) < 0)
		return -errno;
	return batch_outcome(b, first);
}

/* Whether an answer ends in here. */
static bool ends(const void *buf, size_t n)
{
	const struct nlmsghdr *h = buf;

	for (int left = (int)n; mnl_nlmsg_ok(h, left); h = mnl_nlmsg_next(h, &left))
		if (h->nlmsg_type == NLMSG_DONE || h->nlmsg_type == NLMSG_ERROR)
			return true;
	return false;
}

/*
 * A dump that others' changes interrupt is EINTR, and is read to its end all the same: what is left would be
 * taken for the answer to each later question.
 */
int batch_dump(struct batch *b, struct nlmsghdr *nlh, mnl_cb_t fn, void *owner)
{
	char buf[1 << 16] __attribute__((aligned(8)));
	uint32_t seq = nlh->nlmsg_seq = b->seq++;
	int r = 1, error = 0;

	if (mnl_socket_sendto(b->nl, nlh, nlh->nlmsg_len) < 0)
		return -errno;
	while (r > 0) {
		ssize_t n = mnl_socket_recvfrom(b->nl, buf, sizeof(buf));

		if (n < 0)
			return -errno;
		r = mnl_cb_run(buf, (size_t)n, seq, mnl_socket_get_portid(b->nl), fn, owner);
		if (r < 0)
			error = -errno;
		if (error == -EINTR)
			r = !ends(buf, (size_t)n);
	}
	return error;
}
