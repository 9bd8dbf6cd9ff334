/*
 * answer.c - the decision table: what a question of this sandbox gets
 *
 * Theory of operation: a question that parsed goes through four steps, each a table. (1) Query
 * types that are not about data (transfers, TSIG, OPT): REFUSED. (2) Special names, which clients
 * ask to find out whether they may go around their resolver: answered so that they do not, for
 * every policy (RFC 9462 s6, Mozilla's canary, Apple's private relay), localhost (RFC 6761), and
 * cordon.internal, whose addresses are the caller's to fill in.
 * (3) Reverse names. (4) The policy: what it does not allow is NXDOMAIN with the reason, ancestors
 * of what it allows exist but hold nothing (RFC 8020; to ask for their addresses is refused like any
 * other name, or nobody would learn why they have none), and of an allowed name only A and AAAA have
 * data.
 *
 * HTTPS and SVCB are empty without a word: clients ask for them on their own, and an answer could
 * carry ECH keys, address hints or h3. The same for what validators ask. Every other type is a
 * refusal, and audited as one. `dns_types` of a rule is not enforced yet, and policies that use it
 * do not compile.
 * Invariants: pure; unknown and forgotten cases are refusals.
 */
#include "dns/answer.h"

#include <string.h>

static const struct reply REPLY_NONE = { .rcode = DNS_SERVFAIL,
					 .kind = REPLY_EMPTY,
					 .ede = DNS_EDE_NONE };

static void answer_set(struct answer *a, uint16_t rcode, enum reply_kind kind, uint32_t ttl)
{
	*a = (struct answer){ .reply = REPLY_NONE };
	a->reply.rcode = rcode;
	a->reply.kind = kind;
	a->reply.ttl = ttl;
}

void answer_nodata(uint32_t ttl, struct answer *ret)
{
	answer_set(ret, DNS_NOERROR, REPLY_NEGATIVE, ttl);
}

void answer_nxdomain(uint32_t ttl, struct answer *ret)
{
	answer_set(ret, DNS_NXDOMAIN, REPLY_NEGATIVE, ttl);
}

void answer_address(const struct addr *a, uint32_t ttl, struct answer *ret)
{
	answer_set(ret, DNS_NOERROR, REPLY_ADDRESS, ttl);
	ret->reply.addr = *a;
}

void answer_ptr(const char *name, uint32_t ttl, struct answer *ret)
{
	answer_set(ret, DNS_NOERROR, REPLY_PTR, ttl);
	ret->reply.target = name;
}

void answer_not_ready(struct answer *ret)
{
	answer_set(ret, DNS_SERVFAIL, REPLY_EMPTY, 0);
	ret->reply.ede = DNS_EDE_NOT_READY;
	ret->reason = REASON_INTERNAL_ERROR;
	ret->rule = "";
}

void answer_refuse(enum reason reason, const char *rule, struct answer *ret)
{
	static const struct { enum reason reason; uint16_t rcode, ede; } table[] = {
		{ REASON_NAME_NOT_ALLOWED, DNS_NXDOMAIN, DNS_EDE_BLOCKED },
		{ REASON_NAME_DENIED, DNS_NXDOMAIN, DNS_EDE_BLOCKED },
		{ REASON_REBINDING_BLOCKED, DNS_NXDOMAIN, DNS_EDE_BLOCKED },
		{ REASON_WILDCARD_BUDGET_EXCEEDED, DNS_NXDOMAIN, DNS_EDE_BLOCKED },
		{ REASON_TYPE_NOT_ALLOWED, DNS_NOERROR, DNS_EDE_BLOCKED },
		{ REASON_RESOLVER_UNREACHABLE, DNS_SERVFAIL, DNS_EDE_UNREACHABLE },
	};
	uint16_t rcode = DNS_SERVFAIL, ede = DNS_EDE_OTHER;

	for (size_t i = 0; i < ARRAY_SIZE(table); i++)
		if (table[i].reason == reason) {
			rcode = table[i].rcode;
			ede = table[i].ede;
		}
	answer_set(ret, rcode, rcode == DNS_SERVFAIL ? REPLY_EMPTY : REPLY_NEGATIVE,
		   ANSWER_TTL_NEGATIVE);
	ret->reply.ede = ede;
	ret->reply.ede_text = reason_text(reason);
	ret->reason = reason;
	ret->rule = rule;
}

