/*
 * test_pkt.c - pkt-lines, read and written
 */
#include "gitproxy/pkt.h"

#include "tests/unit/check.h"

static const struct {
	const char *what, *wire;
	size_t n;
	enum parse want;
	enum pkt_type type;
	const char *text;
	size_t rest;
} reads[] = {
	{ "flush", W("0000"), PARSE_OK, PKT_FLUSH, "", 0 },
	{ "delimiter", W("0001"), PARSE_OK, PKT_DELIM, "", 0 },
	{ "end of the response", W("0002"), PARSE_OK, PKT_RESPONSE_END, "", 0 },
	{ "three is no length", W("0003"), PARSE_BAD, 0, NULL, 0 },
	{ "an empty line", W("0004"), PARSE_OK, PKT_DATA, "", 0 },
	{ "an empty line and a flush", W("00040000"), PARSE_OK, PKT_DATA, "", 4 },
	{ "text", W("0006a\n"), PARSE_OK, PKT_DATA, "a", 0 },
	{ "text without a line feed", W("0005a"), PARSE_OK, PKT_DATA, "a", 0 },
	{ "one line feed of two", W("0007a\n\n"), PARSE_OK, PKT_DATA, "a\n", 0 },
	{ "only a line feed", W("0005\n"), PARSE_OK, PKT_DATA, "", 0 },
	{ "large digits", W("000Aabcdef"), PARSE_OK, PKT_DATA, "abcdef", 0 },
	{ "small digits", W("000aabcdef0000"), PARSE_OK, PKT_DATA, "abcdef", 4 },
	{ "nothing", W(""), PARSE_MORE, 0, NULL, 0 },
	{ "cut in its length", W("000"), PARSE_MORE, 0, NULL, 0 },
	{ "length lies", W("0006a"), PARSE_MORE, 0, NULL, 0 },
	{ "not a digit", W("000g"), PARSE_BAD, 0, NULL, 0 },
	{ "a sign", W("+005a"), PARSE_BAD, 0, NULL, 0 },
	{ "a space", W(" 005a"), PARSE_BAD, 0, NULL, 0 },
	{ "0x", W("0x05a"), PARSE_BAD, 0, NULL, 0 },
	{ "a NUL", W("00\0" "5a"), PARSE_BAD, 0, NULL, 0 },
	{ "the longest, not all there", W("fff0a"), PARSE_MORE, 0, NULL, 0 },
	{ "longer than the longest", W("fff1a"), PARSE_BAD, 0, NULL, 0 },
	{ "the highest number", W("ffffa"), PARSE_BAD, 0, NULL, 0 },
};

TEST(read)
{
	for (size_t i = 0; i < ARRAY_SIZE(reads); i++) {
		AUTO(mem) void *p = check_exact(reads[i].wire, reads[i].n);
		struct rd in = rd_of(p, reads[i].n);
		struct pkt pkt = { 0 };
		enum parse r = pkt_read(&in, &pkt);

		CHECK_EQ(reads[i].what, r, reads[i].want);
		CHECK_EQ(reads[i].what, in.n, r == PARSE_OK ? reads[i].rest : reads[i].n);
		if (r != PARSE_OK)
			continue;
		CHECK_EQ(reads[i].what, pkt.type, reads[i].type);
		CHECK(reads[i].what, rd_eq_str(pkt_text(&pkt), reads[i].text));
	}
}

TEST(the_longest)
{
	static uint8_t buf[PKT_MAX], data[PKT_DATA_MAX + 1];
	struct wr w = wr_of(buf, sizeof(buf));
	struct rd in;
	struct pkt pkt;

	memset(data, 'x', sizeof(data));
	CHECK("written", pkt_write(&w, rd_of(data, PKT_DATA_MAX)));
	in = wr_rd(&w);
	CHECK_EQ("read", pkt_read(&in, &pkt), PARSE_OK);
	CHECK_EQ("whole", pkt.data.n, PKT_DATA_MAX);
	w = wr_of(buf, sizeof(buf));
	CHECK("one more", !pkt_write(&w, rd_of(data, PKT_DATA_MAX + 1)) && !wr_ok(&w));
}

TEST(write)
{
	uint8_t buf[32], three[3];
	struct wr w = wr_of(buf, sizeof(buf)), small = wr_of(three, sizeof(three));

	CHECK("line", pkt_line(&w, "want %d", 7));
	CHECK("delimiter", pkt_delim(&w));
	CHECK("empty", pkt_write(&w, rd_str("")));
	CHECK("flush", pkt_flush(&w));
	CHECK("bytes", rd_eq_str(wr_rd(&w), "000bwant 7\n000100040000"));
	CHECK("no room for a head", !pkt_flush(&small) && !wr_ok(&small));
	w = wr_of(buf, 5);
	CHECK("no room for data", !pkt_line(&w, "a") && !wr_ok(&w));
	w = wr_of(buf, sizeof(buf));
	CHECK("a failed reader", !pkt_write(&w, (struct rd){ .failed = true }) && !wr_ok(&w));
}
