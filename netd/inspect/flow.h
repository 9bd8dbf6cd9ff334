/*
 * flow.h - one TCP flow until it is decided: segments in, verdicts out
 */
#ifndef INSPECT_FLOW_H
#define INSPECT_FLOW_H

#include "netd/inspect/hello.h"
#include "netd/inspect/packet.h"
#include "netd/inspect/tls_stream.h"
#include "policy/reason.h"

enum verdict {
	VERDICT_DENY = 0,	/* drop this packet; TCP may send it again */
	VERDICT_PASS,		/* forward this packet, the flow stays undecided */
	VERDICT_DECIDED,	/* forward this packet and from now on the kernel alone */
	VERDICT_KILL,		/* drop this packet of the client and answer it with a reset */
};

enum flow_side { FLOW_CLIENT, FLOW_SERVER };	/* who sent the segment; the client is the sandbox */

enum flow_state {
	FLOW_NEW = 0,		/* nothing seen */
	FLOW_SYN_SENT,		/* the client's SYN passed */
	FLOW_OPEN,		/* the server's SYN-ACK passed: bytes are recorded and inspected */
	FLOW_DECIDED,
	FLOW_REFUSED,
};

enum {
	FLOW_HELLO_MAX = 16384,		/* recorded bytes within which a hello must end */
	FLOW_RECORD_MAX = FLOW_HELLO_MAX + 65536,	/* and one unsegmented packet on top */
	FLOW_HELLO_MS = 10000,		/* silence after which half a hello is refused */
	FLOW_QUIET_MS = 4000,		/* no answer of the server is on its way for longer */
};

/*
 * Zeroed: FLOW_NEW. `buf` and `cap` belong to the owner, who may enlarge them between steps (keeping
 * the first `n` bytes) and takes them back when the flow is decided or refused.
 */
struct flow {
	uint8_t state;			/* enum flow_state */
	uint8_t answer;			/* enum tls_answer: the server's first message */
	bool hello_good;		/* the hello that ends at hello_end names the right server */
	bool name_good;			/* the name in the hello to come is right so far: no need to look again */
	bool retried;			/* the server asked for a second hello */
	bool client_fin, server_fin;
	uint32_t mark;			/* profile << 16 | sandbox */
	uint32_t isn;			/* the client's; byte i of buf has sequence number isn + 1 + i */
	uint32_t server_isn, server_next;
	uint32_t n;			/* recorded bytes */
	uint32_t fed;			/* of which the parser has seen this many */
	uint32_t hello_end;		/* end of the last good hello */
	uint32_t acked;			/* bytes the server has acknowledged in its own sequence */
	uint32_t cap;
	uint8_t *buf;
	uint64_t seen_ms, data_ms;	/* last packet that passed, last byte recorded */
	struct tls_stream client, server;
};

/* What the step is allowed to know of the world. */
struct flow_env {
	uint64_t now_ms;
	uint32_t mark;			/* of a client's packet: profile << 16 | sandbox */
	const char *name;		/* the canonical name of the address dialled; NULL: it has none */
	uint8_t *scratch;		/* FLOW_RECORD_MAX bytes */
};

/* What there is to tell, once per flow and outcome. */
struct flow_note {
	bool tell;
	enum reason reason;		/* REASON_NONE: decided */
	struct rd sni;			/* peer bytes; borrowed from env->scratch or env->name */
};

/* One segment. Pure: no I/O, no allocation, no clock. *ret_note is always written. */
enum verdict flow_step(struct flow *f, enum flow_side from, const struct segment *seg,
		       const struct flow_env *env, struct flow_note *ret_note);

/* Time has passed: refuses half a hello after its deadline, and tells. */
void flow_tick(struct flow *f, uint64_t now_ms, struct flow_note *ret_note);

/* Bytes of buffer that a step with this segment may need; 0 when the flow records nothing any more. */
uint32_t flow_room(const struct flow *f, const struct segment *seg);

#endif
