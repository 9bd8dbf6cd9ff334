/*
 * test_push_request.c - what clients push, and what they would like to
 */
#include "gitproxy/mirror/push_request.h"

#include "tests/unit/check.h"
#include "tests/unit/make_pkts.h"

#define ZERO "0000000000000000000000000000000000000000"
#define CREATE ZERO " " SHA1_A " refs/heads/a"
#define UPDATE SHA1_B " " SHA1_A " refs/heads/b"
#define DELETE SHA1_B " " ZERO " refs/heads/c"
#define BAND "report-status side-band-64k"

/* In pieces of `step` bytes. */
static enum parse feed(struct push_request *q, const uint8_t *p, size_t n, size_t step, size_t *ret_pack)
{
	enum parse r = PARSE_MORE;

	*ret_pack = 0;
	for (size_t at = 0; at < n && r != PARSE_BAD; at += step) {
		size_t part = n - at < step ? n - at : step;
		AUTO(mem) void *in = check_exact(p + at, part);
		struct rd pack;

		r = push_request_next(q, rd_of(in, part), &pack);
		*ret_pack += pack.n;
	}
	return r == PARSE_BAD ? r : push_request_end(q);
}

static const struct {
	const char *what, *text;
	enum parse want;
	enum reason reason;
	size_t commands, options, pack;
} cases[] = {
	{ "a probe", "0000", PARSE_OK, 0, 0, 0, 0 },
	{ "one", UPDATE "@ " BAND " agent=git/2.39|0000|!PACKx", PARSE_OK, 0, 1, 0, 5 },
	{ "no blank before the first", UPDATE "@" BAND "|0000|!PACK", PARSE_OK, 0, 1, 0, 4 },
	{ "no capabilities", UPDATE "|0000|!PACK", PARSE_OK, 0, 1, 0, 4 },
	{ "no line feeds", "!0064" UPDATE "@ |0000|!PACK", PARSE_OK, 0, 1, 0, 4 },
	{ "three", CREATE "@ " BAND " atomic quiet|" UPDATE "|" DELETE "|0000|!PACK", PARSE_OK, 0, 3, 0, 4 },
	{ "the pack looks like commands", UPDATE "@|0000|" CREATE, PARSE_OK, 0, 1, 0, 4 + sizeof(CREATE) },
	{ "PACK in an option", UPDATE "@push-options|0000|PACK|0000|!pack", PARSE_OK, 0, 1, 1, 4 },
	{ "options", UPDATE "@push-options|0000|a|b=c|!0004|0000|!PACK", PARSE_OK, 0, 1, 3, 4 },
	{ "options, none", UPDATE "@push-options|0000|0000|!PACK", PARSE_OK, 0, 1, 0, 4 },
	{ "options that were not asked for are the pack", UPDATE "@|0000|a|0000|!PACK", PARSE_OK, 0, 1, 0, 14 },
	{ "deletions alone", DELETE "@ " BAND "|0000", PARSE_OK, 0, 1, 0, 0 },
	{ "HEAD, which the policy refuses", ZERO " " SHA1_A " HEAD@|0000|!PACK", PARSE_OK, 0, 1, 0, 4 },
	{ "an unknown capability", UPDATE "@" BAND " teleport|0000|!PACK", PARSE_OK, REASON_CAPABILITY_NOT_ALLOWED, 1, 0, 4 },
	{ "version 2 of the report", UPDATE "@report-status-v2|0000|!PACK", PARSE_OK, REASON_CAPABILITY_NOT_ALLOWED, 1, 0, 4 },
	{ "a hash that nobody has", UPDATE "@object-format=md5|0000|!PACK", PARSE_OK, REASON_CAPABILITY_NOT_ALLOWED, 1, 0, 4 },
	{ "a shallow clone", "shallow " SHA1_C "|" UPDATE "@" BAND "|0000|!PACK", PARSE_OK, 0, 1, 0, 4 },
	{ "a shallow line of no id", "shallow aaaa|" UPDATE "@" BAND "|0000|!PACK", PARSE_BAD, REASON_REQUEST_MALFORMED, 0, 0, 0 },
	{ "a deletion and a pack", DELETE "@|0000|!PACK", PARSE_BAD, REASON_REQUEST_MALFORMED, 1, 0, 0 },
	{ "no pack", UPDATE "@|0000", PARSE_BAD, REASON_REQUEST_MALFORMED, 1, 0, 0 },
	{ "no options", UPDATE "@push-options|0000", PARSE_BAD, REASON_REQUEST_MALFORMED, 1, 0, 0 },
	{ "no flush", UPDATE "@", PARSE_BAD, REASON_REQUEST_MALFORMED, 1, 0, 0 },
	{ "nothing", "", PARSE_BAD, REASON_REQUEST_MALFORMED, 0, 0, 0 },
	{ "two flushes", "0000|0000", PARSE_BAD, REASON_REQUEST_MALFORMED, 0, 0, 0 },
	{ "a flush and a push", "0000|" UPDATE "@|0000|!PACK", PARSE_BAD, REASON_REQUEST_MALFORMED, 0, 0, 0 },
	{ "half a packet", "!00", PARSE_BAD, REASON_REQUEST_MALFORMED, 0, 0, 0 },
	{ "a signed push", "push-cert@" BAND "|certificate version 0.1|0000", PARSE_BAD, REASON_REQUEST_MALFORMED, 0, 0, 0 },
	{ "a delimiter", UPDATE "@|0001|0000|!PACK", PARSE_BAD, REASON_REQUEST_MALFORMED, 1, 0, 0 },
	{ "an end of answer", UPDATE "@|0002|0000|!PACK", PARSE_BAD, REASON_REQUEST_MALFORMED, 1, 0, 0 },
	{ "capabilities on the second line", UPDATE "@|" CREATE "@atomic|0000|!PACK", PARSE_BAD, REASON_REQUEST_MALFORMED, 1, 0, 0 },
	{ "not hexadecimal", "!00zz", PARSE_BAD, REASON_REQUEST_MALFORMED, 0, 0, 0 },
	{ "a head of three", "!0003", PARSE_BAD, REASON_REQUEST_MALFORMED, 0, 0, 0 },
	{ "an empty line", "!0004|" UPDATE "@|0000|!PACK", PARSE_BAD, REASON_REQUEST_MALFORMED, 0, 0, 0 },
	{ "longer than a packet may be", "!fff1", PARSE_BAD, REASON_REQUEST_MALFORMED, 0, 0, 0 },
	{ "a short id", ZERO " aaaa refs/heads/a@|0000|!PACK", PARSE_BAD, REASON_REQUEST_MALFORMED, 0, 0, 0 },
	{ "an id of the other format", ZERO " " SHA256_A " refs/heads/a@|0000|!PACK", PARSE_BAD, REASON_REQUEST_MALFORMED, 0, 0, 0 },
	{ "from nothing to nothing", ZERO " " ZERO " refs/heads/a@|0000", PARSE_BAD, REASON_REQUEST_MALFORMED, 0, 0, 0 },
	{ "a name that climbs", ZERO " " SHA1_A " refs/heads/../a@|0000|!PACK", PARSE_BAD, REASON_REQUEST_MALFORMED, 0, 0, 0 },
	{ "two slashes", ZERO " " SHA1_A " refs//heads/main@|0000|!PACK", PARSE_BAD, REASON_REQUEST_MALFORMED, 0, 0, 0 },
	{ "no name", ZERO " " SHA1_A " @|0000|!PACK", PARSE_BAD, REASON_REQUEST_MALFORMED, 0, 0, 0 },
	{ "one reference twice", CREATE "@|" UPDATE "|" CREATE "|0000|!PACK", PARSE_BAD, REASON_REQUEST_MALFORMED, 3, 0, 0 },
	{ "a shallow line behind a command", UPDATE "@|shallow " SHA1_C "|0000|!PACK", PARSE_BAD, REASON_REQUEST_MALFORMED, 1, 0, 0 },
	{ "shallow and no commands", "shallow " SHA1_C "|0000", PARSE_BAD, REASON_REQUEST_MALFORMED, 0, 0, 0 },
	{ "a control character in an option", UPDATE "@push-options|0000|a\x1b|0000|!PACK", PARSE_BAD, REASON_REQUEST_MALFORMED, 1, 0, 0 },
};

