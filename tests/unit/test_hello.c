/*
 * test_hello.c - what a ClientHello may claim, and what becomes of it (threats B9, B10, B11)
 */
#include "tests/unit/check.h"

#include "netd/inspect/hello.h"
#include "tests/unit/make_hello.h"

#define ECH "\xfe\x0d" "\0\1" "\0"
#define GREASE "\x1a\x1a" "\0\0"

static const struct {
	const char *what, *extensions;
	size_t n;
	enum parse parse;
	enum reason reason;
} cases[] = {
	{ "the right name", W(GOOD_SNI), PARSE_OK, REASON_NONE },
	{ "upper case", W(SNI12("PyPI.EXAMPLE")), PARSE_OK, REASON_NONE },
	{ "one trailing dot", W(SNI13("pypi.example.")), PARSE_OK, REASON_NONE },
	{ "among others", W(GREASE GOOD_SNI "\0\x2b" "\0\3" "\2\3\4"), PARSE_OK, REASON_NONE },
	{ "two trailing dots", W(SNI("\x13", "\x11", "\0", "\xe", "pypi.example..")), PARSE_OK,
	  REASON_HELLO_MALFORMED },
	{ "another name", W(EVIL_SNI), PARSE_OK, REASON_SNI_MISMATCH },
	{ "a longer name", W(SNI13("pypi.examplee")), PARSE_OK, REASON_SNI_MISMATCH },
	{ "a shorter name", W(SNI("\x10", "\xe", "\0", "\xb", "pypi.exampl")), PARSE_OK, REASON_SNI_MISMATCH },
	{ "the right name, then NUL and more", W(SNI("\x17", "\x15", "\0", "\x12", "pypi.example\0evil.")),
	  PARSE_OK, REASON_HELLO_MALFORMED },
	{ "a leading dot", W(SNI13(".pypi.example")), PARSE_OK, REASON_HELLO_MALFORMED },
	{ "an IPv4 literal", W(SNI("\xe", "\xc", "\0", "\x9", "192.0.2.1")), PARSE_OK, REASON_HELLO_MALFORMED },
	{ "a hexadecimal literal", W(SNI("\xf", "\xd", "\0", "\xa", "0xC0000201")), PARSE_OK,
	  REASON_HELLO_MALFORMED },
	{ "an IPv6 literal", W(SNI("\x8", "\x6", "\0", "\x3", "::1")), PARSE_OK, REASON_HELLO_MALFORMED },
	{ "only a dot", W(SNI("\x6", "\x4", "\0", "\x1", ".")), PARSE_OK, REASON_HELLO_MALFORMED },
	{ "bytes above ASCII", W(SNI12("pypi.exampl\xe9")), PARSE_OK, REASON_HELLO_MALFORMED },
	{ "a space", W(SNI12("pypi.exampl ")), PARSE_OK, REASON_HELLO_MALFORMED },
	{ "no extension at all", W(""), PARSE_OK, REASON_SNI_MISSING },
	{ "no server_name", W(GREASE), PARSE_OK, REASON_SNI_MISSING },
	{ "an empty server_name", W("\0\0" "\0\0"), PARSE_BAD, 0 },
	{ "an empty list", W("\0\0" "\0\2" "\0\0"), PARSE_BAD, 0 },
	{ "an empty name", W("\0\0" "\0\5" "\0\3" "\0" "\0\0"), PARSE_BAD, 0 },
	{ "two extensions, good first", W(GOOD_SNI EVIL_SNI), PARSE_BAD, 0 },
	{ "two extensions, good last", W(EVIL_SNI GOOD_SNI), PARSE_BAD, 0 },
	{ "two extensions, both good", W(GOOD_SNI GOOD_SNI), PARSE_BAD, 0 },
	{ "two names in one list",
	  W("\0\0" "\0\x20" "\0\x1e" "\0" "\0\xc" GOOD_NAME "\0" "\0\xc" EVIL_NAME), PARSE_BAD, 0 },
	{ "a name of another type", W(SNI("\x11", "\xf", "\1", "\xc", GOOD_NAME)), PARSE_BAD, 0 },
	{ "the name is shorter than it says", W(SNI("\x11", "\xf", "\0", "\xd", GOOD_NAME)), PARSE_BAD, 0 },
	{ "the name is longer than it says", W(SNI("\x11", "\xf", "\0", "\xb", GOOD_NAME)), PARSE_BAD, 0 },
	{ "the list ends before the extension", W(SNI("\x11", "\xe", "\0", "\xb", GOOD_NAME)), PARSE_BAD, 0 },
	{ "the list is longer than the extension", W(SNI("\x11", "\x10", "\0", "\xd", GOOD_NAME)), PARSE_BAD, 0 },
	{ "the extension is longer than the block", W(SNI("\x12", "\xf", "\0", "\xc", GOOD_NAME)), PARSE_BAD, 0 },
	{ "half an extension header", W(GOOD_SNI "\0\x2b\0"), PARSE_BAD, 0 },
	{ "ECH and the right name", W(GOOD_SNI ECH), PARSE_OK, REASON_ECH_NOT_ALLOWED },
	{ "ECH first", W(ECH GOOD_SNI), PARSE_OK, REASON_ECH_NOT_ALLOWED },
	{ "ECH without a name", W(ECH), PARSE_OK, REASON_ECH_NOT_ALLOWED },
	{ "the ESNI draft", W(GOOD_SNI "\xff\xce" "\0\0"), PARSE_OK, REASON_ECH_NOT_ALLOWED },
};

