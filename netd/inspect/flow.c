/*
 * flow.c - the state machine of one flow; threats B7 to B12 are its specification
 *
 * Theory of operation: two parsers of one byte stream, this one and the server's, must see the same
 * bytes. So nothing is decided on what a client sent, only on what the server has acknowledged:
 *
 *   1. A flow opens with a SYN and the server's SYN-ACK for exactly that ISN plus one.
 *   2. While undecided, a client's segment passes only if it starts at or before the next expected byte.
 *      What lies before was recorded and must be the same, byte by byte, else the flow is refused; what is
 *      new is recorded, and parsed before it is forwarded. So for every sequence number only one value
 *      has ever left, whatever the server dropped (old timestamp, MD5 option, no room) and asks again.
 *   3. The segment that completes a ClientHello passes only if hello_check() agrees, and so does one that
 *      completes the name in a hello which is not whole yet: a wrong name does not leave. Behind the hello only
 *      early data may follow; a handshake record there would be a second hello nobody asked for.
 *   4. The flow is decided by a packet of the server, when end of hello <= its ACK <= end of recorded
 *      bytes, and its first handshake message is a ServerHello. A HelloRetryRequest makes the second
 *      hello subject to 2, 3 and 4 once more.
 *
 * The server's side is read strictly in order as well, and only segments within its own sequence count
 * for the gate; a client's ACK must lie within it. So both ISNs bind: an answer that belongs to another
 * connection of the same ports does not open the gate.
 *
 * A SYN on a tuple that has a record (the ruleset lets none pass whose conntrack entry is not new; but
 * conntrack can be brought to forget a connection which the server still holds, by a reset that only
 * conntrack believes). A SYN-ACK for an earlier SYN may still be on its way then, and must not open the
 * new record over a connection that holds other bytes already. So until FLOW_QUIET_MS after the last
 * packet that passed:
 *   - waiting for the SYN-ACK: the same SYN passes again, another ISN is dropped;
 *   - later: only an ISN ahead of every sequence number of the record opens it anew, as that of any
 *     client of RFC 6528 is; its record starts empty. The ISN of a record is never changed in place.
 * Whoever keeps the records must not forget one before that time either (see table.c).
 *
 * A refused flow: everything with payload is refused for good. What ends it on both sides passes: bare
 * resets, the server's bare FIN. VERDICT_KILL has the kernel reset the client (see main.c); the server's
 * half of the connection ends with its own deadline, whose FIN the client's kernel answers by a reset.
 *
 * Invariants: no allocation, no I/O; cost linear in the bytes of the segment, but for joining a hello:
 * once when it is whole, and until its name has come once per segment (at most FLOW_HELLO_MAX bytes).
 * A segment that does not fit the buffer is dropped whole: TCP sends it again in smaller pieces.
 * Not covered: a server that takes another name inside the encrypted part (renegotiation), and an outsider
 * who can send packets with the server's address and knows both sequence numbers.
 * Fuzzed by tests/fuzz/fuzz_flow.c against a model that knows nothing of the above.
 */
#include "netd/inspect/flow.h"

enum { HELLO_TYPES = TLS_MAY_HANDSHAKE,
       AFTER_HELLO_TYPES = TLS_MAY_CCS | TLS_MAY_ALERT | TLS_MAY_DATA,
       SECOND_HELLO_TYPES = AFTER_HELLO_TYPES | TLS_MAY_HANDSHAKE };

/* a - b in sequence space. */
static int32_t seq_diff(uint32_t a, uint32_t b)
{
	return (int32_t)(a - b);
}

/* The next sequence number that the client will use. */
static uint32_t client_next(const struct flow *f)
{
	return f->isn + 1 + f->n + f->client_fin;
}

static void refuse(struct flow *f, enum reason reason, struct flow_note *note)
{
	f->state = FLOW_REFUSED;
	note->tell = true;
	note->reason = reason;
}

static enum verdict kill(struct flow *f, enum reason reason, struct flow_note *note)
{
	refuse(f, reason, note);
	return VERDICT_KILL;
}

/* ---- a SYN of the client ---- */

static bool syn_may_open(const struct flow *f, uint32_t isn, uint64_t now)
{
	if (f->state == FLOW_NEW || now - f->seen_ms >= FLOW_QUIET_MS)
		return true;
	return f->state != FLOW_SYN_SENT && seq_diff(isn, client_next(f)) >= 0;
}

