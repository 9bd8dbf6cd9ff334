/*
 * upstream_answer.c - the addresses in an upstream's answer
 *
 * Theory of operation: an answer may come from a zone that the attacker owns. Its records are first
 * walked once, with bounds, into a small table of cursors (owner, type, ttl, rdata); then the chain
 * is followed from the name that was asked: at each step the one CNAME of the current owner, until
 * an owner has none; that owner's addresses are the result. So records outside of the chain are
 * never looked at, whatever they claim, and their order does not matter.
 *
 * Names are expanded into lower-case wire form. A compression pointer must point before the place
 * where the name (or the previous pointer's target) began, so expansion ends; their number is
 * bounded too.
 * Two different CNAMEs of one owner are a contradiction: failed. DNAME: failed, since
 * nothing that is granted needs it and its substitution is one more way to disagree with another
 * reader.
 * Invariants: allocates nothing, keeps no state. Fuzzed by tests/fuzz/fuzz_dns_answer.c.
 */
#include "dns/upstream_answer.h"

#include "dns/message.h"

enum { FLAG_QR = 0x8000, FLAG_TC = 0x0200, FLAG_RCODE = 0x000f };
enum { POINTER = 0xc0, POINTER_MASK = 0x3fff };

struct wire_name {
	uint16_t n;
	uint8_t b[DNS_NAME_WIRE_MAX];
};

struct record {
	struct rd owner, data; /* from the owner's, the rdata's first byte to the message's end */
	struct rd rdata;		/* just the rdata */
	uint16_t type;
	uint32_t ttl;
};

struct answer {
	struct rd whole;
	struct record records[CHAIN_RECORDS_MAX];
	size_t n;
};

static bool rd_at(struct rd whole, size_t offset, struct rd *ret)
{
	*ret = whole;
	return rd_skip(ret, offset);
}

static bool label_copy(struct rd *r, uint8_t n, struct wr *w)
{
	struct rd label;
	uint8_t c;

	if (!rd_take(r, n, &label) || !wr_u8(w, n))
		return false;
	while (rd_left(&label)) {
		if (!rd_u8(&label, &c))
			return false;
		wr_u8(w, c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c);
	}
	return wr_ok(w);
}

/*
 * Expand the name at *r, which lies in `whole`; *r moves past its bytes there. With out NULL only
 * the latter.
 */
static bool name_read(struct rd whole, struct rd *r, struct wire_name *out)
{
	struct wire_name scratch;
	struct wr w = wr_of(out ? out->b : scratch.b, DNS_NAME_WIRE_MAX);
	struct rd at = *r, after = { 0 };
	size_t start = rd_left(&whole) - rd_left(r), pointers = 0, to;
	uint8_t n, low;

	for (;;) {
		if (!rd_u8(&at, &n))
			return false;
		if (!n)
			break;
		if (n <= DNS_LABEL_MAX) {
			if (!label_copy(&at, n, &w))
				return false;
			continue;
		}
		if ((n & POINTER) != POINTER || !rd_u8(&at, &low) || pointers == CHAIN_POINTERS_MAX)
			return false;
		to = ((size_t)n << 8 | low) & POINTER_MASK;
		if (!pointers++)
			after = at;
		if (to >= start || !rd_at(whole, to, &at))	/* only ever backwards */
			return false;
		start = to;
	}
	if (!wr_u8(&w, 0))
		return false;
	if (out)
		out->n = w.n;
	*r = pointers ? after : at;
	return true;
}

static bool name_is(const struct wire_name *a, const struct wire_name *b)
{
	return rd_eq(rd_of(a->b, a->n), b->b, b->n);
}

static bool record_owner_is(const struct answer *a, const struct record *rec,
			    const struct wire_name *name)
{
	struct wire_name owner;
	struct rd r = rec->owner;

	return name_read(a->whole, &r, &owner) && name_is(&owner, name);
}

/* Walk the answer section once: every record framed, none of them a DNAME. */
static bool answer_records(struct rd *r, uint16_t count, struct answer *ret)
{
	struct record *rec;
	uint16_t class, length;

	if (count > CHAIN_RECORDS_MAX)
		return false;
	while (count--) {
		rec = &ret->records[ret->n++];
		rec->owner = *r;
		if (!name_read(ret->whole, r, NULL) || !rd_u16(r, &rec->type) ||
		    !rd_u16(r, &class) || !rd_u32(r, &rec->ttl) || !rd_u16(r, &length))
			return false;
		rec->data = *r;
		if (!rd_take(r, length, &rec->rdata))
			return false;
		if (rec->type == DNS_DNAME || class != DNS_IN)
			return false;
		if (rec->ttl > INT32_MAX)			/* RFC 2181 s8 */
			rec->ttl = 0;
	}
	return true;
}

