/*
 * test_dns_answer.c - the decision table, with a real policy (threats A6, A12, A13)
 */
#include "tests/unit/check.h"

#include "dns/answer.h"
#include "tests/unit/policy_fixture.h"

static const char profile[] =
	"version: 1\n"
	"sandbox:\n"
	"  network:\n"
	"    default: deny\n"
	"    allow:\n"
	"      - host: www.deep.example\n"
	"      - host: \"*.files.example\"\n"
	"      - host: _odd.example\n"
	"    deny:\n"
	"      - host: bad.files.example\n";

enum { NOW = ANSWER_NOW, RESOLVE = ANSWER_RESOLVE, REVERSE = ANSWER_REVERSE,
       INTERNAL = ANSWER_INTERNAL };

static const struct {
	const char *name;
	uint16_t qtype;
	int next, rcode, kind, ede;
	enum reason reason;
} cases[] = {
	{ "www.deep.example", DNS_A, RESOLVE, 0, 0, 0, 0 },
	{ "www.deep.example", DNS_AAAA, RESOLVE, 0, 0, 0, 0 },
	{ "a.files.example", DNS_A, RESOLVE, 0, 0, 0, 0 },
	{ "_odd.example", DNS_A, RESOLVE, 0, 0, 0, 0 },
	{ "a.files.example", DNS_HTTPS, NOW, DNS_NOERROR, REPLY_NEGATIVE, DNS_EDE_NONE, 0 },
	{ "a.files.example", DNS_SVCB, NOW, DNS_NOERROR, REPLY_NEGATIVE, DNS_EDE_NONE, 0 },
	{ "a.files.example", DNS_NS, NOW, DNS_NOERROR, REPLY_NEGATIVE, DNS_EDE_NONE, 0 },
	{ "a.files.example", DNS_DS, NOW, DNS_NOERROR, REPLY_NEGATIVE, DNS_EDE_NONE, 0 },
	{ "a.files.example", DNS_ANY, NOW, DNS_NOERROR, REPLY_HINFO, DNS_EDE_NONE, 0 },
	{ "a.files.example", DNS_TXT, NOW, DNS_NOERROR, REPLY_NEGATIVE, DNS_EDE_BLOCKED,
	  REASON_TYPE_NOT_ALLOWED },
	{ "a.files.example", DNS_MX, NOW, DNS_NOERROR, REPLY_NEGATIVE, DNS_EDE_BLOCKED,
	  REASON_TYPE_NOT_ALLOWED },
	{ "a.files.example", DNS_CNAME, NOW, DNS_NOERROR, REPLY_NEGATIVE, DNS_EDE_BLOCKED,
	  REASON_TYPE_NOT_ALLOWED },
	{ "a.files.example", 65280, NOW, DNS_NOERROR, REPLY_NEGATIVE, DNS_EDE_BLOCKED,
	  REASON_TYPE_NOT_ALLOWED },
	{ "a.files.example", 252, NOW, DNS_REFUSED, REPLY_EMPTY, DNS_EDE_NONE,
	  REASON_TYPE_NOT_ALLOWED },
	{ "a.files.example", DNS_OPT, NOW, DNS_REFUSED, REPLY_EMPTY, DNS_EDE_NONE,
	  REASON_TYPE_NOT_ALLOWED },
	{ "a.files.example", 0, NOW, DNS_REFUSED, REPLY_EMPTY, DNS_EDE_NONE,
	  REASON_TYPE_NOT_ALLOWED },
	{ "evil.example", 251, NOW, DNS_REFUSED, REPLY_EMPTY, DNS_EDE_NONE,
	  REASON_TYPE_NOT_ALLOWED },
	{ "bad.files.example", DNS_A, NOW, DNS_NXDOMAIN, REPLY_NEGATIVE, DNS_EDE_BLOCKED,
	  REASON_NAME_DENIED },
	{ "evil.example", DNS_A, NOW, DNS_NXDOMAIN, REPLY_NEGATIVE, DNS_EDE_BLOCKED,
	  REASON_NAME_NOT_ALLOWED },
	{ "evil.example", DNS_TXT, NOW, DNS_NXDOMAIN, REPLY_NEGATIVE, DNS_EDE_BLOCKED,
	  REASON_NAME_NOT_ALLOWED },
	{ "evil.example", DNS_ANY, NOW, DNS_NXDOMAIN, REPLY_NEGATIVE, DNS_EDE_BLOCKED,
	  REASON_NAME_NOT_ALLOWED },
	{ "evil.example", DNS_HTTPS, NOW, DNS_NXDOMAIN, REPLY_NEGATIVE, DNS_EDE_BLOCKED,
	  REASON_NAME_NOT_ALLOWED },
	{ "a.b.files.example", DNS_A, NOW, DNS_NXDOMAIN, REPLY_NEGATIVE, DNS_EDE_BLOCKED,
	  REASON_NAME_NOT_ALLOWED },
	{ "www.deep.example.evil.test", DNS_A, NOW, DNS_NXDOMAIN, REPLY_NEGATIVE, DNS_EDE_BLOCKED,
	  REASON_NAME_NOT_ALLOWED },
	{ "evil-www.deep.example", DNS_A, NOW, DNS_NXDOMAIN, REPLY_NEGATIVE, DNS_EDE_BLOCKED,
	  REASON_NAME_NOT_ALLOWED },
	{ "deep.example", DNS_A, NOW, DNS_NOERROR, REPLY_NEGATIVE, DNS_EDE_BLOCKED,
	  REASON_NAME_NOT_ALLOWED },
	{ "files.example", DNS_AAAA, NOW, DNS_NOERROR, REPLY_NEGATIVE, DNS_EDE_BLOCKED,
	  REASON_NAME_NOT_ALLOWED },
	{ "deep.example", DNS_SOA, NOW, DNS_NOERROR, REPLY_NEGATIVE, DNS_EDE_NONE, 0 },
	{ "example", DNS_NS, NOW, DNS_NOERROR, REPLY_NEGATIVE, DNS_EDE_NONE, 0 },
	{ "", DNS_NS, NOW, DNS_NOERROR, REPLY_NEGATIVE, DNS_EDE_NONE, 0 },
	{ "use-application-dns.net", DNS_A, NOW, DNS_NXDOMAIN, REPLY_NEGATIVE, DNS_EDE_NONE, 0 },
	{ "mask-h2.icloud.com", DNS_A, NOW, DNS_NXDOMAIN, REPLY_NEGATIVE, DNS_EDE_NONE, 0 },
	{ "_dns.resolver.arpa", DNS_SVCB, NOW, DNS_NOERROR, REPLY_NEGATIVE, DNS_EDE_NONE, 0 },
	{ "xresolver.arpa", DNS_SVCB, NOW, DNS_NXDOMAIN, REPLY_NEGATIVE, DNS_EDE_BLOCKED,
	  REASON_NAME_NOT_ALLOWED },
	{ "localhost", DNS_A, NOW, DNS_NOERROR, REPLY_ADDRESS, DNS_EDE_NONE, 0 },
	{ "a.localhost", DNS_AAAA, NOW, DNS_NOERROR, REPLY_ADDRESS, DNS_EDE_NONE, 0 },
	{ "cordon.internal", DNS_A, INTERNAL, DNS_NOERROR, REPLY_NEGATIVE, DNS_EDE_NONE, 0 },
	{ "cordon.internal", DNS_AAAA, INTERNAL, DNS_NOERROR, REPLY_NEGATIVE, DNS_EDE_NONE, 0 },
	{ "cordon.internal", DNS_HTTPS, NOW, DNS_NOERROR, REPLY_NEGATIVE, DNS_EDE_NONE, 0 },
	{ "internal", DNS_A, NOW, DNS_NOERROR, REPLY_NEGATIVE, DNS_EDE_NONE, 0 },
	{ "a.cordon.internal", DNS_A, NOW, DNS_NXDOMAIN, REPLY_NEGATIVE, DNS_EDE_BLOCKED,
	  REASON_NAME_NOT_ALLOWED },
	{ "printer.local", DNS_A, NOW, DNS_NXDOMAIN, REPLY_NEGATIVE, DNS_EDE_BLOCKED,
	  REASON_NAME_NOT_ALLOWED },
	{ "1.1.18.198.in-addr.arpa", DNS_PTR, REVERSE, DNS_NXDOMAIN, REPLY_NEGATIVE,
	  DNS_EDE_BLOCKED, REASON_NAME_NOT_ALLOWED },
	{ "1.18.198.in-addr.arpa", DNS_PTR, NOW, DNS_NXDOMAIN, REPLY_NEGATIVE, DNS_EDE_BLOCKED,
	  REASON_NAME_NOT_ALLOWED },
	{ "*.files.example", DNS_A, NOW, DNS_NXDOMAIN, REPLY_NEGATIVE, DNS_EDE_BLOCKED,
	  REASON_NAME_NOT_ALLOWED },
	{ "10.0.0.1", DNS_A, NOW, DNS_NXDOMAIN, REPLY_NEGATIVE, DNS_EDE_BLOCKED,
	  REASON_NAME_NOT_ALLOWED },
};

