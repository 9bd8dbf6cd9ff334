/*
 * message.h - DNS messages: the sandbox's question, our answer to it, the upstream's answer to us
 *
 * Spec: RFC 1035 s4, RFC 6891 (OPT), RFC 8914 (extended errors), RFC 2308 (negative answers),
 * RFC 8482 (ANY). Names are wire form, uncompressed, at most 255 bytes with the root label.
 */
#ifndef DNS_MESSAGE_H
#define DNS_MESSAGE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/bytes.h"
#include "policy/policy.h"

enum {
	DNS_HEADER = 12,
	DNS_NAME_WIRE_MAX = 255,
	DNS_LABEL_MAX = 63,
	DNS_UDP_MIN = 512,
	DNS_UDP_MAX = 1232,
	DNS_QUERY_MAX = 4096, /* longest question we read; real ones are below 600 */
	DNS_REPLY_MAX = 1232 /* no answer of ours is longer, on TCP neither */
};

enum dns_type {
	DNS_A = 1,
	DNS_NS = 2,
	DNS_CNAME = 5,
	DNS_SOA = 6,
	DNS_NULL = 10,
	DNS_PTR = 12,
	DNS_HINFO = 13,
	DNS_MX = 15,
	DNS_TXT = 16,
	DNS_AAAA = 28,
	DNS_SRV = 33,
	DNS_DNAME = 39,
	DNS_OPT = 41,
	DNS_DS = 43,
	DNS_DNSKEY = 48,
	DNS_SVCB = 64,
	DNS_HTTPS = 65,
	DNS_META_FIRST = 249,
	DNS_META_LAST = 254,
	DNS_ANY = 255
};
enum { DNS_IN = 1 };
enum dns_rcode {
	DNS_NOERROR = 0,
	DNS_FORMERR = 1,
	DNS_SERVFAIL = 2,
	DNS_NXDOMAIN = 3,
	DNS_NOTIMP = 4,
	DNS_REFUSED = 5,
	DNS_BADVERS = 16
};
/* RFC 8914. NONE is ours: 0 is "Other". */
enum dns_ede {
	DNS_EDE_OTHER = 0,
	DNS_EDE_NOT_READY = 14,
	DNS_EDE_BLOCKED = 15,
	DNS_EDE_FILTERED = 17,
	DNS_EDE_UNREACHABLE = 22,
	DNS_EDE_NETWORK = 23,
	DNS_EDE_NONE = 0xffff
};

/* What a datagram is. Zero: no answer at all. */
enum query_verdict {
	QUERY_DROP = 0,		/* too short to answer, or itself an answer (QR=1) */
	QUERY_ERROR,		/* answer with `rcode` and nothing else */
	QUERY_OK
};

struct query {
	uint16_t id, flags;
	uint16_t rcode;				/* for QUERY_ERROR */
	const char *fault;   /* for QUERY_DROP and QUERY_ERROR: what was wrong, a constant */
	uint16_t question_n; /* name, type and class as they came; 0 when they did not parse */
	uint8_t question[DNS_NAME_WIRE_MAX + 4];
	uint16_t qtype, qclass;
	bool canonical; /* `name` is what policies match; else no policy can allow it */
	/* Lower case, dots between labels, "" for the root; may hold odd bytes. */
	char name[DNS_NAME_WIRE_MAX + 1];
	uint16_t name_n;
	bool edns;
	uint16_t udp_size;			/* what the client takes over UDP, 512 at least */
};

/* Fills `ret` as far as it got. Never looks past `in`. */
enum query_verdict message_query(struct rd in, struct query *ret);

enum reply_kind {
	REPLY_EMPTY = 0, /* no records: errors */
	REPLY_NEGATIVE,	 /* SOA */
	REPLY_ADDRESS,
	REPLY_PTR,
	REPLY_HINFO
};
struct reply {
	uint16_t rcode;			/* enum dns_rcode; bits above 4 go into OPT */
	enum reply_kind kind;
	uint32_t ttl;
	struct addr addr;		/* REPLY_ADDRESS */
	const char *target;		/* REPLY_PTR: canonical name */
	uint16_t ede;			/* enum dns_ede; sent when the client sent OPT */
	const char *ede_text;		/* or NULL */
};

/*
 * The answer in wire form, at most `max` bytes: one that does not fit is cut to the question with
 * TC. Returns its length; 0 when not even that fits (never with max >= 512).
 */
size_t message_reply(const struct query *q, const struct reply *r, size_t max, uint8_t *out);
/* How much the client takes on UDP: the smaller of what it offered and DNS_UDP_MAX. */
size_t message_udp_max(const struct query *q);

/*
 * Our own question to the upstream: name (canonical), type, RD, an OPT of 1232 bytes and nothing of
 * the client. The OPT is last and has 11 bytes, which c-ares relies on. Returns the length, 0 on a
 * bad name.
 */
enum { DNS_ASK_MAX = DNS_HEADER + DNS_NAME_WIRE_MAX + 4 + 11 };
size_t message_ask(const char *name, uint16_t qtype, uint16_t id, uint8_t out[DNS_ASK_MAX]);

const char *message_type_text(uint16_t qtype, char buf[12]);

#endif