static bool type_is_meta(uint16_t qtype)
{
	return !qtype || qtype == DNS_OPT || (qtype >= DNS_META_FIRST && qtype <= DNS_META_LAST);
}

static void answer_meta(struct answer *ret)
{
	answer_set(ret, DNS_REFUSED, REPLY_EMPTY, 0);
	ret->reason = REASON_TYPE_NOT_ALLOWED;
	ret->rule = "default";
}

enum special { SPECIAL_NONE = 0, SPECIAL_ABSENT, SPECIAL_EMPTY, SPECIAL_LOOPBACK, SPECIAL_INTERNAL };

/* `name` itself, or with `below` also everything under it. */
static bool name_under(const char *name, const char *top, bool below)
{
	size_t n = strlen(name), t = strlen(top);

	if (n == t)
		return !strcmp(name, top);
	return below && n > t && name[n - t - 1] == '.' && !strcmp(name + n - t, top);
}

static enum special name_special(const char *name)
{
	static const struct {
		const char *name;
		bool below;
		enum special is;
	} table[] = {
		{ "use-application-dns.net", false, SPECIAL_ABSENT }, /* browsers' DoH canary */
		{ "mask.icloud.com", false, SPECIAL_ABSENT },	      /* private relay */
		{ "mask-h2.icloud.com", false, SPECIAL_ABSENT },
		{ "resolver.arpa", true, SPECIAL_EMPTY }, /* discovery of designated resolvers */
		{ "localhost", true, SPECIAL_LOOPBACK },  /* RFC 6761 s6.3 */
		{ CORDON_INTERNAL, false, SPECIAL_INTERNAL },
		{ "internal", false, SPECIAL_EMPTY }, /* above it: RFC 8020 */
	};

	for (size_t i = 0; i < ARRAY_SIZE(table); i++)
		if (name_under(name, table[i].name, table[i].below))
			return table[i].is;
	return SPECIAL_NONE;
}

static void answer_loopback(uint16_t qtype, struct answer *ret)
{
	static const struct addr loopback4 = { 4, { 127, 0, 0, 1 } },
				 loopback6 = { 6, { [15] = 1 } };

	if (qtype == DNS_A)
		answer_address(&loopback4, ANSWER_TTL_MAX, ret);
	else if (qtype == DNS_AAAA)
		answer_address(&loopback6, ANSWER_TTL_MAX, ret);
	else
		answer_nodata(ANSWER_TTL_NEGATIVE, ret);
}

static enum answer_next answer_internal(uint16_t qtype, struct answer *ret)
{
	answer_nodata(ANSWER_TTL_NEGATIVE, ret);
	return qtype == DNS_A || qtype == DNS_AAAA ? ANSWER_INTERNAL : ANSWER_NOW;
}

/* True when the name was special; then `ret`, or what comes next, is its answer. */
static bool answer_special(const struct query *q, enum answer_next *ret_next, struct answer *ret)
{
	*ret_next = ANSWER_NOW;
	switch (name_special(q->name)) {
	case SPECIAL_NONE:
		return false;
	case SPECIAL_ABSENT:
		answer_nxdomain(ANSWER_TTL_NEGATIVE, ret);
		return true;
	case SPECIAL_EMPTY:
		answer_nodata(ANSWER_TTL_NEGATIVE, ret);
		return true;
	case SPECIAL_LOOPBACK:
		answer_loopback(q->qtype, ret);
		return true;
	case SPECIAL_INTERNAL:
		*ret_next = answer_internal(q->qtype, ret);
		return true;
	}
	return false;
}

/* Types of an allowed name that are empty without being a refusal. */
static bool type_is_quiet(uint16_t qtype)
{
	static const uint16_t quiet[] = {
		DNS_HTTPS, DNS_SVCB, DNS_SOA, DNS_NS, DNS_DS, DNS_DNSKEY
	};

	for (size_t i = 0; i < ARRAY_SIZE(quiet); i++)
		if (quiet[i] == qtype)
			return true;
	return false;
}