static size_t wire_question(const char *name, uint16_t qtype, uint8_t *out)
{
	uint8_t ask[DNS_ASK_MAX];
	size_t n = message_ask(name, qtype, 7, ask);

	memcpy(out, ask, n);
	return n;
}

TEST(table)
{
	AUTO(policy) struct policy *p = fixture_policy(profile);

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct name_decision d = { 0 };
		struct answer a = { 0 };
		uint8_t wire[DNS_ASK_MAX];
		struct query q;
		size_t n = wire_question(cases[i].name, cases[i].qtype, wire);
		int next;

		CHECK_EQ(cases[i].name, message_query(rd_of(wire, n), &q), QUERY_OK);
		next = answer_decide(p, &q, &d, &a);
		CHECK_EQ(cases[i].name, next, cases[i].next);
		if (next == RESOLVE) {
			CHECK(cases[i].name, d.allowed);
			continue;
		}
		CHECK_EQ(cases[i].name, a.reply.rcode, cases[i].rcode);
		CHECK_EQ(cases[i].name, a.reply.kind, cases[i].kind);
		CHECK_EQ(cases[i].name, a.reply.ede, cases[i].ede);
		CHECK_EQ(cases[i].name, a.reason, cases[i].reason);
		CHECK(cases[i].name, a.reason == REASON_NONE || a.rule);
	}
}

