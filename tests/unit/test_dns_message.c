/*
 * test_dns_message.c - questions that lie, and the answers we build (threats A3, A12)
 */
#include "tests/unit/check.h"

#include "dns/message.h"

#define HEAD(flags, qd, an, ns, ar) "\x12\x34" flags qd an ns ar
#define ONE "\0\1"
#define NONE "\0\0"
#define QUERY HEAD("\1\0", ONE, NONE, NONE, NONE)
#define QUERY_OPT HEAD("\1\0", ONE, NONE, NONE, ONE)
#define NAME "\3www\7example\0"
#define IN_A "\0\1\0\1"
#define OPT(size, ttl, rdlen) "\0" "\0\x29" size ttl rdlen
#define OPT_PLAIN OPT("\x04\xd0", "\0\0\0\0", "\0\0")

#define L63 "\x3f" "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define L61 "\x3d" "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
#define L62 "\x3e" "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
#define NAME_255 L63 L63 L63 L61 "\0"
#define NAME_256 L63 L63 L63 L62 "\0"

static const struct {
	const char *what, *wire;
	size_t n;
	enum query_verdict want;
	uint16_t rcode;
	bool canonical;
} questions[] = {
	{ "plain", W(QUERY NAME IN_A), QUERY_OK, 0, true },
	{ "upper case", W(QUERY "\3WwW\7eXample\0" IN_A), QUERY_OK, 0, true },
	{ "with OPT", W(QUERY_OPT NAME IN_A OPT_PLAIN), QUERY_OK, 0, true },
	{ "OPT with an option",
	  W(QUERY_OPT NAME IN_A OPT("\2\0", "\0\0\x80\0", "\0\6") "\0\x0a\0\2ab"), QUERY_OK, 0,
	  true },
	{ "the root", W(QUERY "\0" IN_A), QUERY_OK, 0, false },
	{ "AD and CD set", W(HEAD("\1\x30", ONE, NONE, NONE, NONE) NAME IN_A), QUERY_OK, 0, true },
	{ "empty", W(""), QUERY_DROP, 0, false },
	{ "eleven bytes", W("\x12\x34\1\0\0\1\0\0\0\0\0"), QUERY_DROP, 0, false },
	{ "QR set", W(HEAD("\x81\0", ONE, NONE, NONE, NONE) NAME IN_A), QUERY_DROP, 0, false },
	{ "header only, QDCOUNT 0", W(HEAD("\1\0", NONE, NONE, NONE, NONE)), QUERY_ERROR,
	  DNS_FORMERR, false },
	{ "QDCOUNT 2", W(HEAD("\1\0", "\0\2", NONE, NONE, NONE) NAME IN_A NAME IN_A), QUERY_ERROR,
	  DNS_FORMERR, false },
	{ "QDCOUNT 65535", W(HEAD("\1\0", "\xff\xff", NONE, NONE, NONE) NAME IN_A), QUERY_ERROR,
	  DNS_FORMERR, false },
	{ "opcode IQUERY", W(HEAD("\x09\0", ONE, NONE, NONE, NONE) NAME IN_A), QUERY_ERROR,
	  DNS_NOTIMP, false },
	{ "opcode STATUS", W(HEAD("\x10\0", NONE, NONE, NONE, NONE)), QUERY_ERROR, DNS_NOTIMP,
	  false },
	{ "opcode NOTIFY", W(HEAD("\x20\0", ONE, NONE, NONE, NONE) NAME IN_A), QUERY_ERROR,
	  DNS_NOTIMP, false },
	{ "opcode UPDATE", W(HEAD("\x28\0", ONE, NONE, NONE, NONE) NAME IN_A), QUERY_ERROR,
	  DNS_NOTIMP, false },
	{ "class CH", W(QUERY NAME "\0\1\0\3"), QUERY_ERROR, DNS_REFUSED, false },
	{ "class ANY", W(QUERY NAME "\0\1\0\xff"), QUERY_ERROR, DNS_REFUSED, false },
	{ "class 0", W(QUERY NAME "\0\1\0\0"), QUERY_ERROR, DNS_REFUSED, false },
	{ "trailing byte", W(QUERY NAME IN_A "\0"), QUERY_ERROR, DNS_FORMERR, false },
	{ "trailing question", W(QUERY NAME IN_A NAME IN_A), QUERY_ERROR, DNS_FORMERR, false },
	{ "trailing byte after OPT", W(QUERY_OPT NAME IN_A OPT_PLAIN "x"), QUERY_ERROR, DNS_FORMERR,
	  false },
	{ "answer record in a question",
	  W(HEAD("\1\0", ONE, ONE, NONE, NONE) NAME IN_A NAME IN_A "\0\0\0\1\0\4abcd"), QUERY_ERROR,
	  DNS_FORMERR, false },
	{ "authority record in a question", W(HEAD("\1\0", ONE, NONE, ONE, NONE) NAME IN_A),
	  QUERY_ERROR, DNS_FORMERR, false },
	{ "pointer as the name", W(QUERY "\xc0\x0c" IN_A), QUERY_ERROR, DNS_FORMERR, false },
	{ "pointer after a label", W(QUERY "\3www\xc0\x0c" IN_A), QUERY_ERROR, DNS_FORMERR, false },
	{ "pointer to itself", W(QUERY "\xc0\x0c"), QUERY_ERROR, DNS_FORMERR, false },
	{ "extended label type 0x40", W(QUERY "\x41\1" IN_A), QUERY_ERROR, DNS_FORMERR, false },
	{ "reserved label type 0x80", W(QUERY "\x81\1" IN_A), QUERY_ERROR, DNS_FORMERR, false },
	{ "label beyond the end", W(QUERY "\x3fwww"), QUERY_ERROR, DNS_FORMERR, false },
	{ "name without end", W(QUERY "\3www"), QUERY_ERROR, DNS_FORMERR, false },
	{ "no name", W(QUERY), QUERY_ERROR, DNS_FORMERR, false },
	{ "type cut", W(QUERY NAME "\0"), QUERY_ERROR, DNS_FORMERR, false },
	{ "class cut", W(QUERY NAME "\0\1\0"), QUERY_ERROR, DNS_FORMERR, false },
	{ "label of 63", W(QUERY L63 "\7example\0" IN_A), QUERY_OK, 0, true },
	{ "name of 255", W(QUERY NAME_255 IN_A), QUERY_OK, 0, true },
	{ "name of 256", W(QUERY NAME_256 IN_A), QUERY_ERROR, DNS_FORMERR, false },
	{ "dot inside a label", W(QUERY "\x0bwww.example\0" IN_A), QUERY_ERROR, DNS_FORMERR,
	  false },
	{ "NUL inside a label", W(QUERY "\3w\0w\7example\0" IN_A), QUERY_ERROR, DNS_FORMERR,
	  false },
	{ "space inside a label", W(QUERY "\3w w\7example\0" IN_A), QUERY_OK, 0, false },
	{ "newline inside a label", W(QUERY "\3w\nw\7example\0" IN_A), QUERY_OK, 0, false },
	{ "star", W(QUERY "\1*\7example\0" IN_A), QUERY_OK, 0, false },
	{ "full-width digit", W(QUERY "\3\xef\xbc\x91\7example\0" IN_A), QUERY_OK, 0, false },
	{ "address as a name",
	  W(QUERY "\1"
		  "1\1"
		  "2\1"
		  "3\1"
		  "4\0" IN_A),
	  QUERY_OK, 0, false },
	{ "decimal address as a name",
	  W(QUERY "\x0a"
		  "2130706433\0" IN_A),
	  QUERY_OK, 0, false },
	{ "hexadecimal address as a name",
	  W(QUERY "\4"
		  "0x7f\1"
		  "1\0" IN_A),
	  QUERY_OK, 0, false },
	{ "octal address as a name",
	  W(QUERY "\4"
		  "0177\1"
		  "0\1"
		  "0\1"
		  "1\0" IN_A),
	  QUERY_OK, 0, false },
	{ "OPT not at the root", W(QUERY_OPT NAME IN_A "\1a" OPT_PLAIN), QUERY_ERROR, DNS_FORMERR,
	  false },
	{ "two OPT", W(HEAD("\1\0", ONE, NONE, NONE, "\0\2") NAME IN_A OPT_PLAIN OPT_PLAIN),
	  QUERY_ERROR, DNS_FORMERR, false },
	{ "OPT announced, absent", W(QUERY_OPT NAME IN_A), QUERY_ERROR, DNS_FORMERR, false },
	{ "OPT length lies", W(QUERY_OPT NAME IN_A OPT("\4\0", "\0\0\0\0", "\0\5") "abcd"),
	  QUERY_ERROR, DNS_FORMERR, false },
	{ "option length lies",
	  W(QUERY_OPT NAME IN_A OPT("\4\0", "\0\0\0\0", "\0\5") "\0\x0a\0\2a"), QUERY_ERROR,
	  DNS_FORMERR, false },
	{ "option head cut", W(QUERY_OPT NAME IN_A OPT("\4\0", "\0\0\0\0", "\0\3") "\0\x0a\0"),
	  QUERY_ERROR, DNS_FORMERR, false },
	{ "TSIG instead of OPT", W(QUERY_OPT NAME IN_A "\0\0\xfa\0\xff\0\0\0\0\0\0"), QUERY_ERROR,
	  DNS_FORMERR, false },
	{ "EDNS version 1", W(QUERY_OPT NAME IN_A OPT("\4\0", "\0\1\0\0", "\0\0")), QUERY_ERROR,
	  DNS_BADVERS, false },
};

