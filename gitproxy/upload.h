/*
 * upload.h - a request's body, passed on to the keeper while the answer may already come
 */
#ifndef GITPROXY_UPLOAD_H
#define GITPROXY_UPLOAD_H

#include "gitproxy/http_body.h"
#include "gitproxy/input.h"
#include "policy/reason.h"

struct upload {			/* embedded; no release needed */
	struct input *in;	/* borrowed; nobody else reads from it until done */
	struct http_body body;
	struct rd pending;	/* decoded, in the input's buffer, not yet taken by the keeper */
	uint64_t sent, seen, max;	/* bytes that the keeper has, the client has sent, it may send */
	bool done;		/* END is out */
};
void upload_init(struct upload *u, struct input *in, const struct http_head *head, uint64_t max);
/*
 * Pass the body on until it is done or a frame of the keeper waits on `frames`. 0; -EBADMSG
 * (malformed), -EFBIG (more than the maximum), -ETIMEDOUT (nothing moved for idle_ms), -ECONNRESET
 * (the client has ended), -errno.
 */
int upload_run(struct upload *u, int frames, unsigned idle_ms);

/*
 * All of it was read: the input stands at the next request, which may be answered here even though the
 * keeper, which spoke before END went out, may not wait for another.
 */
bool upload_is_read(const struct upload *u);

#endif