TEST(every_reason_has_an_answer_that_gives_nothing)
{
	for (int r = 0; r < REASON_COUNT; r++) {
		struct answer a;

		answer_refuse((enum reason)r, "rule", &a);
		CHECK(reason_text((enum reason)r),
		      a.reply.kind == REPLY_EMPTY || a.reply.kind == REPLY_NEGATIVE);
		CHECK(reason_text((enum reason)r), a.reply.rcode || r == REASON_TYPE_NOT_ALLOWED);
	}
}

static const struct { const char *name, *want;
} reverses[] = {
	{ "4.3.2.1.in-addr.arpa", "1.2.3.4" },
	{ "0.255.18.198.in-addr.arpa", "198.18.255.0" },
	{ "1.0.1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.f.6.4.6.2.7.f.6.3.6.d.f.ip6.arpa",
	  "fd63:6f72:646f::101" },
	{ "256.3.2.1.in-addr.arpa", NULL },
	{ "04.3.2.1.in-addr.arpa", NULL },
	{ "a.3.2.1.in-addr.arpa", NULL },
	{ "3.2.1.in-addr.arpa", NULL },
	{ "5.4.3.2.1.in-addr.arpa", NULL },
	{ "4.3.2.1.in-addr.arpa.evil.example", NULL },
	{ "4.3.2.1.ip6.arpa", NULL },
	{ "in-addr.arpa", NULL },
	{ "1.0.1.0.ip6.arpa", NULL },
	{ "g.0.1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.f.6.4.6.2.7.f.6.3.6.d.f.ip6.arpa", NULL },
	{ "10.0.1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.f.6.4.6.2.7.f.6.3.6.d.f.ip6.arpa", NULL },
	{ "", NULL },
};

TEST(reverse_names)
{
	for (size_t i = 0; i < ARRAY_SIZE(reverses); i++) {
		char text[ADDR_TEXT_MAX] = "";
		struct addr a;
		bool ok = answer_reverse_addr(reverses[i].name, &a);

		CHECK_EQ(reverses[i].name, ok, reverses[i].want != NULL);
		if (ok && reverses[i].want) {
			addr_format(&a, text);
			CHECK_STR(reverses[i].name, text, reverses[i].want);
		}
	}
}