static enum verdict client_syn(struct flow *f, const struct segment *seg, const struct flow_env *env,
			       struct flow_note *note)
{
	if (seg->flags != TCP_SYN || rd_left(&seg->data))
		return VERDICT_DENY;
	if (f->state == FLOW_SYN_SENT && f->isn == seg->seq && f->mark == env->mark)
		return VERDICT_PASS;			/* sent again */
	if (!syn_may_open(f, seg->seq, env->now_ms))
		return VERDICT_DENY;
	*f = (struct flow){ .state = FLOW_SYN_SENT, .answer = TLS_ANSWER_MORE, .mark = env->mark,
			    .isn = seg->seq, .buf = f->buf, .cap = f->cap };
	if (!env->name)
		return kill(f, REASON_ADDRESS_NOT_GRANTED, note);
	return VERDICT_PASS;
}

/* ---- the client's bytes ---- */

/* The handshake bytes since the last good hello, joined. */
static enum parse hello_join(const struct flow *f, const struct flow_env *env, struct rd *ret_body)
{
	struct wr joined = wr_of(env->scratch, FLOW_RECORD_MAX);

	return tls_join(rd_of(f->buf + f->hello_end, f->fed - f->hello_end), &joined, ret_body);
}

/* Part of a ClientHello: a wrong name is refused before the segment that holds it is forwarded. */
static enum reason hello_part(struct flow *f, const struct flow_env *env, struct flow_note *note)
{
	enum reason reason;
	struct hello hello;
	struct rd body;

	if (f->name_good || f->client.msg[0] != TLS_CLIENT_HELLO || hello_join(f, env, &body) != PARSE_OK)
		return REASON_NONE;
	if (hello_peek(body, &hello) != PARSE_OK)
		return REASON_HELLO_MALFORMED;
	if (!hello.has_name && !hello.ech)
		return REASON_NONE;
	note->sni = hello.name;
	reason = env->name ? hello_check(&hello, env->name) : REASON_ADDRESS_NOT_GRANTED;
	f->name_good = reason == REASON_NONE;
	return reason;
}

/* A whole ClientHello has been fed. */
static enum reason hello_read(struct flow *f, const struct flow_env *env, struct flow_note *note)
{
	struct hello hello;
	struct rd body;

	if (f->client.msg[0] != TLS_CLIENT_HELLO || !tls_at_record_end(&f->client))
		return REASON_HELLO_MALFORMED;
	if (hello_join(f, env, &body) != PARSE_OK)
		return REASON_HELLO_MALFORMED;
	if (hello_parse(body, &hello) != PARSE_OK)
		return REASON_HELLO_MALFORMED;
	note->sni = hello.name;
	if (!env->name)
		return REASON_ADDRESS_NOT_GRANTED;
	return hello_check(&hello, env->name);
}

static unsigned types_now(const struct flow *f)
{
	if (f->hello_good)
		return AFTER_HELLO_TYPES;
	return f->retried ? SECOND_HELLO_TYPES : HELLO_TYPES;
}

/* Feed what was recorded last; REASON_NONE while nothing is wrong with it. */
static enum reason client_read(struct flow *f, const struct flow_env *env, struct flow_note *note)
{
	enum reason reason;

	while (f->fed < f->n) {
		struct rd in = rd_of(f->buf + f->fed, f->n - f->fed);
		enum parse p = tls_feed(&f->client, &in, types_now(f));

		f->fed = f->n - (uint32_t)rd_left(&in);
		if (p == PARSE_BAD)
			return f->client.seen ? REASON_HELLO_MALFORMED : REASON_NOT_TLS;
		if (p == PARSE_MORE)
			break;
		reason = hello_read(f, env, note);
		if (reason != REASON_NONE)
			return reason;
		f->hello_good = true;
		f->hello_end = f->fed;
		tls_next_message(&f->client);
	}
	if (f->hello_good)
		return REASON_NONE;
	return f->n >= FLOW_HELLO_MAX ? REASON_HELLO_MALFORMED : hello_part(f, env, note);
}

/* Data that begins at recorded byte `at` <= f->n. */
static enum verdict client_data(struct flow *f, struct rd data, uint32_t at, const struct flow_env *env,
				struct flow_note *note)
{
	uint32_t known = f->n - at;
	struct rd again;
	enum reason reason;

	if (known > rd_left(&data))
		known = (uint32_t)rd_left(&data);
	if (!rd_take(&data, known, &again))
		return VERDICT_DENY;
	if (!rd_eq(again, f->buf + at, known))
		return kill(f, REASON_STREAM_INCONSISTENT, note);
	if (!rd_left(&data))
		return VERDICT_PASS;
	if (f->client_fin || f->n >= FLOW_HELLO_MAX || rd_left(&data) > f->cap - f->n)
		return VERDICT_DENY;
	memcpy(f->buf + f->n, data.p, rd_left(&data));
	f->n += (uint32_t)rd_left(&data);
	f->data_ms = env->now_ms;
	reason = client_read(f, env, note);
	return reason == REASON_NONE ? VERDICT_PASS : kill(f, reason, note);
}

