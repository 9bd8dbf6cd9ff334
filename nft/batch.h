/*
 * batch.h - one nftables transaction over netlink, and single requests that are answered
 */
#ifndef NFT_BATCH_H
#define NFT_BATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <libmnl/libmnl.h>

#include "base/mem.h"

enum { BATCH_MESSAGE_MAX = 8192 };	/* one message; elements carry under 400 bytes */

struct batch {
	struct mnl_socket *nl;		/* owned */
	uint8_t *bytes;			/* owned: the messages so far */
	size_t n, cap;
	size_t last;			/* offset of the last message, which asks for the acknowledgement */
	uint32_t seq;
	bool open, failed;		/* failed: sticky, commit refuses */
};

int batch_init(struct batch *b);	/* 0 or -errno */
void batch_done(struct batch *b);

int batch_begin(struct batch *b);	/* -EBUSY when one is open */
/*
 * Room for one message with its nfgenmsg header; fill it, then batch_add(). NULL: out of memory or no
 * transaction (sticky).
 */
struct nlmsghdr *batch_message(struct batch *b, uint8_t family, uint16_t nft_type, uint16_t flags);
void batch_add(struct batch *b, const struct nlmsghdr *nlh);
int batch_commit(struct batch *b);	/* 0 when the kernel has done it all; -errno: nothing happened */
void batch_abort(struct batch *b);

/* Send one request and run fn on every answer until the end of the dump. 0 or -errno. */
int batch_dump(struct batch *b, struct nlmsghdr *nlh, mnl_cb_t fn, void *owner);

#endif