TEST(extensions)
{
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		uint8_t body[512];
		struct wr w = wr_of(body, sizeof(body));
		struct hello h = { 0 };

		make_body(&w, cases[i].extensions, cases[i].n);
		AUTO(mem) void *in = check_exact(body, w.n);

		CHECK_EQ(cases[i].what, hello_parse(rd_of(in, w.n), &h), cases[i].parse);
		if (cases[i].parse == PARSE_OK)
			CHECK_EQ(cases[i].what, hello_check(&h, GOOD_NAME), cases[i].reason);
	}
}

/* Every prefix of a good hello is refused, but for the one that ends before its extensions. */
TEST(every_cut)
{
	uint8_t body[512];
	struct wr w = wr_of(body, sizeof(body));
	const size_t bare = 2 + 32 + 1 + 4 + 2;
	struct hello h;

	make_body(&w, W(GREASE GOOD_SNI));
	for (size_t n = 0; n < w.n; n++) {
		AUTO(mem) void *in = check_exact(body, n);

		h = (struct hello){ 0 };
		CHECK_EQ("cut", hello_parse(rd_of(in, n), &h), n == bare ? PARSE_OK : PARSE_BAD);
		CHECK_EQ("no name", h.has_name, false);
	}
}

/* What can be known early is, and nothing else. */
TEST(peek_at_every_cut)
{
	uint8_t body[512];
	struct wr w = wr_of(body, sizeof(body));
	const size_t named = 43 + sizeof(GREASE) - 1 + sizeof(EVIL_SNI) - 1;

	make_body(&w, W(GREASE EVIL_SNI "\0\x2b" "\0\3" "\2\3\4"));
	for (size_t n = 0; n <= w.n; n++) {
		AUTO(mem) void *in = check_exact(body, n);
		struct hello h = { 0 };

		CHECK_EQ("nothing wrong", hello_peek(rd_of(in, n), &h), PARSE_OK);
		CHECK_EQ("its name", h.has_name, n >= named);
		CHECK("the whole name", !h.has_name || rd_eq_str(h.name, EVIL_NAME));
	}
	w.n = 0;
	make_body(&w, W(GOOD_SNI EVIL_SNI GREASE));
	struct hello h;

	CHECK_EQ("twice", hello_peek(rd_of(body, w.n - 1), &h), PARSE_BAD);
}

static const struct {
	const char *what;
	size_t at;
	uint8_t byte;
} spoiled[] = {
	{ "SSL 2 as version", 0, 2 },
	{ "a session id of 33 bytes", 34, 33 },
	{ "an odd cipher list", 36, 3 },
	{ "no cipher", 36, 0 },
	{ "no compression", 39, 0 },
	{ "extensions shorter than the rest", 42, 20 },
	{ "extensions longer than the rest", 42, 22 },
};

TEST(fixed_part)
{
	for (size_t i = 0; i < ARRAY_SIZE(spoiled); i++) {
		uint8_t body[512];
		struct wr w = wr_of(body, sizeof(body));
		struct hello h;

		make_body(&w, W(GOOD_SNI));
		body[spoiled[i].at] = spoiled[i].byte;
		AUTO(mem) void *in = check_exact(body, w.n);

		CHECK_EQ(spoiled[i].what, hello_parse(rd_of(in, w.n), &h), PARSE_BAD);
	}
}

TEST(name_lengths)
{
	char name[HELLO_NAME_MAX], sent[300];

	memset(sent, 'a', sizeof(sent));
	CHECK_EQ("label of 63", hello_name(rd_of(sent, 63), name), PARSE_OK);
	CHECK_EQ("label of 64", hello_name(rd_of(sent, 64), name), PARSE_BAD);
	CHECK_STR("nothing left", name, "");
	for (size_t i = 50; i < sizeof(sent); i += 50)
		sent[i] = '.';
	CHECK_EQ("253 bytes", hello_name(rd_of(sent, 253), name), PARSE_OK);
	CHECK_EQ("length", strlen(name), 253);
	CHECK_EQ("254 bytes", hello_name(rd_of(sent, 254), name), PARSE_BAD);
	CHECK_EQ("nothing", hello_name(rd_of(sent, 0), name), PARSE_BAD);
}