static enum verdict client_open(struct flow *f, const struct segment *seg, const struct flow_env *env,
				struct flow_note *note)
{
	int32_t at = seq_diff(seg->seq, f->isn + 1);
	size_t length = rd_left(&seg->data);
	bool fin = seg->flags & TCP_FIN;
	enum verdict v;

	if (!(seg->flags & TCP_ACK) || (seg->flags & TCP_URG))
		return VERDICT_DENY;
	if (seq_diff(seg->ack, f->server_isn + 1) < 0 || seq_diff(seg->ack, f->server_next) > 0)
		return VERDICT_DENY;			/* acknowledges another connection's bytes */
	if (!length && !fin)				/* -1: a keepalive before the first byte */
		return at >= -1 && at <= (int32_t)(f->n + f->client_fin) ? VERDICT_PASS : VERDICT_DENY;
	if (at < 0 || at > (int32_t)f->n)
		return VERDICT_DENY;
	if (fin && (uint32_t)at + length < f->n)	/* would end the stream before recorded bytes */
		return VERDICT_DENY;
	if (fin && f->client_fin && (uint32_t)at + length != f->n)
		return VERDICT_DENY;
	v = length ? client_data(f, seg->data, (uint32_t)at, env, note) : VERDICT_PASS;
	f->client_fin |= fin && v == VERDICT_PASS;
	return v;
}

static enum verdict from_client(struct flow *f, const struct segment *seg, const struct flow_env *env,
				struct flow_note *note)
{
	if ((seg->flags & (TCP_SYN | TCP_ACK | TCP_RST)) == TCP_SYN)
		return client_syn(f, seg, env, note);
	if (seg->flags & TCP_SYN)
		return VERDICT_DENY;
	if (seg->flags & TCP_RST)			/* whether it is believed is the server's affair */
		return f->state != FLOW_NEW && !rd_left(&seg->data) ? VERDICT_PASS : VERDICT_DENY;
	if (f->state != FLOW_NEW && f->state != FLOW_REFUSED && env->mark != f->mark)
		return kill(f, REASON_STATE_INVALID, note);	/* its address has a new owner */
	switch ((enum flow_state)f->state) {
	case FLOW_NEW:
		f->isn = seg->seq - 1;
		f->mark = env->mark;
		return kill(f, REASON_STATE_INVALID, note);	/* begun before we were here */
	case FLOW_SYN_SENT:
		return VERDICT_DENY;
	case FLOW_OPEN:
		return client_open(f, seg, env, note);
	case FLOW_DECIDED:
		return VERDICT_DECIDED;
	case FLOW_REFUSED:
		return VERDICT_KILL;
	}
	return VERDICT_DENY;
}

/* ---- the server's segments ---- */

static enum verdict server_syn_sent(struct flow *f, const struct segment *seg)
{
	if (rd_left(&seg->data))
		return VERDICT_DENY;
	if (seg->flags == TCP_ACK)			/* a challenge (RFC 5961): the client resets */
		return VERDICT_PASS;
	if (seg->flags != (TCP_SYN | TCP_ACK) || seg->ack != f->isn + 1)
		return VERDICT_DENY;
	f->state = FLOW_OPEN;
	f->server_isn = seg->seq;
	f->server_next = seg->seq + 1;
	return VERDICT_PASS;
}

/* What the server says to the hello: a ServerHello, a retry, or nothing that could decide. */
static void server_read(struct flow *f, struct rd data)
{
	while (f->answer == TLS_ANSWER_MORE && rd_left(&data)) {
		f->answer = tls_feed_answer(&f->server, &data);
		if (!f->hello_good && f->answer != TLS_ANSWER_MORE)
			f->answer = TLS_ANSWER_OTHER;	/* an answer to what? */
		if (f->answer != TLS_ANSWER_RETRY)
			continue;
		tls_next_message(&f->server);
		f->hello_good = f->name_good = false;
		f->answer = f->retried ? TLS_ANSWER_OTHER : TLS_ANSWER_MORE;	/* RFC 8446: only once */
		f->retried = true;
	}
}

