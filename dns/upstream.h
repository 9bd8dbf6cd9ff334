/*
 * upstream.h - real addresses of granted names, asked of the host's resolvers
 *
 * The only file of cordon-dns that sends packets beyond the host; it is called for granted names
 * alone. Wraps c-ares: its errors become enum upstream_status here.
 */
#ifndef DNS_UPSTREAM_H
#define DNS_UPSTREAM_H

#include <stdint.h>

#include "base/addr.h"
#include "base/loop.h"
#include "base/mem.h"
#include "base/msg.h"
#include "policy/host_config.h"

enum {
	UPSTREAM_TTL_MIN = 5,
	UPSTREAM_TTL_MAX = 300, /* of addresses, seconds; real TTLs are clamped */
	UPSTREAM_TTL_NEGATIVE = 30,
	UPSTREAM_TTL_FAILED = 1
};

/* Zero is failure. */
enum upstream_status {
	UPSTREAM_UNREACHABLE = 0,
	UPSTREAM_NXDOMAIN,
	UPSTREAM_NODATA,
	UPSTREAM_ADDRESSES
};
struct upstream_answer {
	enum upstream_status status;
	uint32_t ttl;				/* seconds from now */
	uint8_t n4, n6;
	struct addr a4[MSG_ADDRS], a6[MSG_ADDRS];
};

struct upstream;
struct upstream_wait;
typedef void upstream_fn(struct upstream_wait *w, const struct upstream_answer *a);
/* Embedded in who asks; zero-initialised, `fn` filled. */
struct upstream_wait {
	upstream_fn *fn;
	struct upstream_wait *prev, *next;	/* private */
};

/* Reads /etc/resolv.conf if the configuration says system. 0 or -errno. `c` is kept, borrowed. */
int upstream_new(struct loop *l, const struct host_config *c, struct upstream **ret);
void upstream_free(struct upstream *u);
DEFINE_AUTO(upstream, struct upstream *, upstream_free)

/*
 * A and AAAA of a canonical name: from `hosts:`, from what is known, or from a resolver; one
 * question whoever asks for it. w->fn is called exactly once, perhaps before this returns.
 */
void upstream_ask(struct upstream *u, const char *name, struct upstream_wait *w);
void upstream_cancel(struct upstream_wait *w);		/* harmless when nothing is asked */

#endif
