/*
 * input.h - bytes read from a client and not yet used
 *
 * One buffer per connection: heads are parsed in it, bodies pass through it, and what stands behind
 * a body stays in it as the next request.
 */
#ifndef GITPROXY_FRONT_INPUT_H
#define GITPROXY_FRONT_INPUT_H

#include "gitproxy/front/tls.h"
#include "gitproxy/http_head.h"

struct input {
	struct stream *stream;		/* borrowed */
	size_t at, have;		/* unused bytes are buf[at..have) */
	uint8_t buf[HTTP_HEAD_MAX];
};

static inline struct rd input_rd(const struct input *in)
{
	return rd_of(in->buf + in->at, in->have - in->at);
}
/* Keep only the last `left` bytes of what input_rd() gave. */
static inline void input_keep(struct input *in, size_t left) { in->at = in->have - left; }
/* Read more; slices of the buffer are invalid after it. Bytes read, 0 at the end, -ENOBUFS when
 * full, -errno. */
ssize_t input_fill(struct input *in, uint64_t deadline);

/* The same without waiting: -EAGAIN. Only when nothing unused is left. */
ssize_t input_try(struct input *in);

#endif