/* Move the server's stream on by a segment that starts at or before its next byte. */
static void server_data(struct flow *f, const struct segment *seg)
{
	uint32_t known = f->server_next - seg->seq;
	struct rd data = seg->data;
	bool fin = seg->flags & TCP_FIN;

	if (f->server_fin)
		return;
	if (known > rd_left(&data) || !rd_skip(&data, known))
		return;					/* all of it came before */
	f->server_next += (uint32_t)rd_left(&data) + fin;
	f->server_fin = fin;
	server_read(f, data);
}

static bool gate_open(const struct flow *f)
{
	return f->hello_good && f->answer == TLS_ANSWER_HELLO && f->hello_end <= f->acked && f->acked <= f->n;
}

static enum verdict server_ack(struct flow *f, uint32_t ack, const struct flow_env *env,
			       struct flow_note *note)
{
	int32_t acked = seq_diff(ack, f->isn + 1);

	if (acked > (int32_t)(f->n + f->client_fin)) {	/* bytes that never passed here */
		refuse(f, REASON_STREAM_INCONSISTENT, note);
		return VERDICT_DENY;
	}
	if (acked > (int32_t)f->n)
		acked = (int32_t)f->n;			/* the FIN */
	if (acked > (int32_t)f->acked)
		f->acked = (uint32_t)acked;
	if (!gate_open(f) || !env->name)
		return VERDICT_PASS;
	f->state = FLOW_DECIDED;
	*note = (struct flow_note){ .tell = true, .reason = REASON_NONE, .sni = rd_str(env->name) };
	return VERDICT_DECIDED;
}

static enum verdict server_open(struct flow *f, const struct segment *seg, const struct flow_env *env,
				struct flow_note *note)
{
	bool empty = !rd_left(&seg->data) && !(seg->flags & TCP_FIN);
	int32_t ahead = seq_diff(seg->seq, f->server_next);

	if (seg->flags & TCP_SYN)			/* sent again: the client's ACK was lost */
		return seg->flags == (TCP_SYN | TCP_ACK) && seg->seq == f->server_isn &&
		       seg->ack == f->isn + 1 && empty ? VERDICT_PASS : VERDICT_DENY;
	if (!(seg->flags & TCP_ACK))
		return VERDICT_DENY;
	if (ahead > 0)					/* a segment before it was lost: it comes again */
		return empty ? VERDICT_PASS : VERDICT_DENY;
	if (seq_diff(seg->seq, f->server_isn) < 0)
		return VERDICT_DENY;
	if (!empty)
		server_data(f, seg);
	return server_ack(f, seg->ack, env, note);
}

static enum verdict from_server(struct flow *f, const struct segment *seg, const struct flow_env *env,
				struct flow_note *note)
{
	if ((seg->flags & TCP_RST) && !(seg->flags & TCP_SYN))
		return f->state != FLOW_NEW && !rd_left(&seg->data) ? VERDICT_PASS : VERDICT_DENY;
	switch ((enum flow_state)f->state) {
	case FLOW_NEW:
		return VERDICT_DENY;
	case FLOW_SYN_SENT:
		return server_syn_sent(f, seg);
	case FLOW_OPEN:
		return server_open(f, seg, env, note);
	case FLOW_DECIDED:
		return VERDICT_DECIDED;
	case FLOW_REFUSED:
		return rd_left(&seg->data) || (seg->flags & TCP_SYN) ? VERDICT_DENY : VERDICT_PASS;
	}
	return VERDICT_DENY;
}

enum verdict flow_step(struct flow *f, enum flow_side from, const struct segment *seg,
		       const struct flow_env *env, struct flow_note *ret_note)
{
	enum verdict v;

	*ret_note = (struct flow_note){ 0 };
	v = from == FLOW_CLIENT ? from_client(f, seg, env, ret_note) : from_server(f, seg, env, ret_note);
	if (v != VERDICT_DENY)
		f->seen_ms = env->now_ms;
	return v;
}

void flow_tick(struct flow *f, uint64_t now_ms, struct flow_note *ret_note)
{
	*ret_note = (struct flow_note){ 0 };
	if (f->state != FLOW_OPEN || f->hello_good || f->n == f->hello_end)
		return;
	if (now_ms - f->data_ms >= FLOW_HELLO_MS)
		refuse(f, REASON_HELLO_TIMEOUT, ret_note);
}

uint32_t flow_room(const struct flow *f, const struct segment *seg)
{
	size_t length = rd_left(&seg->data);

	if (f->state != FLOW_OPEN || !length || f->n >= FLOW_HELLO_MAX || length > 65535)
		return 0;
	return f->n + (uint32_t)length;		/* an upper bound: some of it may be known already */
}
