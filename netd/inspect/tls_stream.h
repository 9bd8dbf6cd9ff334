/*
 * tls_stream.h - handshake messages out of the record layer, fed in pieces of any size
 */
#ifndef INSPECT_TLS_STREAM_H
#define INSPECT_TLS_STREAM_H

#include "base/bytes.h"

enum tls_type { TLS_CCS = 20, TLS_ALERT = 21, TLS_HANDSHAKE = 22, TLS_DATA = 23 };
/* Sets of record types that may come next. */
enum {
	TLS_MAY_CCS = 1, TLS_MAY_ALERT = 2, TLS_MAY_HANDSHAKE = 4, TLS_MAY_DATA = 8,
};

enum {
	TLS_RECORD_MAX = 16384,		/* RFC 8446 s5.1: of a plaintext record */
	TLS_MESSAGE_MAX = 16384,	/* of a hello; a real one has 0.2 to 4 KiB */
	TLS_MESSAGE_HEAD = 38,		/* header, version, random: enough to know a ServerHello */
};
enum { TLS_CLIENT_HELLO = 1, TLS_SERVER_HELLO = 2 };

/* Where in the stream we are. Zeroed: at its start. Embedded by value. */
struct tls_stream {
	uint8_t head[5];		/* of the present record, as far as it came */
	uint8_t head_n;
	uint16_t left;			/* bytes of its body still to come */
	bool seen;			/* a record header came, good or not: this is TLS */
	uint8_t msg[TLS_MESSAGE_HEAD];	/* the first bytes of the present handshake message */
	uint32_t msg_n;			/* bytes of it so far, its header included */
};

/*
 * Read from `in` until a handshake message ends (PARSE_OK; `in` stands behind it, s->msg holds its first
 * bytes) or `in` is empty (PARSE_MORE). Records of types in `may` other than handshake are skipped.
 * PARSE_BAD: not a TLS record, a type not in `may`, an empty or too long one, a message that is longer
 * than TLS_MESSAGE_MAX, another record inside a message (RFC 8446 s5.1). s->seen tells whether it ever
 * was TLS. After PARSE_BAD the stream must not be fed again.
 */
enum parse tls_feed(struct tls_stream *s, struct rd *in, unsigned may);

/* The next message begins. After PARSE_OK of tls_feed(), before feeding on. */
void tls_next_message(struct tls_stream *s);
/* True when the last message ended together with its record. */
bool tls_at_record_end(const struct tls_stream *s);

/*
 * The handshake bytes of records that tls_feed() has accepted, joined: the message behind its four-byte
 * header, as a slice of what `to` holds; the last record may be cut. PARSE_BAD when it does not fit.
 */
enum parse tls_join(struct rd records, struct wr *to, struct rd *ret_body);

/* What a server's first handshake message was. */
enum tls_answer { TLS_ANSWER_OTHER = 0, TLS_ANSWER_MORE, TLS_ANSWER_HELLO, TLS_ANSWER_RETRY };
/* Feed the server's bytes; OTHER is final (not TLS, or no hello), and so is HELLO. */
enum tls_answer tls_feed_answer(struct tls_stream *s, struct rd *in);

#endif