TEST(questions)
{
	for (size_t i = 0; i < ARRAY_SIZE(questions); i++) {
		AUTO(mem) void *in = check_exact(questions[i].wire, questions[i].n);
		struct query q;
		enum query_verdict got = message_query(rd_of(in, questions[i].n), &q);

		CHECK_EQ(questions[i].what, got, questions[i].want);
		if (got == QUERY_ERROR)
			CHECK_EQ(questions[i].what, q.rcode, questions[i].rcode);
		if (got == QUERY_OK)
			CHECK_EQ(questions[i].what, q.canonical, questions[i].canonical);
		if (got != QUERY_OK && q.rcode != DNS_BADVERS)
			CHECK(questions[i].what, q.fault);
	}
}

TEST(question_fields)
{
	struct query q;

	CHECK_EQ("verdict",
		 message_query(rd_of(W(QUERY_OPT "\3WwW\7eXample\0"
						 "\0\x1c\0\1" OPT("\xff\xff", "\0\0\0\0", "\0\0"))),
			       &q),
		 QUERY_OK);
	CHECK_STR("lower case", q.name, "www.example");
	CHECK_EQ("type", q.qtype, DNS_AAAA);
	CHECK_EQ("size offered", q.udp_size, 65535);
	CHECK_EQ("size taken", message_udp_max(&q), DNS_UDP_MAX);
	CHECK("bytes repeated as they came",
	      rd_eq(rd_of(q.question, q.question_n), W("\3WwW\7eXample\0"
						       "\0\x1c\0\1")));
	CHECK_EQ("verdict",
		 message_query(rd_of(W(QUERY_OPT NAME IN_A OPT("\0\x01", "\0\0\0\0", "\0\0"))), &q),
		 QUERY_OK);
	CHECK_EQ("a size below 512 counts as 512", q.udp_size, DNS_UDP_MIN);
}

