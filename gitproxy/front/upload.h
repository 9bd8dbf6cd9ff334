/*
 * upload.h - a request's body, passed on to the keeper while the answer may already come
 */
#ifndef GITPROXY_FRONT_UPLOAD_H
#define GITPROXY_FRONT_UPLOAD_H

#include "gitproxy/front/http_body.h"
#include "gitproxy/front/input.h"
#include "policy/reason.h"

enum { UPLOAD_WINDOW = 16384 };

/* What takes gzip off a body on its way. upload_gzip_new() and _free(). */
struct upload_gzip {
	struct http_gzip gzip;
	struct rd encoded;	/* in the input's buffer */
	bool full;		/* there may be more of what was put in already */
	uint8_t window[UPLOAD_WINDOW];
};
struct upload_gzip *upload_gzip_new(void);	/* NULL: no memory */
void upload_gzip_free(struct upload_gzip *g);
DEFINE_AUTO(upload_gzip, struct upload_gzip *, upload_gzip_free)

struct upload {			/* embedded; no release needed */
	struct input *in;	/* borrowed; nobody else reads from it until done */
	struct http_body body;
	struct upload_gzip *gzip;	/* borrowed; NULL: the body is passed on as it comes */
	struct rd pending;	/* decoded, in the input's buffer or gzip's, not yet taken by the keeper */
	uint64_t sent, seen, max;	/* bytes that the keeper has, the client has sent, it may send */
	uint64_t wire;		/* bytes with gzip on them; the same bound holds */
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
