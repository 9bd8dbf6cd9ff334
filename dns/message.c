/*
 * message.c - the sandbox's question in, our answer out
 *
 * Theory of operation: a question is hostile. It is read strictly: one question, nothing in the
 * answer and authority sections, at most one OPT (at the root, version 0) and nothing else behind
 * it. Labels in a question are never compressed (no client does it; a pointer there only serves to
 * make two readers disagree). A dot or a NUL inside a label would make the text form lie about the
 * labels: malformed. Other bytes outside the policy's alphabet make the name one that no policy can
 * allow, which is decided by name_canonical() and nobody else.
 *
 * The answer repeats the question's bytes as they came (case included: clients use it as entropy),
 * sets QR, AA and RA, copies RD and CD, and carries OPT when the question did. Our answers are
 * short, so TC happens only in theory; it is handled, not assumed away.
 * Invariants: allocates nothing, keeps no state, never logs. Fuzzed by tests/fuzz/fuzz_dns_query.c.
 */
#include "dns/message.h"

#include <stdio.h>
#include <string.h>

enum { FLAG_QR = 0x8000, FLAG_OPCODE = 0x7800, FLAG_AA = 0x0400, FLAG_TC = 0x0200, FLAG_RD = 0x0100,
       FLAG_RA = 0x0080, FLAG_CD = 0x0010 };
enum { OPT_EDE = 15, OPT_VERSION_SHIFT = 16, OPT_RCODE_SHIFT = 24, OPT_HEAD = 11 };
enum { POINTER_TO_QUESTION = 0xc000 | DNS_HEADER };

static enum query_verdict fault(struct query *q, uint16_t rcode, const char *what)
{
	q->rcode = rcode;
	q->fault = what;
	return QUERY_ERROR;
}

static uint8_t lower(uint8_t c)
{
	return c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c;
}

/* One label into the text form. False: a dot or NUL inside, which the text could not show. */
static bool label_text(struct rd label, struct wr *text)
{
	uint8_t c;

	if (text->n)
		wr_u8(text, '.');
	while (rd_left(&label)) {
		if (!rd_u8(&label, &c) || !c || c == '.')
			return false;
		wr_u8(text, lower(c));
	}
	return wr_ok(text);
}

/* The question's name: uncompressed labels up to the root. NULL, or what is wrong. */
static const char *question_name(struct rd *r, struct query *q)
{
	struct wr text = wr_of(q->name, DNS_NAME_WIRE_MAX);
	struct rd label, start = *r;
	uint8_t n;

	for (;;) {
		if (!rd_u8(r, &n))
			return "name cut";
		if (!n)
			break;
		if (n > DNS_LABEL_MAX)
			return "label length or pointer";
		if (!rd_take(r, n, &label))
			return "name cut";
		if (rd_left(&start) - rd_left(r) >= DNS_NAME_WIRE_MAX)
			return "name too long";
		if (!label_text(label, &text))
			return "dot or NUL in a label";
	}
	q->name[text.n] = 0;
	q->name_n = text.n;
	return NULL;
}

/* The one question, and a copy of its bytes to repeat in the answer. */
static const char *question(struct rd *r, struct query *q)
{
	struct rd start = *r, whole;
	const char *wrong = question_name(r, q);

	if (wrong)
		return wrong;
	if (!rd_u16(r, &q->qtype) || !rd_u16(r, &q->qclass))
		return "question cut";
	if (!rd_take(&start, rd_left(&start) - rd_left(r), &whole) ||
	    rd_left(&whole) > sizeof(q->question))
		return "question too long";
	memcpy(q->question, whole.p, whole.n);
	q->question_n = whole.n;
	return NULL;
}

/* The additional section: nothing, or one OPT of the root, whose options only have to be framed. */
static const char *additional(struct rd *r, uint16_t count, struct query *q, uint8_t *ret_version)
{
	struct rd rdata, option;
	uint16_t type, size, code;
	uint32_t ttl;
	uint8_t root;

	if (count > 1)
		return "additional records";
	if (!count)
		return NULL;
	if (!rd_u8(r, &root) || !rd_u16(r, &type) || !rd_u16(r, &size) || !rd_u32(r, &ttl) ||
	    !rd_vec(r, 2, &rdata))
		return "OPT cut";
	if (root || type != DNS_OPT)
		return "additional record that is not OPT";
	while (rd_left(&rdata))
		if (!rd_u16(&rdata, &code) || !rd_vec(&rdata, 2, &option))
			return "EDNS option cut";
	q->edns = true;
	q->udp_size = size > DNS_UDP_MIN ? size : DNS_UDP_MIN;
	*ret_version = ttl >> OPT_VERSION_SHIFT & 0xff;
	return NULL;
}