static enum answer_next answer_allowed(const struct query *q, const struct name_decision *d,
				       struct answer *ret)
{
	if (q->qtype == DNS_A || q->qtype == DNS_AAAA)
		return ANSWER_RESOLVE;
	if (q->qtype == DNS_ANY)			/* RFC 8482 s4.2 */
		answer_set(ret, DNS_NOERROR, REPLY_HINFO, ANSWER_TTL_MAX);
	else if (type_is_quiet(q->qtype))
		answer_nodata(ANSWER_TTL_NEGATIVE, ret);
	else
		answer_refuse(REASON_TYPE_NOT_ALLOWED, d->rule, ret);
	return ANSWER_NOW;
}

/* A refusal of what stands above an allowed name. Who asks for addresses means the name itself. */
static void answer_ancestor(uint16_t qtype, struct answer *io)
{
	if (qtype == DNS_A || qtype == DNS_AAAA)
		io->reply.rcode = DNS_NOERROR;
	else
		answer_nodata(ANSWER_TTL_NEGATIVE, io);
}

enum answer_next answer_decide(const struct policy *p, const struct query *q,
			       struct name_decision *ret_d, struct answer *ret)
{
	struct name_decision d = { .reason = REASON_NAME_NOT_ALLOWED };
	enum answer_next next = ANSWER_NOW;

	answer_refuse(REASON_NAME_NOT_ALLOWED, "default", ret);
	if (type_is_meta(q->qtype)) {
		answer_meta(ret);
		return ANSWER_NOW;
	}
	if (!q->name_n) { /* the root is above everything that is allowed */
		answer_nodata(ANSWER_TTL_NEGATIVE, ret);
		return ANSWER_NOW;
	}
	if (!q->canonical || answer_special(q, &next, ret))
		return next;
	if (q->qtype == DNS_PTR && answer_reverse_addr(q->name, &ret->addr))
		return ANSWER_REVERSE;
	policy_decide_name(p, q->name, &d);
	if (d.allowed) {
		*ret_d = d;
		return answer_allowed(q, &d, ret);
	}
	answer_refuse(d.reason == REASON_NONE ? REASON_NAME_NOT_ALLOWED : d.reason, d.rule, ret);
	if (d.ancestor)
		answer_ancestor(q->qtype, ret);
	return ANSWER_NOW;
}

static bool nibble(uint8_t c, uint8_t *ret)
{
	*ret = (uint8_t)hex_digit(c);
	return hex_digit(c) >= 0;
}

/* Four decimal labels, last byte first; no leading zeros, as in every real reverse name. */
static bool reverse4(struct rd r, struct addr *ret)
{
	struct rd label;
	uint8_t c, digit;
	unsigned v;

	ret->family = 4;
	for (int i = 3; i >= 0; i--) {
		if (!rd_until(&r, '.', &label) || !label.n || label.n > 3 ||
		    (label.n > 1 && *label.p == '0'))
			return false;
		for (v = 0; rd_left(&label); v = v * 10 + digit)
			if (!rd_u8(&label, &c) || !nibble(c, &digit) || digit > 9)
				return false;
		if (v > 255)
			return false;
		ret->b[i] = v;
	}
	return rd_eq_str(r, "in-addr.arpa");
}

static bool reverse6(struct rd r, struct addr *ret)
{
	struct rd label;
	uint8_t c, digit;

	ret->family = 6;
	for (int i = 31; i >= 0; i--) {
		if (!rd_until(&r, '.', &label) || !rd_u8(&label, &c) || !rd_done(&label) ||
		    !nibble(c, &digit))
			return false;
		ret->b[i / 2] |= i & 1 ? digit : digit << 4;
	}
	return rd_eq_str(r, "ip6.arpa");
}

bool answer_reverse_addr(const char *name, struct addr *ret)
{
	struct addr a = { 0 };

	if (!reverse4(rd_str(name), &a)) {
		a = (struct addr){ 0 };
		if (!reverse6(rd_str(name), &a))
			return false;
	}
	*ret = a;
	return true;
}