TEST(requests)
{
	static uint8_t buf[1 << 16];

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		for (size_t step = 1; step < 1 << 16; step = step * 7 + 1) {
			AUTO(push_request) struct push_request *q = NULL;
			size_t n = make_pkts_nul(cases[i].text, buf, sizeof(buf)), pack;

			CHECK_EQ("new", push_request_new(&q), 0);
			CHECK_EQ(cases[i].what, feed(q, buf, n, step, &pack), cases[i].want);
			CHECK_EQ(cases[i].what, q->reason, cases[i].reason);
			CHECK_EQ(cases[i].what, q->list->n_commands, cases[i].commands);
			CHECK_EQ(cases[i].what, q->list->n_options, cases[i].options);
			CHECK_EQ(cases[i].what, (q->reason != REASON_NONE) == (q->why[0] != 0), true);
			if (cases[i].want == PARSE_OK)
				CHECK_EQ(cases[i].what, pack, cases[i].pack);
		}
}

TEST(wishes)
{
	uint8_t buf[1024];
	AUTO(push_request) struct push_request *q = NULL;
	size_t n = make_pkts_nul(SHA1_B "bbbbbbbbbbbbbbbbbbbbbbbb " SHA256_A " refs/heads/b@ " BAND " quiet atomic "
			"object-format=sha256 agent=x|0000|!PACK", buf, sizeof(buf)), pack;

	push_request_new(&q);
	CHECK_EQ("sha256", feed(q, buf, n, n, &pack), PARSE_OK);
	CHECK_EQ("format", q->list->format, OBJECT_SHA256);
	CHECK("wishes", q->report_status && q->side_band && q->list->quiet && q->list->atomic && q->began);
	CHECK_STR("name", push_list_command(q->list, 0)->ref, "refs/heads/b");
	q->list->upstream = PUSH_CAPABILITIES;
	CHECK("a list", push_list_ok(rd_of(q->list, push_list_size(q->list))));
}

static enum parse many(size_t commands, size_t options)
{
	AUTO(push_request) struct push_request *q = NULL;
	uint8_t line[256];
	struct rd none;
	enum parse r = PARSE_MORE;

	push_request_new(&q);
	for (size_t i = 0; i < commands; i++) {
		struct wr w = wr_of(line, sizeof(line));

		pkt_line(&w, ZERO " " SHA1_A " refs/heads/%zu", i);
		r = push_request_next(q, wr_rd(&w), &none);
	}
	q->options = true;
	r = push_request_next(q, rd_str("0000"), &none);
	for (size_t i = 0; i < options; i++)
		r = push_request_next(q, rd_str("0005a"), &none);
	r = push_request_next(q, rd_str("0000PACK"), &none);
	return r == PARSE_BAD ? r : push_request_end(q);
}

TEST(limits)
{
	CHECK_EQ("all that may be", many(PUSH_COMMANDS_MAX, PUSH_OPTIONS_MAX), PARSE_OK);
	CHECK_EQ("a command more", many(PUSH_COMMANDS_MAX + 1, 0), PARSE_BAD);
	CHECK_EQ("an option more", many(1, PUSH_OPTIONS_MAX + 1), PARSE_BAD);
}
