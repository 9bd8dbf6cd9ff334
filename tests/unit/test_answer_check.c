/*
 * test_answer_check.c - which answers to a fetch are whole and right
 */
#include "gitproxy/mirror/answer_check.h"

#include <errno.h>

#include "tests/unit/check.h"
#include "tests/unit/make_answer.h"

enum { BUF = 1 << 17 };

/* %p in a text: a pack on band 1; %b: one whose trailer is wrong; %c: one cut; %t: one too long. */
static void make(struct wr *w, const char *text, enum object_format format)
{
	uint8_t pack[256];
	struct wr p;

	for (const char *at = text, *end; *at; at = end + (*end != 0)) {
		char line[256];

		end = strchrnul(at, '|');
		snprintf(line, sizeof(line), "%.*s", (int)(end - at), at);
		if (line[0] != '%') {
			make_pkts(w, line);
			continue;
		}
		p = wr_of(pack, sizeof(pack));
		make_pack(&p, format, 50);
		if (line[1] == 'b')
			pack[p.n - 1] ^= 1;
		if (line[1] == 't')
			wr_u8(&p, 0);
		make_band(w, 1, rd_of(pack, p.n - (line[1] == 'c')), 7);
	}
}

static size_t pack_got;

static int on_pack(struct answer_check *a, struct rd bytes)
{
	(void)a;
	pack_got += bytes.n;
	return 0;
}

static int on_pack_full(struct answer_check *a, struct rd bytes)
{
	(void)a;
	(void)bytes;
	return -ENOSPC;
}

static void feed(struct answer_check *a, struct rd all, size_t step)
{
	struct rd piece;
	uint64_t settled = 0;

	while (rd_take(&all, all.n < step ? all.n : step, &piece) && piece.n) {
		answer_check_feed(a, piece);
		CHECK("it grows", a->settled >= settled);
		settled = a->settled;
	}
}

#define ACK "ACK " SHA1_A
#define PACK "packfile|%p|0000"