static size_t build(const char *wire, size_t n, const struct reply *r, size_t max,
		    uint8_t out[DNS_REPLY_MAX])
{
	struct query q;

	message_query(rd_of(wire, n), &q);
	return message_reply(&q, r, max, out);
}

#define SOA_TAIL "\6cordon\x08internal\0" "\x0ahostmaster\6cordon\x08internal\0" \
		 "\0\0\0\1" "\0\0\x0e\x10" "\0\0\2\x58" "\0\1\x51\x80" "\0\0\0\x0a"
#define SOA "\0" "\0\6\0\1\0\0\0\x0a\0\x41" SOA_TAIL

static const struct {
	const char *what, *query;
	size_t n;
	struct reply reply;
	const char *want;
	size_t want_n;
} replies[] = {
	{ "address",
	  W(QUERY NAME IN_A),
	  { .kind = REPLY_ADDRESS,
	    .ttl = 60,
	    .addr = { 4, { 198, 18, 1, 0 } },
	    .ede = DNS_EDE_NONE },
	  W(HEAD("\x85\x80", ONE, ONE, NONE, NONE) NAME IN_A
	    "\xc0\x0c\0\1\0\1\0\0\0\x3c\0\4\xc6\x12\1\0") },
	{ "no OPT unless asked with OPT",
	  W(QUERY NAME IN_A),
	  { .rcode = DNS_NXDOMAIN,
	    .kind = REPLY_NEGATIVE,
	    .ttl = 10,
	    .ede = DNS_EDE_BLOCKED,
	    .ede_text = "x" },
	  W(HEAD("\x85\x83", ONE, NONE, ONE, NONE) NAME IN_A SOA) },
	{ "NXDOMAIN with SOA and EDE",
	  W(QUERY_OPT NAME IN_A OPT_PLAIN),
	  { .rcode = DNS_NXDOMAIN,
	    .kind = REPLY_NEGATIVE,
	    .ttl = 10,
	    .ede = DNS_EDE_BLOCKED,
	    .ede_text = "abc" },
	  W(HEAD("\x85\x83", ONE, NONE, ONE, ONE)
		    NAME IN_A SOA OPT("\x04\xd0", "\0\0\0\0", "\0\x09") "\0\x0f\0\5\0\x0f"
									"abc") },
	{ "BADVERS is an extended code",
	  W(QUERY_OPT NAME IN_A OPT("\4\0", "\0\1\0\0", "\0\0")),
	  { .rcode = DNS_BADVERS, .kind = REPLY_EMPTY, .ede = DNS_EDE_NONE },
	  W(HEAD("\x81\x80", ONE, NONE, NONE, ONE) NAME IN_A OPT("\x04\xd0", "\1\0\0\0", "\0\0")) },
	{ "FORMERR without a question",
	  W(HEAD("\1\0", NONE, NONE, NONE, NONE)),
	  { .rcode = DNS_FORMERR, .kind = REPLY_EMPTY, .ede = DNS_EDE_NONE },
	  W(HEAD("\x81\x81", NONE, NONE, NONE, NONE)) },
	{ "opcode, RD and CD are repeated",
	  W(HEAD("\x29\x30", NONE, NONE, NONE, NONE)),
	  { .rcode = DNS_NOTIMP, .kind = REPLY_EMPTY, .ede = DNS_EDE_NONE },
	  W(HEAD("\xa9\x94", NONE, NONE, NONE, NONE)) },
	{ "PTR",
	  W(QUERY NAME "\0\x0c\0\1"),
	  { .kind = REPLY_PTR, .ttl = 1, .target = "a.bc", .ede = DNS_EDE_NONE },
	  W(HEAD("\x85\x80", ONE, ONE, NONE, NONE) NAME
	    "\0\x0c\0\1"
	    "\xc0\x0c\0\x0c\0\1\0\0\0\1\0\6\1a\2bc\0") },
	{ "ANY is HINFO",
	  W(QUERY NAME "\0\xff\0\1"),
	  { .kind = REPLY_HINFO, .ttl = 1, .ede = DNS_EDE_NONE },
	  W(HEAD("\x85\x80", ONE, ONE, NONE, NONE) NAME
	    "\0\xff\0\1"
	    "\xc0\x0c\0\x0d\0\1\0\0\0\1\0\x09\7RFC8482\0") },
};

