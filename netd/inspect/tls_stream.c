/*
 * tls_stream.c - the record layer, as far as it is in the clear
 *
 * Theory of operation: a small state machine eats bytes in whatever pieces TCP brings them, one byte at
 * a time if need be, and stops where a handshake message ends. It stores only the record header and the
 * first bytes of the message, so its cost is linear in the bytes and its size is fixed. Once a message
 * has ended, the caller joins it from the bytes it has recorded itself (tls_join).
 * A handshake message may be spread over records of any size down to one byte; an empty handshake record
 * is forbidden (RFC 8446 s5.1, RFC 5246 s6.2.1) and refused, and so are empty records of other types: no
 * client sends one before the handshake is over. The record's minor version is ignored, as RFC 8446 says.
 * Invariants: allocates nothing; PARSE_BAD is final; a type outside of the caller's set is refused at
 * its first byte, before anything behind it can be forwarded.
 * Fuzzed by tests/fuzz/fuzz_tls_stream.c, against the same bytes in other pieces.
 */
#include "netd/inspect/tls_stream.h"

enum { TLS_VERSION_MAJOR = 3, MESSAGE_HEADER = 4 };

static unsigned may_bit(uint8_t type)
{
	switch (type) {
	case TLS_CCS: return TLS_MAY_CCS;
	case TLS_ALERT: return TLS_MAY_ALERT;
	case TLS_HANDSHAKE: return TLS_MAY_HANDSHAKE;
	case TLS_DATA: return TLS_MAY_DATA;
	}
	return 0;
}

static bool in_message(const struct tls_stream *s)
{
	return s->msg_n > 0;
}

/* The length field of the message, once its header is there. */
static uint32_t message_end(const struct tls_stream *s)
{
	struct rd r = rd_of(s->msg + 1, MESSAGE_HEADER - 1);
	uint32_t length;

	return rd_u24(&r, &length) ? MESSAGE_HEADER + length : 0;
}

static enum parse header_done(struct tls_stream *s)
{
	struct rd r = rd_of(s->head + 3, 2);

	s->seen = true;
	if (!rd_u16(&r, &s->left))
		return PARSE_BAD;
	if (s->left == 0 || s->left > TLS_RECORD_MAX)
		return PARSE_BAD;
	if (s->head[0] == TLS_CCS && s->left != 1)		/* RFC 8446 s5 */
		return PARSE_BAD;
	return PARSE_OK;
}

/* One more byte of a record header. Each is judged when it comes. */
static enum parse header_byte(struct tls_stream *s, struct rd *in, unsigned may)
{
	uint8_t c;

	if (!rd_u8(in, &c))
		return PARSE_BAD;
	if (s->head_n == 0 && !(may_bit(c) & may))
		return PARSE_BAD;
	if (s->head_n == 0 && c != TLS_HANDSHAKE && in_message(s))
		return PARSE_BAD;
	if (s->head_n == 1 && c != TLS_VERSION_MAJOR)
		return PARSE_BAD;
	s->head[s->head_n++] = c;
	return s->head_n == sizeof(s->head) ? header_done(s) : PARSE_MORE;
}

static bool take(struct tls_stream *s, struct rd *in, size_t n, struct rd *ret)
{
	if (n > s->left)
		n = s->left;
	if (n > rd_left(in))
		n = rd_left(in);
	if (!rd_take(in, n, ret))
		return false;
	s->left = (uint16_t)(s->left - n);
	if (!s->left)
		s->head_n = 0;
	return true;
}

/* Bytes of a handshake message: its header first, then up to its end. */
static enum parse message_bytes(struct tls_stream *s, struct rd *in)
{
	bool header = s->msg_n < MESSAGE_HEADER;
	uint32_t end = header ? MESSAGE_HEADER : message_end(s);
	struct rd got;

