/*
 * fuzz_flow.c - an attacker, a flow, and an honest server behind it
 *
 * The input is a program for the attacker: which segments to send, which of those that passed the network
 * loses, when the server's answers (a queue that keeps their order) reach the flow, what the server says.
 * The server is a model of TCP that knows nothing of the flow's rules: one connection per pair of ports, a
 * SYN on a live connection is answered by a challenge, a reset counts only at the next expected byte, bytes
 * are taken in order. Nothing plays conntrack: every SYN reaches the flow.
 *
 * Invariant: when the flow is decided and the server's connection is alive, then what the *server* has
 * read parses to a hello (two after a retry) that names the right server.
 *
 * One octet per operation, then its arguments; missing ones are zero. See `operations`.
 */
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>

#include "netd/inspect/flow.h"
#include "tests/unit/make_hello.h"

enum { STREAM_MAX = 4096, QUEUE_MAX = 32, OPERATIONS_MAX = 200, BUFFER = 8192 };

struct server {
	bool alive, established;
	bool answered, retried;		/* its first message is out; it was a retry */
	uint32_t irs, iss, next, sent;	/* client's ISN, own ISN, next expected, next to send */
	uint8_t stream[STREAM_MAX];
	size_t n;
};

struct answer {
	uint8_t flags;
	uint32_t seq, ack;
	uint8_t data[64];
	size_t n;
};

struct world {
	struct rd in;
	struct flow flow;
	struct flow_env env;
	struct server server;
	struct answer queue[QUEUE_MAX];
	size_t head, count;
	uint32_t isn, ticks;		/* of the attacker; the clock of the server's ISNs */
	bool over;
};

static uint8_t buffer[BUFFER], scratch[FLOW_RECORD_MAX];
static uint8_t good[128], evil[128], hello[128], retry[128];
static struct wr good_w, evil_w, hello_w, retry_w;

static void expect(bool ok)
{
	if (!ok)
		abort();
}

static uint8_t octet(struct world *w)
{
	uint8_t c = 0;

	return rd_left(&w->in) && rd_u8(&w->in, &c) ? c : 0;
}

/* ---- the server ---- */

static void answer_put(struct world *w, uint8_t flags, uint32_t seq, struct rd data)
{
	struct answer *a = &w->queue[(w->head + w->count) % QUEUE_MAX];

	if (w->count == QUEUE_MAX)
		return;				/* lost */
	w->count++;
	*a = (struct answer){ .flags = flags, .seq = seq, .n = rd_left(&data) };
	if (flags & TCP_ACK)
		a->ack = w->server.next;
	if (!rd_copy(&data, a->data, a->n))
		abort();
}

static void server_syn(struct world *w, const struct segment *seg)
{
	struct server *s = &w->server;

	if (s->alive && s->established) {
		answer_put(w, TCP_ACK, s->sent, rd_of(NULL, 0));
		return;
	}
	if (s->alive && seg->seq != s->irs) {
		answer_put(w, TCP_ACK, s->sent, rd_of(NULL, 0));
		return;
	}
	if (!s->alive) {
		*s = (struct server){ .alive = true, .irs = seg->seq, .next = seg->seq + 1 };
		s->iss = 0x7fff0000u + ++w->ticks * 16000;	/* RFC 6528: never the same twice */
		s->sent = s->iss + 1;
	}
	answer_put(w, TCP_SYN | TCP_ACK, s->iss, rd_of(NULL, 0));
}

/* Bytes from the next expected one on; what lies before was read already. */
static void server_read(struct server *s, const struct segment *seg)
{
	struct rd data = seg->data;
	int32_t known = (int32_t)(s->next - seg->seq);

	if (known < 0 || (size_t)known > rd_left(&data) || !rd_skip(&data, (size_t)known))
		return;
	if (rd_left(&data) > STREAM_MAX - s->n)
		return;
	s->next += (uint32_t)rd_left(&data);
	if (rd_left(&data))
		memcpy(s->stream + s->n, data.p, rd_left(&data));
	s->n += rd_left(&data);
}

static void server_segment(struct world *w, const struct segment *seg)
{
	struct server *s = &w->server;

	if (seg->flags == TCP_SYN) {
		server_syn(w, seg);
		return;
	}
	if (!s->alive || (seg->flags & TCP_SYN))
		return;
	if (seg->flags & TCP_RST) {
		s->alive = seg->seq != s->next;		/* RFC 5961 */
		return;
	}
	if (!(seg->flags & TCP_ACK) || (int32_t)(seg->ack - s->sent) > 0 || (int32_t)(seg->ack - s->iss) < 1)
		return;
	s->established = true;
	server_read(s, seg);
	answer_put(w, TCP_ACK, s->sent, rd_of(NULL, 0));
}

/* ---- the invariant ---- */

static bool next_hello_good(struct tls_stream *tls, struct rd *in, unsigned may)
{
	const uint8_t *start = in->p;
	struct wr joined = wr_of(scratch, sizeof(scratch));
	struct hello h;
	struct rd body;

	if (tls_feed(tls, in, may) != PARSE_OK || tls->msg[0] != TLS_CLIENT_HELLO)
		return false;
	if (tls_join(rd_of(start, (size_t)(in->p - start)), &joined, &body) != PARSE_OK)
		return false;
	tls_next_message(tls);
	return hello_parse(body, &h) == PARSE_OK && hello_check(&h, GOOD_NAME) == REASON_NONE;
}