/* The CNAME of an owner. 1 with the target, 0 when there is none, -1 for nonsense. */
static int answer_cname(const struct answer *a, const struct wire_name *owner,
			struct wire_name *ret_target, uint32_t *ret_ttl)
{
	struct wire_name target;
	int found = 0;

	for (size_t i = 0; i < a->n; i++) {
		const struct record *rec = &a->records[i];
		struct rd at = rec->data;

		if (rec->type != DNS_CNAME || !record_owner_is(a, rec, owner))
			continue;
		if (!name_read(a->whole, &at, &target) ||
		    rd_left(&rec->data) - rd_left(&at) != rd_left(&rec->rdata))
			return -1;
		if (found && !name_is(&target, ret_target))
			return -1;
		*ret_target = target;
		if (!found || rec->ttl < *ret_ttl)
			*ret_ttl = rec->ttl;
		found = 1;
	}
	return found;
}

static bool answer_addresses(const struct answer *a, const struct wire_name *owner, uint16_t qtype,
			     struct chain *ret)
{
	for (size_t i = 0; i < a->n; i++) {
		const struct record *rec = &a->records[i];
		struct addr addr = { .family = qtype == DNS_A ? 4 : 6 };
		struct rd rdata = rec->rdata;

		if (rec->type != qtype || !record_owner_is(a, rec, owner))
			continue;
		if (!rd_copy(&rdata, addr.b, addr_len(&addr)) || !rd_done(&rdata))
			return false;
		if (rec->ttl < ret->ttl)
			ret->ttl = rec->ttl;
		if (ret->n < MSG_ADDRS)
			ret->addr[ret->n++] = addr;
	}
	return true;
}

/* Follow CNAMEs from the name, then take the last owner's addresses. */
static enum chain_result answer_follow(const struct answer *a, struct wire_name *at, uint16_t qtype,
				       bool nxdomain, struct chain *ret)
{
	struct wire_name next;
	uint32_t ttl = UINT32_MAX;
	int hops, found;

	ret->ttl = UINT32_MAX;
	for (hops = 0; (found = answer_cname(a, at, &next, &ttl)) > 0; hops++) {
		if (hops == CHAIN_HOPS_MAX)			/* a loop ends here as well */
			return CHAIN_FAILED;
		if (ttl < ret->ttl)
			ret->ttl = ttl;
		*at = next;
	}
	if (found < 0 || !answer_addresses(a, at, qtype, ret))
		return CHAIN_FAILED;
	if (ret->n)
		return CHAIN_ADDRESSES;
	return nxdomain ? CHAIN_NXDOMAIN : CHAIN_NODATA;
}

/* Our own name in wire form, through the one function that writes it. */
static bool name_of_text(const char *text, struct wire_name *ret)
{
	uint8_t ask[DNS_ASK_MAX];
	size_t n = message_ask(text, DNS_A, 0, ask);
	struct rd whole = rd_of(ask, n), r = whole;

	return n && rd_skip(&r, DNS_HEADER) && name_read(whole, &r, ret);
}

static enum chain_result chain_body(struct rd in, const char *name, uint16_t qtype,
				    struct chain *ret)
{
	struct answer a = { .whole = in };
	struct wire_name asked, question;
	uint16_t id, flags, qd, an, ns, ar, type, class;

	if (!rd_u16(&in, &id) || !rd_u16(&in, &flags) || !rd_u16(&in, &qd) || !rd_u16(&in, &an) ||
	    !rd_u16(&in, &ns) || !rd_u16(&in, &ar))
		return CHAIN_FAILED;
	if (!(flags & FLAG_QR) || (flags & FLAG_TC) || qd != 1)
		return CHAIN_FAILED;
	if ((flags & FLAG_RCODE) != DNS_NOERROR && (flags & FLAG_RCODE) != DNS_NXDOMAIN)
		return CHAIN_FAILED;
	if (!name_read(a.whole, &in, &question) || !rd_u16(&in, &type) || !rd_u16(&in, &class))
		return CHAIN_FAILED;
	if (!name_of_text(name, &asked) || !name_is(&question, &asked) || type != qtype ||
	    class != DNS_IN)
		return CHAIN_FAILED;
	if (!answer_records(&in, an, &a))
		return CHAIN_FAILED;
	return answer_follow(&a, &asked, qtype, (flags & FLAG_RCODE) == DNS_NXDOMAIN, ret);
}

void chain_read(struct rd in, const char *name, uint16_t qtype, struct chain *ret)
{
	*ret = (struct chain){ .result = CHAIN_FAILED };
	ret->result = chain_body(in, name, qtype, ret);
	if (ret->result != CHAIN_ADDRESSES)
		*ret = (struct chain){ .result = ret->result };
}