static enum query_verdict query_body(struct rd in, struct query *q)
{
	uint16_t qd, an, ns, ar;
	uint8_t version = 0;
	const char *wrong;
	char canonical[POLICY_NAME_MAX + 1];

	if (!rd_u16(&in, &qd) || !rd_u16(&in, &an) || !rd_u16(&in, &ns) || !rd_u16(&in, &ar))
		return QUERY_DROP;
	if (q->flags & FLAG_OPCODE)
		return fault(q, DNS_NOTIMP, "opcode");
	if (qd != 1)
		return fault(q, DNS_FORMERR, "question count");
	wrong = question(&in, q);
	if (!wrong && (an || ns))
		wrong = "records in a question";
	if (!wrong)
		wrong = additional(&in, ar, q, &version);
	if (!wrong && !rd_done(&in))
		wrong = "trailing bytes";
	if (wrong)
		return fault(q, DNS_FORMERR, wrong);
	if (version) /* RFC 6891 s6.1.3; before anything else is looked at */
		return fault(q, DNS_BADVERS, NULL);
	if (q->qclass != DNS_IN)
		return fault(q, DNS_REFUSED, "class");
	q->canonical =
		name_canonical(rd_of(q->name, q->name_n), canonical) && !strcmp(canonical, q->name);
	return QUERY_OK;
}

enum query_verdict message_query(struct rd in, struct query *ret)
{
	ret->question_n = ret->name_n = ret->qtype = ret->qclass = 0;
	ret->name[0] = 0;
	ret->canonical = ret->edns = false;
	ret->udp_size = DNS_UDP_MIN;
	ret->rcode = DNS_SERVFAIL;
	ret->fault = "short";
	if (rd_left(&in) < DNS_HEADER || !rd_u16(&in, &ret->id) || !rd_u16(&in, &ret->flags))
		return QUERY_DROP;
	if (ret->flags & FLAG_QR) {
		ret->fault = "answer where a question belongs";
		return QUERY_DROP;
	}
	return query_body(in, ret);
}

size_t message_udp_max(const struct query *q)
{
	return q->udp_size < DNS_UDP_MAX ? q->udp_size : DNS_UDP_MAX;
}

/* A canonical (or empty) name in wire form. */
static bool put_name(struct wr *w, const char *name)
{
	struct rd left = rd_str(name), rest, label;

	while (rd_left(&left)) {
		rest = left;
		if (!rd_until(&rest, '.', &label))	/* the last label: nothing is left */
			label = left;
		left = rest;
		if (!label.n || label.n > DNS_LABEL_MAX)
			return !(w->failed = true);
		wr_u8(w, label.n);
		wr_rd_all(w, label);
	}
	return wr_u8(w, 0);
}

/* Type, class, TTL and room for the length of a record whose owner is already written. */
static uint8_t *put_head(struct wr *w, uint16_t type, uint32_t ttl)
{
	wr_u16(w, type);
	wr_u16(w, DNS_IN);
	wr_u32(w, ttl);
	return wr_room(w, 2);
}

static void put_length(struct wr *w, uint8_t *at)
{
	if (!wr_ok(w))
		return;
	struct wr length = wr_of(at, 2);

	wr_u16(&length, w->p + w->n - at - 2);
}

/*
 * The view that a sandbox has is one zone, cut at the root; so the SOA is the root's, and a name
 * that is refused does not make its parent look like a zone of its own.
 */
static void put_soa(struct wr *w, uint32_t ttl)
{
	static const uint32_t numbers[] = { 1, 3600, 600, 86400 }; /* serial, refresh, ... */
	uint8_t *length;

	wr_u8(w, 0);
	length = put_head(w, DNS_SOA, ttl);
	put_name(w, "cordon.internal");
	put_name(w, "hostmaster.cordon.internal");
	for (size_t i = 0; i < ARRAY_SIZE(numbers); i++)
		wr_u32(w, numbers[i]);
	wr_u32(w, ttl);					/* minimum: RFC 2308 s4 */
	put_length(w, length);
}

static void put_answer(struct wr *w, const struct reply *r, uint16_t type)
{
	uint8_t *length;

	wr_u16(w, POINTER_TO_QUESTION);
	length = put_head(w, type, r->ttl);
	if (r->kind == REPLY_ADDRESS)
		wr_put(w, r->addr.b, addr_len(&r->addr));
	else if (r->kind == REPLY_PTR)
		put_name(w, r->target);
	else
		wr_put(w, "\7RFC8482\0", 9);		/* HINFO: CPU, then an empty OS */
	put_length(w, length);
}