	if (end <= s->msg_n || !take(s, in, end - s->msg_n, &got))
		return PARSE_BAD;			/* the first: fed on without tls_next_message() */
	while (rd_left(&got) && s->msg_n < TLS_MESSAGE_HEAD)
		if (!rd_u8(&got, &s->msg[s->msg_n++]))
			return PARSE_BAD;
	s->msg_n += (uint32_t)rd_left(&got);
	if (s->msg_n < MESSAGE_HEADER)
		return PARSE_MORE;
	if (header && message_end(s) > TLS_MESSAGE_MAX)
		return PARSE_BAD;
	return s->msg_n == message_end(s) ? PARSE_OK : PARSE_MORE;
}

enum parse tls_feed(struct tls_stream *s, struct rd *in, unsigned may)
{
	struct rd skipped;

	while (rd_left(in)) {
		if (!s->left) {
			if (header_byte(s, in, may) == PARSE_BAD)
				return PARSE_BAD;
		} else if (s->head[0] != TLS_HANDSHAKE) {
			if (!take(s, in, s->left, &skipped))
				return PARSE_BAD;
		} else {
			enum parse p = message_bytes(s, in);

			if (p != PARSE_MORE)
				return p;
		}
	}
	return PARSE_MORE;
}

void tls_next_message(struct tls_stream *s)
{
	memset(s->msg, 0, sizeof(s->msg));
	s->msg_n = 0;
}

bool tls_at_record_end(const struct tls_stream *s)
{
	return s->left == 0 && s->head_n == 0;
}

enum parse tls_join(struct rd records, struct wr *to, struct rd *ret_body)
{
	uint16_t version, length;
	struct rd body;
	uint8_t type;

	while (rd_u8(&records, &type) && rd_u16(&records, &version) && rd_u16(&records, &length)) {
		if (!rd_take(&records, length < rd_left(&records) ? length : rd_left(&records), &body))
			return PARSE_BAD;
		if (type == TLS_HANDSHAKE && !wr_rd_all(to, body))
			return PARSE_BAD;
	}
	body = wr_rd(to);
	if (!rd_skip(&body, MESSAGE_HEADER))
		return PARSE_BAD;
	*ret_body = body;
	return PARSE_OK;
}

/* RFC 8446 s4.1.3: SHA-256 of "HelloRetryRequest", in the place of the random. */
static const uint8_t retry_random[32] = {
	0xcf, 0x21, 0xad, 0x74, 0xe5, 0x9a, 0x61, 0x11, 0xbe, 0x1d, 0x8c, 0x02, 0x1e, 0x65, 0xb8, 0x91,
	0xc2, 0xa2, 0x11, 0x16, 0x7a, 0xbb, 0x8c, 0x5e, 0x07, 0x9e, 0x09, 0xe2, 0xc8, 0xa8, 0x33, 0x9c,
};

static enum tls_answer answer_of(const struct tls_stream *s)
{
	struct rd r = rd_of(s->msg, TLS_MESSAGE_HEAD), random;

	if (s->msg[0] != TLS_SERVER_HELLO || s->msg_n < TLS_MESSAGE_HEAD)
		return TLS_ANSWER_OTHER;
	if (!rd_skip(&r, MESSAGE_HEADER + 2) || !rd_take(&r, sizeof(retry_random), &random))
		return TLS_ANSWER_OTHER;
	return rd_eq(random, retry_random, sizeof(retry_random)) ? TLS_ANSWER_RETRY : TLS_ANSWER_HELLO;
}

enum tls_answer tls_feed_answer(struct tls_stream *s, struct rd *in)
{
	/* A warning may come first (unrecognized_name); after a retry, a ChangeCipherSpec. */
	switch (tls_feed(s, in, TLS_MAY_CCS | TLS_MAY_ALERT | TLS_MAY_HANDSHAKE)) {
	case PARSE_BAD: return TLS_ANSWER_OTHER;
	case PARSE_MORE: return TLS_ANSWER_MORE;
	case PARSE_OK: return answer_of(s);
	}
	return TLS_ANSWER_OTHER;
}
