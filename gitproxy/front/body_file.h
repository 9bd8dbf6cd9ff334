/*
 * body_file.h - a request's body, decoded, as a sealed file in memory
 */
#ifndef GITPROXY_FRONT_BODY_FILE_H
#define GITPROXY_FRONT_BODY_FILE_H

#include "gitproxy/front/http_body.h"
#include "gitproxy/front/input.h"

struct body_error {
	enum reason reason;
	unsigned status;		/* 0: the reason's own */
	bool gone;			/* nobody is there to be told */
};
/*
 * Read the body that `head` announces, take off gzip, and put it into a sealed memfd. At most max
 * bytes, on the wire and decoded. 0, or -1 with the error; head's slices are invalid afterwards.
 */
int body_file_read(struct input *in, const struct http_head *head, uint64_t max, int *ret_fd,
		   uint64_t *ret_n, struct body_error *ret_error);

#endif
