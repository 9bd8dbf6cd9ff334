/*
 * input.c - bytes read from a client and not yet used
 */
#include "gitproxy/front/input.h"

#include <errno.h>

ssize_t input_fill(struct input *in, uint64_t deadline)
{
	struct rd rest = input_rd(in);
	ssize_t n;

	if (in->at) {
		memmove(in->buf, rest.p, rest.n);
		in->at = 0;
		in->have = rest.n;
	}
	if (in->have == sizeof(in->buf))
		return -ENOBUFS;
	n = stream_read(in->stream, in->buf + in->have, sizeof(in->buf) - in->have, deadline);
	if (n > 0)
		in->have += (size_t)n;
	return n;
}

ssize_t input_try(struct input *in)
{
	ssize_t n = stream_try_read(in->stream, in->buf, sizeof(in->buf));

	in->at = 0;
	in->have = n > 0 ? (size_t)n : 0;
	return n;
}