static const struct {
	const char *what, *text;
	enum answer want;
	const char *why, *said;
} cases[] = {
	{ "a clone", PACK, ANSWER_PACK, NULL, NULL },
	{ "progress and signs of life", "packfile|!0005\1|!0009\2abcd|!0005\2|%p|!0009\2abcd|0000",
	  ANSWER_PACK, NULL, NULL },
	{ "shallow", "shallow-info|shallow " SHA1_A "|unshallow " SHA1_B "|0001|" PACK, ANSWER_PACK,
	  NULL, NULL },
	{ "no boundary", "shallow-info|0001|" PACK, ANSWER_PACK, NULL, NULL },
	{ "negotiated", "acknowledgments|" ACK "|ready|0001|" PACK, ANSWER_PACK, NULL, NULL },
	{ "all sections",
	  "acknowledgments|" ACK "|ready|0001|shallow-info|shallow " SHA1_A
	  "|0001|wanted-refs|" SHA1_A " refs/heads/a|0001|" PACK, ANSWER_PACK, NULL, NULL },
	{ "nothing in common yet", "acknowledgments|NAK|0000", ANSWER_NO_PACK, NULL, NULL },
	{ "something in common", "acknowledgments|" ACK "|" ACK "|0000", ANSWER_NO_PACK, NULL, NULL },

	{ "nothing", "", ANSWER_FAILED, "the answer is cut short", NULL },
	{ "a lone flush", "0000", ANSWER_FAILED, "a section is missing", NULL },
	{ "no flush", "packfile|%p", ANSWER_FAILED, "the answer is cut short", NULL },
	{ "a cut head", "packfile|%p|!00", ANSWER_FAILED, "the answer is cut short", NULL },
	{ "half a packet", "packfile|!0010\1PA", ANSWER_FAILED, "the answer is cut short", NULL },
	{ "no pack", "packfile|0000", ANSWER_FAILED, "the pack is not what its trailer says", NULL },
	{ "a cut pack", "packfile|%c|0000", ANSWER_FAILED, "the pack is not what its trailer says",
	  NULL },
	{ "a byte too many in the pack", "packfile|%t|0000", ANSWER_FAILED,
	  "the pack is not what its trailer says", NULL },
	{ "a wrong trailer", "packfile|%b|0000", ANSWER_FAILED,
	  "the pack is not what its trailer says", NULL },
	{ "another file", "packfile|!0012\1not a pack..|0000", ANSWER_FAILED, "this is no pack", NULL },
	{ "bytes behind it", PACK "|0000", ANSWER_FAILED, "bytes follow the end", NULL },
	{ "bytes behind a round", "acknowledgments|NAK|0000|!x", ANSWER_FAILED, "bytes follow the end",
	  NULL },
	{ "two packs", "packfile|%p|%p|0000", ANSWER_FAILED, "the pack is not what its trailer says",
	  NULL },
	{ "an error at once", "ERR upload-pack: not our ref", ANSWER_FAILED,
	  "the peer answered with an error", "upload-pack: not our ref" },
	{ "an error in a section", "acknowledgments|ERR no", ANSWER_FAILED,
	  "the peer answered with an error", "no" },
	{ "an error on its band", "packfile|!0005\1|!0009\3oops|0000", ANSWER_FAILED,
	  "the peer answered with an error", "oops" },
	{ "an error of no words", "packfile|!0005\3|0000", ANSWER_FAILED,
	  "the peer answered with an error", "" },
	{ "no band 0", "packfile|!0006\4a", ANSWER_FAILED, "a packet is on no band", NULL },
	{ "a text among bands", "packfile|ERR no", ANSWER_FAILED, "a packet is on no band", NULL },
	{ "an empty packet", "packfile|!0004", ANSWER_FAILED, "a packet is empty", NULL },
	{ "a malformed packet", "packfile|!00x5", ANSWER_FAILED, "a packet is malformed", NULL },
	{ "a delimiter in the pack", "packfile|%p|0001", ANSWER_FAILED,
	  "a section ends in the wrong way", NULL },
	{ "an end of the response", "packfile|%p|0002", ANSWER_FAILED, "a section is missing", NULL },
	{ "an unknown section", "packfile-uris|0001|" PACK, ANSWER_FAILED,
	  "a section is unknown or out of order", NULL },
	{ "sections in disorder", "shallow-info|0001|acknowledgments|NAK|0000", ANSWER_FAILED,
	  "a section is unknown or out of order", NULL },
	{ "a section twice", "shallow-info|0001|shallow-info|0001|" PACK, ANSWER_FAILED,
	  "a section is unknown or out of order", NULL },
	{ "not ready, and yet a pack", "acknowledgments|NAK|0001|" PACK, ANSWER_FAILED,
	  "a section ends in the wrong way", NULL },
	{ "ready, and yet no pack", "acknowledgments|" ACK "|ready|0000", ANSWER_FAILED,
	  "the answer ends before its pack", NULL },
	{ "more behind ready", "acknowledgments|ready|" ACK, ANSWER_FAILED,
	  "a line does not belong into its section", NULL },
	{ "the end behind shallow", "shallow-info|0000", ANSWER_FAILED,
	  "the answer ends before its pack", NULL },
	{ "no id", "acknowledgments|ACK x", ANSWER_FAILED, "a line does not belong into its section",
	  NULL },
	{ "a wanted path", "wanted-refs|" SHA1_A " refs/../x", ANSWER_FAILED,
	  "a line does not belong into its section", NULL },
	{ "protocol v0", SHA1_A " HEAD|0000", ANSWER_FAILED, "a section is unknown or out of order",
	  NULL },
};

TEST(cases)
{
	static uint8_t buf[BUF];
	static const size_t steps[] = { 1, 2, 3, 7, 64, BUF };

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		for (size_t s = 0; s < ARRAY_SIZE(steps); s++) {
			struct wr w = wr_of(buf, sizeof(buf));
			struct answer_check a;
			AUTO(mem) void *p = NULL;

			make(&w, cases[i].text, OBJECT_SHA1);
			p = check_exact(buf, w.n);
			CHECK_EQ("init", answer_check_init(&a, OBJECT_SHA1, NULL), 0);
			feed(&a, rd_of(p, w.n), steps[s]);
			CHECK_EQ(cases[i].what, answer_check_end(&a), cases[i].want);
			if (cases[i].why)
				CHECK_STR(cases[i].what, a.why, cases[i].why);
			CHECK_EQ(cases[i].what, a.remote, cases[i].said != NULL);
			if (cases[i].said)
				CHECK(cases[i].what,
				      rd_eq_str(rd_of(a.said, a.said_n), cases[i].said));
			if (cases[i].want != ANSWER_FAILED)
				CHECK_EQ(cases[i].what, a.settled, w.n);
			answer_check_done(&a);
		}
}

TEST(versions)
{
	static const struct { const char *bytes; enum answer want; } packs[] = {
		{ "0011\1PACK\0\0\0\2\0\0\0\0", ANSWER_MORE }, { "0011\1PACK\0\0\0\3\0\0\0\0", ANSWER_MORE },
		{ "0011\1PACK\0\0\0\4\0\0\0\0", ANSWER_FAILED }, { "0011\1PACK\0\0\0\1\0\0\0\0", ANSWER_FAILED },
		{ "0011\1pack\0\0\0\2\0\0\0\0", ANSWER_FAILED },
	};

	for (size_t i = 0; i < ARRAY_SIZE(packs); i++) {
		struct answer_check a;

		CHECK_EQ("init", answer_check_init(&a, OBJECT_SHA1, NULL), 0);
		answer_check_feed(&a, rd_str("000dpackfile\n"));
		CHECK_EQ("version", answer_check_feed(&a, rd_of(packs[i].bytes, 17)), packs[i].want);
		answer_check_done(&a);
	}
}