static uint16_t answer_type(const struct reply *r)
{
	if (r->kind == REPLY_ADDRESS)
		return r->addr.family == 4 ? DNS_A : DNS_AAAA;
	return r->kind == REPLY_PTR ? DNS_PTR : DNS_HINFO;
}

static void put_opt(struct wr *w, const struct reply *r)
{
	uint8_t *length, *option;

	wr_u8(w, 0);
	wr_u16(w, DNS_OPT);
	wr_u16(w, DNS_UDP_MAX);
	wr_u32(w, (uint32_t)(r->rcode >> 4) << OPT_RCODE_SHIFT);
	length = wr_room(w, 2);
	if (r->ede != DNS_EDE_NONE) {
		wr_u16(w, OPT_EDE);
		option = wr_room(w, 2);
		wr_u16(w, r->ede);
		if (r->ede_text)
			wr_str(w, r->ede_text);
		put_length(w, option);
	}
	put_length(w, length);
}

static void put_header(struct wr *w, const struct query *q, const struct reply *r, bool cut)
{
	bool answer = !cut && r->kind != REPLY_EMPTY && r->kind != REPLY_NEGATIVE;
	bool aa = r->rcode == DNS_NOERROR || r->rcode == DNS_NXDOMAIN;

	wr_u16(w, q->id);
	wr_u16(w, FLAG_QR | (q->flags & (FLAG_OPCODE | FLAG_RD | FLAG_CD)) | FLAG_RA |
			  (aa ? FLAG_AA : 0) | (cut ? FLAG_TC : 0) | (r->rcode & 15));
	wr_u16(w, q->question_n ? 1 : 0);
	wr_u16(w, answer);
	wr_u16(w, !cut && r->kind == REPLY_NEGATIVE);
	wr_u16(w, q->edns);
}

static size_t reply_try(const struct query *q, const struct reply *r, size_t max, bool cut,
			uint8_t *out)
{
	struct wr w = wr_of(out, max);

	put_header(&w, q, r, cut);
	wr_put(&w, q->question, q->question_n);
	if (!cut && r->kind == REPLY_NEGATIVE)
		put_soa(&w, r->ttl);
	else if (!cut && r->kind != REPLY_EMPTY)
		put_answer(&w, r, answer_type(r));
	if (q->edns)
		put_opt(&w, r);
	return wr_ok(&w) ? w.n : 0;
}

size_t message_reply(const struct query *q, const struct reply *r, size_t max, uint8_t *out)
{
	size_t n = reply_try(q, r, max, false, out);
	struct reply bare = *r;

	if (n)
		return n;
	bare.ede = DNS_EDE_NONE;
	return reply_try(q, &bare, max, true, out);
}

size_t message_ask(const char *name, uint16_t qtype, uint16_t id, uint8_t out[DNS_ASK_MAX])
{
	struct wr w = wr_of(out, DNS_ASK_MAX);
	const uint16_t header[] = { id, FLAG_RD, 1, 0, 0, 1 };

	for (size_t i = 0; i < ARRAY_SIZE(header); i++)
		wr_u16(&w, header[i]);
	put_name(&w, name);
	wr_u16(&w, qtype);
	wr_u16(&w, DNS_IN);
	wr_u8(&w, 0);
	wr_u16(&w, DNS_OPT);
	wr_u16(&w, DNS_UDP_MAX);
	wr_u32(&w, 0);
	wr_u16(&w, 0);
	return wr_ok(&w) ? w.n : 0;
}

const char *message_type_text(uint16_t qtype, char buf[12])
{
	static const struct {
		uint16_t type;
		const char *text;
	} known[] = {
		{ DNS_A, "A" },		{ DNS_NS, "NS" },	  { DNS_CNAME, "CNAME" },
		{ DNS_SOA, "SOA" },	{ DNS_PTR, "PTR" },	  { DNS_MX, "MX" },
		{ DNS_TXT, "TXT" },	{ DNS_AAAA, "AAAA" },	  { DNS_SRV, "SRV" },
		{ DNS_DS, "DS" },	{ DNS_DNSKEY, "DNSKEY" }, { DNS_SVCB, "SVCB" },
		{ DNS_HTTPS, "HTTPS" }, { DNS_NULL, "NULL" },	  { DNS_ANY, "ANY" },
		{ DNS_HINFO, "HINFO" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(known); i++)
		if (known[i].type == qtype)
			return known[i].text;
	snprintf(buf, 12, "TYPE%u", qtype);
	return buf;
}
