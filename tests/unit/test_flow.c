/*
 * test_flow.c - one flow, segment by segment: what an attacker sends and what must happen (threats B7, B8,
 * B10, B12)
 *
 * Sequence numbers in the tables are relative to the sender's ISN and acknowledgements to the other's; both
 * ISNs are chosen so that the numbers wrap.
 */
#include "tests/unit/check.h"

#include "netd/inspect/flow.h"
#include "tests/unit/make_hello.h"

enum { CLIENT_ISN = -30, SERVER_ISN = 0x7ffffff0, MARK = 0x1002a };
enum { STEPS = 14, BUFFER = FLOW_RECORD_MAX };

/* What a segment carries. Lengths of those that tables count with. */
enum bytes { NONE, GOOD, EVIL, GOOD_LONG, EVIL_LONG, CCS, EARLY, DOUBLE, HTTP, ANSWER, RETRY, ALERT, BANNER, BYTES_COUNT };
enum { G = 73, A = 47, C6 = 6, E8 = 8 };
static uint8_t store[BYTES_COUNT][256];
static struct wr source[BYTES_COUNT];

struct step {
	enum flow_side from;
	uint8_t flags;
	int32_t seq, ack;
	enum bytes bytes;
	size_t at, n;
	enum verdict want;
	unsigned wait_ms;	/* before it */
};
#define C(flags, seq, ack, bytes, at, n, want) { FLOW_CLIENT, flags, seq, ack, bytes, at, n, VERDICT_##want, 0 }
#define S(flags, seq, ack, bytes, at, n, want) { FLOW_SERVER, flags, seq, ack, bytes, at, n, VERDICT_##want, 0 }
#define LATER(ms, from, flags, seq, ack, bytes, at, n, want) \
	{ FLOW_##from, flags, seq, ack, bytes, at, n, VERDICT_##want, ms }
#define SYN	C(TCP_SYN, 0, 0, NONE, 0, 0, PASS)
#define SYN_ACK	S(TCP_SYN | TCP_ACK, 0, 1, NONE, 0, 0, PASS)
#define OPENED	SYN, SYN_ACK, C(TCP_ACK, 1, 1, NONE, 0, 0, PASS)
#define HELLO	C(TCP_ACK, 1, 1, GOOD, 0, G, PASS)
#define EVIL_HELLO C(TCP_ACK, 1, 1, EVIL, 0, G, KILL)
#define ACKED	S(TCP_ACK, 1, 1 + G, NONE, 0, 0, PASS)
#define ANSWERED S(TCP_ACK, 1, 1 + G, ANSWER, 0, A, DECIDED)
#define RETRIED	S(TCP_ACK, 1, 1 + G, RETRY, 0, A, PASS)

static const struct {
	const char *what;
	enum flow_state state;		/* at the end */
	enum reason told;		/* REASON_COUNT: nothing was */
	struct step steps[STEPS];
} scenes[] = {
	{ "as it should be", FLOW_DECIDED, REASON_NONE,
	  { OPENED, HELLO, ACKED, ANSWERED, C(TCP_ACK, 1 + G, 1 + A, HTTP, 0, 9, DECIDED) } },
	{ "acknowledged with the answer only", FLOW_DECIDED, REASON_NONE, { OPENED, HELLO, ANSWERED } },
	{ "the answer comes before the acknowledgement", FLOW_DECIDED, REASON_NONE,
	  { OPENED, HELLO, S(TCP_ACK, 1, G, ANSWER, 0, A, PASS), S(TCP_ACK, 1 + A, 1 + G, NONE, 0, 0, DECIDED) } },
	{ "the answer in pieces, one of them again", FLOW_DECIDED, REASON_NONE,
	  { OPENED, HELLO, S(TCP_ACK, 1, 1 + G, ANSWER, 0, 20, PASS), S(TCP_ACK, 1, 1 + G, ANSWER, 0, 30, PASS),
	    S(TCP_ACK, 31, 1 + G, ANSWER, 30, A - 30, DECIDED) } },
	{ "a piece of the answer is lost", FLOW_DECIDED, REASON_NONE,
	  { OPENED, HELLO, S(TCP_ACK, 21, 1 + G, ANSWER, 20, A - 20, DENY), ANSWERED } },
	{ "acknowledged, not answered", FLOW_OPEN, REASON_COUNT, { OPENED, HELLO, ACKED, ACKED } },
	{ "a hello in pieces that overlap", FLOW_DECIDED, REASON_NONE,
	  { OPENED, C(TCP_ACK, 1, 1, GOOD, 0, 20, PASS), C(TCP_ACK, 11, 1, GOOD, 10, G - 10, PASS), ANSWERED } },
	{ "a piece too early is dropped and comes again", FLOW_DECIDED, REASON_NONE,
	  { OPENED, C(TCP_ACK, 21, 1, GOOD, 20, G - 20, DENY), C(TCP_ACK, 1, 1, GOOD, 0, 20, PASS),
	    C(TCP_ACK, 21, 1, GOOD, 20, G - 20, PASS), ANSWERED } },
	{ "half a hello, a pause, the rest", FLOW_DECIDED, REASON_NONE,
	  { OPENED, C(TCP_ACK, 1, 1, GOOD, 0, 20, PASS),
	    LATER(5000, CLIENT, TCP_ACK, 21, 1, GOOD, 20, G - 20, PASS), ANSWERED } },
	{ "early data behind the hello", FLOW_DECIDED, REASON_NONE,
	  { OPENED, HELLO, C(TCP_ACK, 1 + G, 1, CCS, 0, C6, PASS), C(TCP_ACK, 1 + G + C6, 1, EARLY, 0, E8, PASS),
	    ANSWERED } },
	{ "keepalives and window updates", FLOW_DECIDED, REASON_NONE,
	  { OPENED, C(TCP_ACK, 0, 1, NONE, 0, 0, PASS), HELLO, C(TCP_ACK, G, 1, NONE, 0, 0, PASS),
	    C(TCP_ACK, G, 1, GOOD, G - 1, 1, PASS), S(TCP_ACK, 0, 1 + G, NONE, 0, 0, PASS), ANSWERED } },
	{ "SYN and SYN-ACK again", FLOW_DECIDED, REASON_NONE,
	  { SYN, SYN, SYN_ACK, SYN_ACK, C(TCP_ACK, 1, 1, NONE, 0, 0, PASS), HELLO, ANSWERED } },

	{ "the wrong name", FLOW_REFUSED, REASON_SNI_MISMATCH,
	  { OPENED, EVIL_HELLO, EVIL_HELLO, C(TCP_ACK, 1, 1, GOOD, 0, G, KILL), C(TCP_ACK, 1, 1, NONE, 0, 0, KILL),
	    C(TCP_RST, 1, 0, NONE, 0, 0, PASS), S(TCP_ACK, 1, 1, ANSWER, 0, A, DENY),
	    S(TCP_ACK | TCP_FIN, 1, 1, NONE, 0, 0, PASS), S(TCP_RST, 1, 0, NONE, 0, 0, PASS) } },
	{ "the wrong name in two pieces", FLOW_REFUSED, REASON_SNI_MISMATCH,
	  { OPENED, C(TCP_ACK, 1, 1, EVIL, 0, 70, PASS), C(TCP_ACK, 71, 1, EVIL, 70, G - 70, KILL) } },
	{ "the wrong name, without the hello's end", FLOW_REFUSED, REASON_SNI_MISMATCH,
	  { OPENED, C(TCP_ACK, 1, 1, EVIL_LONG, 0, G - 1, PASS), C(TCP_ACK, G, 1, EVIL_LONG, G - 1, 1, KILL) } },
	{ "the right name, then the rest in pieces", FLOW_DECIDED, REASON_NONE,
	  { OPENED, C(TCP_ACK, 1, 1, GOOD_LONG, 0, G, PASS), C(TCP_ACK, 1 + G, 1, GOOD_LONG, G, 1, PASS),
	    S(TCP_ACK, 1, 2 + G, NONE, 0, 0, PASS), C(TCP_ACK, 2 + G, 1, GOOD_LONG, G + 1, 3, PASS),
	    S(TCP_ACK, 1, 5 + G, ANSWER, 0, A, DECIDED) } },
	{ "another protocol", FLOW_REFUSED, REASON_NOT_TLS, { OPENED, C(TCP_ACK, 1, 1, HTTP, 0, 1, KILL) } },
	{ "two hellos in one record", FLOW_REFUSED, REASON_HELLO_MALFORMED,
	  { OPENED, C(TCP_ACK, 1, 1, DOUBLE, 0, 141, KILL) } },
	{ "another hello behind a good one", FLOW_REFUSED, REASON_HELLO_MALFORMED,
	  { OPENED, HELLO, C(TCP_ACK, 1 + G, 1, EVIL, 0, 1, KILL), S(TCP_ACK, 1, 1 + G, RETRY, 0, A, DENY) } },
	{ "early data first", FLOW_REFUSED, REASON_NOT_TLS, { OPENED, C(TCP_ACK, 1, 1, EARLY, 0, E8, KILL) } },

	{ "overlap with other bytes", FLOW_REFUSED, REASON_STREAM_INCONSISTENT,
	  { OPENED, C(TCP_ACK, 1, 1, GOOD, 0, 65, PASS), C(TCP_ACK, 61, 1, EVIL, 60, G - 60, KILL) } },
	{ "a fake hello that the server drops, then the true one", FLOW_REFUSED, REASON_STREAM_INCONSISTENT,
	  { OPENED, HELLO, EVIL_HELLO, S(TCP_ACK, 1, 1 + G, ANSWER, 0, A, DENY) } },
	{ "other bytes after the acknowledgement", FLOW_REFUSED, REASON_STREAM_INCONSISTENT,
	  { OPENED, HELLO, ACKED, EVIL_HELLO } },
	{ "the server knows bytes that never passed", FLOW_REFUSED, REASON_STREAM_INCONSISTENT,
	  { OPENED, HELLO, S(TCP_ACK, 1, 2 + G, ANSWER, 0, A, DENY) } },
	{ "an acknowledgement of another connection, ahead", FLOW_OPEN, REASON_COUNT,
	  { OPENED, HELLO, S(TCP_ACK, 5000, 1 + G, NONE, 0, 0, PASS), S(TCP_ACK, 5000, 1 + G, ANSWER, 0, A, DENY) } },
	{ "an acknowledgement of another connection, behind", FLOW_OPEN, REASON_COUNT,
	  { OPENED, HELLO, S(TCP_ACK, -1, 1 + G, NONE, 0, 0, DENY), S(TCP_ACK, -50, 1 + G, ANSWER, 0, A, DENY) } },
	{ "the client acknowledges another connection", FLOW_OPEN, REASON_COUNT,
	  { OPENED, C(TCP_ACK, 1, 2, GOOD, 0, G, DENY), C(TCP_ACK, 1, 0, GOOD, 0, G, DENY) } },
	{ "no ACK flag", FLOW_OPEN, REASON_COUNT,
	  { OPENED, C(0, 1, 0, GOOD, 0, G, DENY), C(TCP_FIN, 1, 0, NONE, 0, 0, DENY), S(0, 1, 0, ANSWER, 0, A, DENY) } },
	{ "urgent data", FLOW_OPEN, REASON_COUNT, { OPENED, C(TCP_ACK | TCP_URG, 1, 1, GOOD, 0, G, DENY) } },
	{ "a byte in the SYN's place", FLOW_OPEN, REASON_COUNT, { OPENED, C(TCP_ACK, 0, 1, GOOD, 0, G, DENY) } },

	{ "a reset that only the inspector sees", FLOW_REFUSED, REASON_SNI_MISMATCH,
	  { OPENED, C(TCP_ACK, 1, 1, EVIL, 0, 20, PASS), C(TCP_RST, 500, 0, NONE, 0, 0, PASS),
	    C(TCP_ACK, 21, 1, EVIL, 20, G - 20, KILL) } },
	{ "a reset with payload", FLOW_OPEN, REASON_COUNT,
	  { OPENED, C(TCP_RST, 1, 0, GOOD, 0, 9, DENY), S(TCP_RST, 1, 0, BANNER, 0, 5, DENY) } },
	{ "a FIN, and its likes", FLOW_OPEN, REASON_COUNT,
	  { OPENED, C(TCP_ACK | TCP_FIN, 1, 1, NONE, 0, 0, PASS), C(TCP_ACK | TCP_FIN, 1, 1, NONE, 0, 0, PASS),
	    S(TCP_ACK, 1, 2, NONE, 0, 0, PASS), C(TCP_ACK, 2, 1, NONE, 0, 0, PASS),
	    C(TCP_ACK, 1, 1, GOOD, 0, G, DENY), C(TCP_ACK, 2, 1, GOOD, 0, G, DENY),
	    C(TCP_ACK | TCP_FIN, 2, 1, NONE, 0, 0, DENY) } },
	{ "a FIN before recorded bytes", FLOW_DECIDED, REASON_NONE,
	  { OPENED, C(TCP_ACK, 1, 1, GOOD, 0, 20, PASS), C(TCP_ACK | TCP_FIN, 11, 1, NONE, 0, 0, DENY),
	    C(TCP_ACK | TCP_FIN, 31, 1, NONE, 0, 0, DENY),
	    C(TCP_ACK | TCP_FIN, 21, 1, GOOD, 20, G - 20, PASS), S(TCP_ACK, 1, 2 + G, ANSWER, 0, A, DECIDED) } },
	{ "a server that ends first", FLOW_OPEN, REASON_COUNT,
	  { OPENED, S(TCP_ACK | TCP_FIN, 1, 1, NONE, 0, 0, PASS), S(TCP_ACK | TCP_FIN, 1, 1, NONE, 0, 0, PASS),
	    C(TCP_ACK, 1, 2, NONE, 0, 0, PASS), C(TCP_ACK, 1, 3, NONE, 0, 0, DENY) } },

	{ "SYN with payload", FLOW_NEW, REASON_COUNT, { C(TCP_SYN, 0, 0, GOOD, 0, G, DENY) } },
	{ "SYN and FIN, SYN and URG", FLOW_NEW, REASON_COUNT,
	  { C(TCP_SYN | TCP_FIN, 0, 0, NONE, 0, 0, DENY), C(TCP_SYN | TCP_URG, 0, 0, NONE, 0, 0, DENY),
	    C(TCP_SYN | TCP_ACK, 0, 0, NONE, 0, 0, DENY), C(TCP_SYN | TCP_RST, 0, 0, NONE, 0, 0, DENY) } },
	{ "before the SYN-ACK", FLOW_SYN_SENT, REASON_COUNT,
	  { SYN, C(TCP_ACK, 1, 1, GOOD, 0, G, DENY), S(TCP_ACK, 1, 1, NONE, 0, 0, PASS),
	    S(TCP_ACK, 1, 1, ANSWER, 0, A, DENY), S(TCP_SYN | TCP_ACK, 0, 2, NONE, 0, 0, DENY),
	    S(TCP_SYN | TCP_ACK, 0, 0, NONE, 0, 0, DENY), S(TCP_SYN | TCP_ACK, 0, 1, BANNER, 0, 4, DENY),
	    S(TCP_SYN, 0, 0, NONE, 0, 0, DENY), S(TCP_RST | TCP_ACK, 0, 1, NONE, 0, 0, PASS) } },
	{ "another SYN before the SYN-ACK", FLOW_OPEN, REASON_COUNT,
	  { SYN, C(TCP_SYN, 1000, 0, NONE, 0, 0, DENY), C(TCP_SYN, -1000, 0, NONE, 0, 0, DENY), SYN_ACK } },
	{ "another SYN when no answer can be on its way", FLOW_SYN_SENT, REASON_COUNT,
	  { SYN, LATER(FLOW_QUIET_MS, CLIENT, TCP_SYN, -1000, 0, NONE, 0, 0, PASS),
	    S(TCP_SYN | TCP_ACK, 0, 1, NONE, 0, 0, DENY) } },
	{ "the same SYN in a live flow, whose SYN-ACK may come twice", FLOW_REFUSED, REASON_SNI_MISMATCH,
	  { OPENED, C(TCP_ACK, 1, 1, EVIL, 0, 20, PASS), C(TCP_RST, 21, 0, NONE, 0, 0, PASS),
	    C(TCP_SYN, 0, 0, NONE, 0, 0, DENY), SYN_ACK, C(TCP_ACK, 21, 1, EVIL, 20, G - 20, KILL) } },
	{ "a SYN that makes a good hello end at an old acknowledgement", FLOW_OPEN, REASON_COUNT,
	  { OPENED, C(TCP_ACK, 1, 1, GOOD, 0, 60, PASS), C(TCP_SYN, -13, 0, NONE, 0, 0, DENY),
	    C(TCP_ACK, -12, 1, GOOD, 0, G, DENY), S(TCP_ACK, 1, 61, ANSWER, 0, A, PASS) } },
	{ "a SYN ahead opens a new record, for its own SYN-ACK only", FLOW_SYN_SENT, REASON_COUNT,
	  { OPENED, HELLO, C(TCP_SYN, 1000, 0, NONE, 0, 0, PASS), S(TCP_SYN | TCP_ACK, 0, 1, NONE, 0, 0, DENY),
	    C(TCP_ACK, 1001, 1, GOOD, 0, G, DENY), S(TCP_ACK, 1, 1 + G, ANSWER, 0, A, DENY),
	    C(TCP_SYN, 0, 0, NONE, 0, 0, DENY) } },
	{ "a port used again after a decided flow", FLOW_OPEN, REASON_NONE,
	  { OPENED, HELLO, ANSWERED, C(TCP_SYN, 1000, 0, NONE, 0, 0, PASS),
	    S(TCP_SYN | TCP_ACK, 7000, 1001, NONE, 0, 0, PASS), C(TCP_ACK, 1001, 7001, NONE, 0, 0, PASS),
	    C(TCP_ACK, 1001, 7001, GOOD, 0, G, PASS), C(TCP_ACK, 1 + G, 1, HTTP, 0, 9, DENY) } },

	{ "a second hello with another name", FLOW_REFUSED, REASON_SNI_MISMATCH,
	  { OPENED, HELLO, RETRIED, C(TCP_ACK, 1 + G, 1 + A, CCS, 0, C6, PASS),
	    C(TCP_ACK, 1 + G + C6, 1 + A, EVIL, 0, G, KILL) } },
	{ "a second hello, decided by the second answer", FLOW_DECIDED, REASON_NONE,
	  { OPENED, HELLO, C(TCP_ACK, 1 + G, 1, EARLY, 0, E8, PASS), RETRIED,
	    C(TCP_ACK, 1 + G + E8, 1 + A, CCS, 0, C6, PASS),
	    C(TCP_ACK, 1 + G + E8 + C6, 1 + A, GOOD, 0, G, PASS),
	    S(TCP_ACK, 1 + A, 1 + G + E8 + C6, NONE, 0, 0, PASS),
	    S(TCP_ACK, 1 + A, 1 + G + E8 + C6 + G, NONE, 0, 0, PASS),
	    S(TCP_ACK, 1 + A, 1 + G + E8 + C6 + G, ANSWER, 0, A, DECIDED) } },
	{ "an answer to a second hello that is not whole", FLOW_OPEN, REASON_COUNT,
	  { OPENED, HELLO, RETRIED, C(TCP_ACK, 1 + G, 1 + A, GOOD, 0, 70, PASS),
	    S(TCP_ACK, 1 + A, 1 + G + 70, ANSWER, 0, A, PASS), C(TCP_ACK, 71 + G, 1 + A + A, GOOD, 70, 3, PASS),
	    S(TCP_ACK, 1 + A + A, 1 + G + G, NONE, 0, 0, PASS) } },
	{ "a retry twice", FLOW_OPEN, REASON_COUNT,
	  { OPENED, HELLO, RETRIED, C(TCP_ACK, 1 + G, 1 + A, GOOD, 0, G, PASS),
	    S(TCP_ACK, 1 + A, 1 + G + G, RETRY, 0, A, PASS), S(TCP_ACK, 1 + A + A, 1 + G + G, ANSWER, 0, A, PASS) } },
	{ "an alert instead of an answer", FLOW_OPEN, REASON_COUNT,
	  { OPENED, HELLO, S(TCP_ACK, 1, 1 + G, ALERT, 0, 7, PASS), S(TCP_ACK, 8, 1 + G, NONE, 0, 0, PASS) } },
	{ "a server that speaks first", FLOW_OPEN, REASON_COUNT,
	  { OPENED, S(TCP_ACK, 1, 1, BANNER, 0, 5, PASS), C(TCP_ACK, 1, 6, GOOD, 0, G, PASS),
	    S(TCP_ACK, 6, 1 + G, ANSWER, 0, A, PASS) } },
	{ "an answer before the hello", FLOW_OPEN, REASON_COUNT,
	  { OPENED, S(TCP_ACK, 1, 1, ANSWER, 0, A, PASS), C(TCP_ACK, 1, 1 + A, GOOD, 0, G, PASS),
	    S(TCP_ACK, 1 + A, 1 + G, NONE, 0, 0, PASS) } },
	{ "begun before we were here", FLOW_REFUSED, REASON_STATE_INVALID,
	  { C(TCP_ACK, 100, 100, HTTP, 0, 9, KILL), C(TCP_ACK, 100, 100, HTTP, 0, 9, KILL) } },
	{ "a server's packet out of nothing", FLOW_NEW, REASON_COUNT,
	  { S(TCP_ACK, 1, 1, ANSWER, 0, A, DENY), S(TCP_SYN | TCP_ACK, 0, 1, NONE, 0, 0, DENY) } },
};

static void fill(void)
{
	static const char plain[BYTES_COUNT][16] = {
		[CCS] = "\x14\3\3\0\1\1", [HTTP] = "GET / HTTP/1.1", [ALERT] = "\x15\3\3\0\2\2\x28", [BANNER] = "SSH-2" };
	uint8_t body[128], joined[256];
	struct wr b = wr_of(body, sizeof(body)), j = wr_of(joined, sizeof(joined));

	for (int i = 0; i < BYTES_COUNT; i++)
		source[i] = wr_of(store[i], sizeof(store[i]));
	make_client_hello(&source[GOOD], W(GOOD_SNI), 16384);
	make_client_hello(&source[EVIL], W(EVIL_SNI), 16384);
	make_client_hello(&source[GOOD_LONG], W(GOOD_SNI "\x1a\x1a" "\0\0"), 16384);
	make_client_hello(&source[EVIL_LONG], W(EVIL_SNI "\x1a\x1a" "\0\0"), 16384);
	wr_put(&source[CCS], plain[CCS], C6);
	wr_put(&source[EARLY], "\x17\3\3\0\3abc", E8);
	wr_put(&source[HTTP], plain[HTTP], 14);
	wr_put(&source[ALERT], plain[ALERT], 7);
	wr_put(&source[BANNER], plain[BANNER], 5);
	make_server_hello(&source[ANSWER], false, 16384);
	make_server_hello(&source[RETRY], true, 16384);
	make_body(&b, W(GOOD_SNI));
	make_message(&j, 1, wr_rd(&b));
	make_message(&j, 1, wr_rd(&b));
	make_records(&source[DOUBLE], 22, wr_rd(&j), 16384);
	CHECK_EQ("length of a hello", source[GOOD].n, G);
	CHECK_EQ("length of an answer", source[ANSWER].n, A);
	CHECK_EQ("length of two hellos", source[DOUBLE].n, 141);
}

/* A flow with a buffer that ends exactly where it may. */
struct stage {
	struct flow flow;
	uint8_t *buf, *scratch;
	struct flow_env env;
	struct flow_note told;		/* the last note with something to tell */
	unsigned notes;
};

static void stage_open(struct stage *st)
{
	*st = (struct stage){ 0 };
	st->buf = malloc(BUFFER);
	st->scratch = malloc(FLOW_RECORD_MAX);
	if (!st->buf || !st->scratch)
		abort();
	st->flow = (struct flow){ .buf = st->buf, .cap = BUFFER };
	st->env = (struct flow_env){ .now_ms = 1000000, .mark = MARK, .name = GOOD_NAME, .scratch = st->scratch };
	st->told.reason = REASON_COUNT;
}

static void stage_close(struct stage *st)
{
	free(st->buf);
	free(st->scratch);
}

static enum verdict stage_step(struct stage *st, const struct step *s)
{
	bool client = s->from == FLOW_CLIENT;
	struct segment seg = { .flags = s->flags };
	AUTO(mem) uint8_t *data = check_exact(store[s->bytes] + s->at, s->n);
	struct flow_note note;
	enum verdict v;

	seg.seq = (uint32_t)(client ? CLIENT_ISN : SERVER_ISN) + (uint32_t)s->seq;
	if (s->flags & TCP_ACK)
		seg.ack = (uint32_t)(client ? SERVER_ISN : CLIENT_ISN) + (uint32_t)s->ack;
	seg.data = rd_of(data, s->n);
	st->env.now_ms += s->wait_ms + 1;
	v = flow_step(&st->flow, s->from, &seg, &st->env, &note);
	if (note.tell) {
		st->told = note;
		st->notes++;
	}
	return v;
}

TEST(scenes)
{
	fill();
	for (size_t i = 0; i < ARRAY_SIZE(scenes); i++) {
		struct stage st;

		stage_open(&st);
		for (size_t k = 0; k < STEPS; k++) {
			const struct step *s = &scenes[i].steps[k];
			bool none = !s->flags && !s->n && !s->seq;
			enum verdict v = none ? s->want : stage_step(&st, s);

			if (v != s->want)
				CHECK_FAIL("%s: step %zu: %d, want %d", scenes[i].what, k + 1, v, s->want);
		}
		CHECK_EQ(scenes[i].what, st.flow.state, scenes[i].state);
		CHECK_EQ(scenes[i].what, st.told.reason, scenes[i].told);
		CHECK_EQ(scenes[i].what, st.notes, scenes[i].told != REASON_COUNT);
		stage_close(&st);
	}
}

static void play(struct stage *st, const char *what, const struct step *steps, size_t n)
{
	for (size_t i = 0; i < n; i++)
		CHECK_EQ(what, stage_step(st, &steps[i]), steps[i].want);
}
static const struct step opened[] = { OPENED };

/* One-byte segments; the last byte of an evil hello is what never leaves. */
TEST(one_byte_each)
{
	fill();
	for (int evil = 0; evil < 2; evil++) {
		struct stage st;

		stage_open(&st);
		play(&st, "opened", opened, ARRAY_SIZE(opened));
		for (int i = 0; i < G; i++) {
			const struct step s = C(TCP_ACK, 1 + i, 1, NONE, (size_t)i, 1, PASS);
			struct step byte = s;

			byte.bytes = evil ? EVIL : GOOD;
			CHECK_EQ("byte", stage_step(&st, &byte), evil && i == G - 1 ? VERDICT_KILL : VERDICT_PASS);
		}
		CHECK_EQ("refused", st.flow.state, evil ? FLOW_REFUSED : FLOW_OPEN);
		stage_close(&st);
	}
}

TEST(no_name)
{
	const struct step syn = C(TCP_SYN, 0, 0, NONE, 0, 0, KILL), hello = C(TCP_ACK, 1, 1, GOOD, 0, G, KILL);
	struct stage st;

	fill();
	stage_open(&st);
	st.env.name = NULL;
	play(&st, "SYN", &syn, 1);
	CHECK_EQ("SYN", st.told.reason, REASON_ADDRESS_NOT_GRANTED);
	stage_close(&st);

	stage_open(&st);
	play(&st, "opened", opened, ARRAY_SIZE(opened));
	st.env.name = NULL;			/* revoked meanwhile */
	play(&st, "hello", &hello, 1);
	CHECK_EQ("hello", st.told.reason, REASON_ADDRESS_NOT_GRANTED);
	stage_close(&st);
}

TEST(new_owner_of_the_address)
{
	const struct step ack = C(TCP_ACK, 1, 1, NONE, 0, 0, KILL);
	struct stage st;

	fill();
	stage_open(&st);
	play(&st, "opened", opened, ARRAY_SIZE(opened));
	st.env.mark++;
	play(&st, "packet", &ack, 1);
	CHECK_EQ("packet", st.told.reason, REASON_STATE_INVALID);
	CHECK_EQ("told of the first", st.flow.mark, MARK);
	stage_close(&st);
}

TEST(deadline)
{
	const struct step half = C(TCP_ACK, 1, 1, GOOD, 0, 20, PASS), rest = C(TCP_ACK, 21, 1, GOOD, 20, G - 20, KILL);
	struct flow_note note;
	struct stage st;

	fill();
	stage_open(&st);
	play(&st, "opened", opened, ARRAY_SIZE(opened));
	flow_tick(&st.flow, st.env.now_ms + 100000, &note);
	CHECK("nothing sent: no deadline", !note.tell);
	play(&st, "half", &half, 1);
	flow_tick(&st.flow, st.env.now_ms + FLOW_HELLO_MS - 1, &note);
	CHECK("not yet", !note.tell);
	flow_tick(&st.flow, st.env.now_ms + FLOW_HELLO_MS, &note);
	CHECK("now", note.tell && note.reason == REASON_HELLO_TIMEOUT);
	flow_tick(&st.flow, st.env.now_ms + 2 * FLOW_HELLO_MS, &note);
	CHECK("once", !note.tell);
	play(&st, "rest", &rest, 1);
	stage_close(&st);
}

/* Too long for a hello, or for the buffer. */
TEST(limits)
{
	struct segment seg = { .seq = (uint32_t)CLIENT_ISN + 1, .ack = (uint32_t)SERVER_ISN + 1, .flags = TCP_ACK };
	AUTO(mem) uint8_t *long_hello = calloc(1, BUFFER);
	const struct step one = C(TCP_ACK, 1, 1, GOOD, 0, 1, DENY);
	struct flow_note note;
	struct stage st;

	fill();
	if (!long_hello)
		abort();
	memcpy(long_hello, "\x16\3\1\x40\0\1\0\x3f\xfc", 9);
	stage_open(&st);
	play(&st, "opened", opened, ARRAY_SIZE(opened));
	seg.data = rd_of(long_hello, FLOW_HELLO_MAX - 1);
	CHECK_EQ("within", flow_step(&st.flow, FLOW_CLIENT, &seg, &st.env, &note), VERDICT_PASS);
	seg.seq += FLOW_HELLO_MAX - 1;
	seg.data = rd_of(long_hello + 100, 1);
	CHECK_EQ("too long", flow_step(&st.flow, FLOW_CLIENT, &seg, &st.env, &note), VERDICT_KILL);
	CHECK_EQ("too long", note.reason, REASON_HELLO_MALFORMED);
	stage_close(&st);

	stage_open(&st);
	st.flow.cap = 0;
	play(&st, "opened", opened, ARRAY_SIZE(opened));
	play(&st, "no buffer", &one, 1);
	CHECK_EQ("still open", st.flow.state, FLOW_OPEN);
	stage_close(&st);
}