static void check_decided(const struct world *w)
{
	const struct server *s = &w->server;
	struct rd in = rd_of(s->stream, s->n);
	struct tls_stream tls = { 0 };

	if (!s->alive)
		return;
	expect(next_hello_good(&tls, &in, TLS_MAY_HANDSHAKE));
	if (s->retried)
		expect(next_hello_good(&tls, &in, 15));
}

/* ---- operations ---- */

static void step(struct world *w, enum flow_side from, const struct segment *seg, bool lost)
{
	struct flow_note note;
	enum flow_state was = (enum flow_state)w->flow.state;
	enum verdict v = flow_step(&w->flow, from, seg, &w->env, &note);

	expect(w->flow.n <= w->flow.cap && w->flow.fed <= w->flow.n);
	expect(was != FLOW_REFUSED || v != VERDICT_DECIDED);
	expect((v == VERDICT_DECIDED) == (w->flow.state == FLOW_DECIDED && v != VERDICT_DENY &&
					  v != VERDICT_PASS));
	w->env.now_ms++;
	if (v == VERDICT_DECIDED) {
		check_decided(w);
		w->over = true;
	}
	if (from == FLOW_CLIENT && v == VERDICT_PASS && !lost)
		server_segment(w, seg);
}

static void op_syn(struct world *w)
{
	struct segment seg = { .flags = TCP_SYN };

	w->isn = 0xffffff00u + octet(w) * 8u;
	seg.seq = w->isn;
	step(w, FLOW_CLIENT, &seg, octet(w) & 1);
}

/* Data at an offset: of the good hello, the evil one, or the input itself. */
static void op_data(struct world *w)
{
	uint8_t kind = octet(w), at = octet(w), from = octet(w), length = octet(w), how = octet(w);
	struct rd source = kind % 3 == 0 ? wr_rd(&good_w) : kind % 3 == 1 ? wr_rd(&evil_w) : w->in;
	struct segment seg = { .flags = TCP_ACK, .seq = w->isn + 1 + at };
	size_t skip = from < rd_left(&source) ? from : rd_left(&source);

	if (!rd_skip(&source, skip))
		abort();
	if (!rd_take(&source, length < rd_left(&source) ? length : rd_left(&source), &seg.data))
		abort();
	if (kind % 3 == 2 && !rd_skip(&w->in, seg.data.n < w->in.n ? seg.data.n : w->in.n))
		abort();
	if (how & 2)
		seg.flags |= TCP_FIN;
	if (how & 4)
		seg.seq = w->server.next + at;		/* where the server is, whatever we think */
	seg.ack = how & 8 ? w->flow.server_isn + 1 : w->server.sent;
	step(w, FLOW_CLIENT, &seg, how & 1);
}

static void op_reset(struct world *w)
{
	uint8_t at = octet(w), how = octet(w);
	struct segment seg = { .flags = TCP_RST, .seq = how & 2 ? w->server.next : w->isn + 1 + at };

	step(w, FLOW_CLIENT, &seg, how & 1);
}

/* One of the server's answers arrives, or is lost on the way. */
static void op_deliver(struct world *w)
{
	struct answer *a = &w->queue[w->head];
	struct segment seg = { a->seq, a->ack, a->flags, rd_of(a->data, a->n) };

	if (!w->count)
		return;
	w->head = (w->head + 1) % QUEUE_MAX;
	w->count--;
	if (octet(w) & 1)
		return;
	step(w, FLOW_SERVER, &seg, false);
}

/* The server speaks: its hello, a retry, something else; only a server that has a connection does. */
static void op_speak(struct world *w)
{
	struct server *s = &w->server;
	uint8_t what = octet(w) % 3;
	struct rd data = what == 0 ? wr_rd(&hello_w) : what == 1 ? wr_rd(&retry_w) : rd_str("banner");

	if (!s->alive || !s->established)
		return;
	s->retried |= what == 1 && !s->answered;
	s->answered = true;
	answer_put(w, TCP_ACK, s->sent, data);
	s->sent += (uint32_t)rd_left(&data);
}

/* So long that nothing is on its way any more. */
static void op_wait(struct world *w)
{
	w->count = 0;
	w->env.now_ms += FLOW_QUIET_MS;
}

static void (*const operations[])(struct world *w) = {
	op_syn, op_data, op_data, op_reset, op_deliver, op_deliver, op_speak, op_wait,
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static struct world w;

	if (!good_w.p) {
		good_w = wr_of(good, sizeof(good));
		evil_w = wr_of(evil, sizeof(evil));
		hello_w = wr_of(hello, sizeof(hello));
		retry_w = wr_of(retry, sizeof(retry));
		make_client_hello(&good_w, GOOD_SNI, sizeof(GOOD_SNI) - 1, 16384);
		make_client_hello(&evil_w, EVIL_SNI, sizeof(EVIL_SNI) - 1, 16384);
		make_server_hello(&hello_w, false, 16384);
		make_server_hello(&retry_w, true, 16384);
	}
	w = (struct world){ .in = rd_of(data, n), .flow = { .buf = buffer, .cap = BUFFER },
			    .env = { .now_ms = 1000000, .mark = 0x1002a, .name = GOOD_NAME, .scratch = scratch } };
	for (int i = 0; i < OPERATIONS_MAX && rd_left(&w.in) && !w.over; i++)
		operations[octet(&w) % ARRAY_SIZE(operations)](&w);
	return 0;
}