TEST(replies)
{
	for (size_t i = 0; i < ARRAY_SIZE(replies); i++) {
		uint8_t out[DNS_REPLY_MAX];
		size_t n = build(replies[i].query, replies[i].n, &replies[i].reply, DNS_REPLY_MAX,
				 out);

		CHECK_EQ(replies[i].what, n, replies[i].want_n);
		CHECK(replies[i].what, n == replies[i].want_n && !memcmp(out, replies[i].want, n));
	}
}

TEST(truncation)
{
	struct reply r = { .rcode = DNS_NXDOMAIN,
			   .kind = REPLY_NEGATIVE,
			   .ttl = 10,
			   .ede = DNS_EDE_BLOCKED,
			   .ede_text = "abc" };
	uint8_t out[DNS_REPLY_MAX];
	size_t whole = build(W(QUERY_OPT NAME IN_A OPT_PLAIN), &r, DNS_REPLY_MAX, out), n;

	CHECK_EQ("it fits exactly", build(W(QUERY_OPT NAME IN_A OPT_PLAIN), &r, whole, out), whole);
	CHECK_EQ("TC is clear", out[2] & 2, 0);
	n = build(W(QUERY_OPT NAME IN_A OPT_PLAIN), &r, whole - 1, out);
	CHECK_EQ("one byte less: question and OPT only", n, DNS_HEADER + sizeof(NAME) - 1 + 4 + 11);
	CHECK_EQ("TC is set", out[2] & 2, 2);
	CHECK_EQ("and no record is announced", out[9], 0);
	CHECK_EQ("nothing fits", build(W(QUERY_OPT NAME IN_A OPT_PLAIN), &r, DNS_HEADER, out), 0);
}

TEST(ask)
{
	uint8_t out[DNS_ASK_MAX];
	size_t n = message_ask("www.example", DNS_AAAA, 0x1234, out);
	static const char want[] = HEAD("\1\0", ONE, NONE, NONE, ONE) NAME "\0\x1c\0\1" OPT_PLAIN;

	CHECK_EQ("length", n, sizeof(want) - 1);
	CHECK("bytes", n == sizeof(want) - 1 && !memcmp(out, want, n));
	CHECK_EQ("empty label", message_ask("a..b", DNS_A, 0, out), 0);
	CHECK_EQ("long label",
		 message_ask("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
			     DNS_A, 0, out),
		 0);
}