TEST(sha256)
{
	static uint8_t buf[BUF];
	struct wr w = wr_of(buf, sizeof(buf));
	struct answer_check a;

	make(&w, PACK, OBJECT_SHA256);
	CHECK_EQ("init", answer_check_init(&a, OBJECT_SHA256, NULL), 0);
	feed(&a, wr_rd(&w), 5);
	CHECK_EQ("right", answer_check_end(&a), ANSWER_PACK);
	answer_check_done(&a);
	CHECK_EQ("init", answer_check_init(&a, OBJECT_SHA1, NULL), 0);
	feed(&a, wr_rd(&w), 5);
	CHECK_EQ("by the other digest", answer_check_end(&a), ANSWER_FAILED);
	answer_check_done(&a);
}

TEST(delivery)
{
	static uint8_t buf[BUF];
	struct wr w = wr_of(buf, sizeof(buf));
	struct answer_check a;

	make(&w, "packfile|!0005\1|!0009\2abcd|%p|0000", OBJECT_SHA1);
	pack_got = 0;
	CHECK_EQ("init", answer_check_init(&a, OBJECT_SHA1, on_pack), 0);
	feed(&a, wr_rd(&w), 11);
	CHECK_EQ("right", answer_check_end(&a), ANSWER_PACK);
	CHECK_EQ("the pack and no more", pack_got, PACK_HEAD + 50 + 20);
	answer_check_done(&a);
	CHECK_EQ("init", answer_check_init(&a, OBJECT_SHA1, on_pack_full), 0);
	feed(&a, wr_rd(&w), 11);
	CHECK_EQ("not taken", answer_check_end(&a), ANSWER_FAILED);
	CHECK_STR("why", a.why, "the pack could not be taken");
	answer_check_done(&a);
}

/* What may yet be an error is not passed on. */
TEST(settled)
{
	static const struct { const char *bytes; uint64_t settled; } pieces[] = {
		{ "000dpack", 0 }, { "file\n", 13 }, { "00", 13 }, { "08", 13 }, { "\1", 18 },
		{ "PA", 20 }, { "C", 21 }, { "0008\3a", 21 }, { "b", 21 }, { "c", 21 },
	};
	struct answer_check a;

	CHECK_EQ("init", answer_check_init(&a, OBJECT_SHA1, NULL), 0);
	for (size_t i = 0; i < ARRAY_SIZE(pieces); i++) {
		answer_check_feed(&a, rd_str(pieces[i].bytes));
		CHECK_EQ(pieces[i].bytes, a.settled, pieces[i].settled);
	}
	CHECK_EQ("failed", a.state, ANSWER_FAILED);
	CHECK("said", rd_eq_str(rd_of(a.said, a.said_n), "abc"));
	answer_check_done(&a);
	CHECK_EQ("init", answer_check_init(&a, OBJECT_SHA1, NULL), 0);
	answer_check_feed(&a, rd_str("0020ERR not"));
	CHECK_EQ("nothing of an error", a.settled, 0);
	answer_check_done(&a);
}

TEST(long_lines)
{
	static uint8_t buf[BUF];
	char text[ANSWER_LINE_MAX + 100];
	struct wr w = wr_of(buf, sizeof(buf));
	struct answer_check a;

	memset(text, 'x', sizeof(text));
	CHECK_EQ("init", answer_check_init(&a, OBJECT_SHA1, NULL), 0);
	pkt_write(&w, rd_of(text, sizeof(text)));
	CHECK_EQ("long", answer_check_feed(&a, wr_rd(&w)), ANSWER_FAILED);
	CHECK_STR("why", a.why, "a line is too long");
	answer_check_done(&a);
	memcpy(text, "ERR ", 4);
	w.n = 0;
	pkt_write(&w, rd_of(text, sizeof(text)));
	CHECK_EQ("init", answer_check_init(&a, OBJECT_SHA1, NULL), 0);
	CHECK_EQ("a long error", answer_check_feed(&a, wr_rd(&w)), ANSWER_FAILED);
	CHECK("its beginning", a.remote && a.said_n == ANSWER_SAID_MAX && a.said[0] == 'x');
	answer_check_done(&a);
}
