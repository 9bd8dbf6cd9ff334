/*
 * queue.h - the kernel's packet queue: packets in batches, verdicts in one send
 *
 * The one file that knows libnetfilter_queue and libmnl.
 */
#ifndef INSPECT_QUEUE_H
#define INSPECT_QUEUE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/mem.h"

struct queued {
	uint8_t hook;		/* NF_INET_* */
	uint32_t mark;
	struct rd packet;	/* from the IP header on; borrowed. Shorter than it says when it was cut */
};

/* Zeroed: drop. */
struct queue_answer {
	bool accept;
	bool set_mark;
	uint32_t mark;
};

typedef struct queue_answer queue_fn(void *owner, const struct queued *p);

struct queue;
/*
 * Bind the queue. 0 or -errno: -EPERM without CAP_NET_ADMIN, -EBUSY when another process has it. The
 * capability is needed for verdicts as well.
 */
int queue_open(uint16_t number, struct queue **ret);
void queue_close(struct queue *q);		/* the kernel drops what waits */
DEFINE_AUTO(queue, struct queue *, queue_close)
int queue_fd(const struct queue *q);		/* readable: packets wait */

/*
 * One batch: fn for each packet, then one send with all verdicts. 0, or -errno when verdicts could not
 * be given: packets would wait for ever, so the caller gives up.
 */
int queue_read(struct queue *q, queue_fn *fn, void *owner);

#endif
