/*
 * test_push_report.c - upstream's word on each reference, and ours
 */
#include "gitproxy/mirror/push_report.h"

#include "tests/unit/check.h"
#include "tests/unit/make_pkts.h"

struct made { struct push_list list; struct push_command command[2]; };

static struct made made(bool banded)
{
	struct made m = { .list = { .n_commands = 2, .has_pack = 1, .upstream = banded ? PUSH_SIDE_BAND : 0 } };

	m.command[0].new.byte[0] = m.command[1].new.byte[0] = 1;
	strcpy(m.command[0].ref, "refs/heads/b");
	strcpy(m.command[1].ref, "refs/heads/a");
	return m;
}

static void heard(void *owner, struct rd text)
{
	wr_rd_all(owner, text);
}

#define REPORT_OK "unpack ok|ok refs/heads/b|ok refs/heads/a|0000"

static const struct {
	const char *what, *text;
	enum parse want;
	enum push_fate b, a;
	const char *why_b, *error;
} cases[] = {
	{ "fine", REPORT_OK, PARSE_OK, PUSH_DONE, PUSH_DONE, "", "" },
	{ "one refused", "unpack ok|ng refs/heads/b pre-receive hook declined|ok refs/heads/a|0000", PARSE_OK, PUSH_REFUSED,
	  PUSH_DONE, "pre-receive hook declined", "" },
	{ "without a reason", "unpack ok|ng refs/heads/b|ok refs/heads/a|0000", PARSE_OK, PUSH_REFUSED, PUSH_DONE, "failed", "" },
	{ "all refused", "unpack index-pack abnormal exit|ng refs/heads/b unpacker error|0000", PARSE_OK, PUSH_REFUSED, PUSH_UNTOLD,
	  "unpacker error", "index-pack abnormal exit" },
	{ "an escape sequence", "unpack ok|ng refs/heads/b \x1b[31mred|0000", PARSE_OK, PUSH_REFUSED, PUSH_UNTOLD, "?[31mred", "" },
	{ "a reason as long as the name", "unpack ok|ng refs/heads/b hook says no|0000", PARSE_OK, PUSH_REFUSED, PUSH_UNTOLD,
	  "hook says no", "" },
	{ "an option", "unpack ok|ok refs/heads/b|option refname refs/x|0000", PARSE_OK, PUSH_DONE, PUSH_UNTOLD, "", "" },
	{ "cut", "unpack ok|ok refs/heads/b", PARSE_MORE, PUSH_DONE, PUSH_UNTOLD, "", "" },
	{ "nothing", "", PARSE_MORE, PUSH_UNTOLD, PUSH_UNTOLD, "", "" },
	{ "a reference that was not pushed", "unpack ok|ok refs/heads/c|0000", PARSE_BAD, PUSH_UNTOLD, PUSH_UNTOLD, "", "" },
	{ "one twice", "unpack ok|ng refs/heads/b x|ok refs/heads/b|0000", PARSE_BAD, PUSH_REFUSED, PUSH_UNTOLD, "x", "" },
	{ "not unpacked", "ok refs/heads/b|0000", PARSE_BAD, PUSH_UNTOLD, PUSH_UNTOLD, "", "" },
	{ "only a flush", "0000", PARSE_BAD, PUSH_UNTOLD, PUSH_UNTOLD, "", "" },
	{ "more behind it", REPORT_OK "|unpack ok", PARSE_BAD, PUSH_DONE, PUSH_DONE, "", "" },
	{ "an unknown line", "unpack ok|fine refs/heads/b|0000", PARSE_BAD, PUSH_UNTOLD, PUSH_UNTOLD, "", "" },
	{ "not pkt-lines", "!<html>", PARSE_BAD, PUSH_UNTOLD, PUSH_UNTOLD, "", "" },
};

static enum parse feed(const struct made *m, struct push_told *told, struct rd all, size_t step, struct wr *text, char *error)
{
	AUTO(push_upstream) struct push_upstream *u = NULL;
	enum parse r = PARSE_MORE;
	struct rd part;

	CHECK_EQ("new", push_upstream_new(&m->list, m->list.upstream, told, heard, text, &u), 0);
	while (rd_left(&all) && rd_take(&all, all.n < step ? all.n : step, &part)) {
		AUTO(mem) void *in = check_exact(part.p, part.n);

		r = push_upstream_next(u, rd_of(in, part.n));
	}
	strcpy(error, push_upstream_error(u));
	return r;
}

/* On band 1, in packets of `step` bytes. */
static size_t banded(struct rd report, size_t step, uint8_t *to, size_t cap)
{
	struct wr w = wr_of(to, cap);
	struct rd part;

	while (rd_left(&report) && rd_take(&report, report.n < step ? report.n : step, &part)) {
		uint8_t data[1024] = { 1 };

		memcpy(data + 1, part.p, part.n);
		pkt_write(&w, rd_of(data, part.n + 1));
	}
	pkt_flush(&w);
	return w.n;
}

TEST(reports)
{
	static uint8_t plain[4096], bands[1 << 16];

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		for (size_t step = 1; step < 1000; step = step * 5 + 1)
			for (int with = 0; with < 2; with++) {
				struct wr w = wr_of(plain, sizeof(plain));
				struct made m = made(with);
				struct push_told told[2] = { 0 };
				uint8_t space[256];
				struct wr text = wr_of(space, sizeof(space));
				char error[PUSH_TOLD];
				struct rd all;

				make_pkts(&w, cases[i].text);
				all = with ? rd_of(bands, banded(wr_rd(&w), step, bands, sizeof(bands))) : wr_rd(&w);
				CHECK_EQ(cases[i].what, feed(&m, told, all, step, &text, error), cases[i].want);
				CHECK_EQ(cases[i].what, told[0].fate, cases[i].b);
				CHECK_EQ(cases[i].what, told[1].fate, cases[i].a);
				CHECK_STR(cases[i].what, told[0].why, cases[i].why_b);
				CHECK_STR(cases[i].what, error, cases[i].error);
			}
}

TEST(text_of_upstream)
{
	struct made m = made(true);
	struct push_told told[2] = { 0 };
	uint8_t space[256];
	struct wr text = wr_of(space, sizeof(space));
	char error[PUSH_TOLD];

	CHECK_EQ("more", feed(&m, told, rd_str("000e\2one\x1b]2;x\n0005\2"), 3, &text, error), PARSE_MORE);
	CHECK("harmless", rd_eq_str(wr_rd(&text), "one?]2;x\n"));
	CHECK_EQ("its error", feed(&m, told, rd_str("0009\3dead"), 100, &text, error), PARSE_BAD);
	CHECK_STR("told", error, "dead");
}

static const struct { const char *in, *out; bool lines; } texts[] = {
	{ "plain", "plain", false },
	{ "a\nb\tc", "a?b?c", false },
	{ "a\nb\tc\r", "a\nb\tc\r", true },
	{ "\xc3\xa4 \xe2\x82\xac \xf0\x9f\x98\x80", "\xc3\xa4 \xe2\x82\xac \xf0\x9f\x98\x80", false },
	{ "\xc2\x9b", "??", false },			/* C1 */
	{ "\xc0\xaf", "??", false },			/* overlong */
	{ "\xed\xa0\x80", "???", false },		/* half a surrogate */
	{ "\xf4\x90\x80\x80", "????", false },		/* beyond Unicode */
	{ "\xe2\x82", "??", false },			/* cut */
	{ "\x7f\x1b", "??", true },
};

TEST(texts)
{
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		AUTO(mem) void *in = check_exact(texts[i].in, strlen(texts[i].in));
		char out[64] = "";
		struct wr w = wr_of(out, sizeof(out) - 1);

		push_text(rd_of(in, strlen(texts[i].in)), texts[i].lines, &w);
		CHECK_STR(texts[i].in, out, texts[i].out);
	}
}

TEST(ours)
{
	struct made m = made(true);
	struct push_told told[2] = { { .fate = PUSH_DONE }, { .fate = PUSH_REFUSED, .why = "ref_not_allowed: no" } };
	uint8_t out[1024], want[1024];
	struct wr w = wr_of(out, push_report_bound(&m.list)), x = wr_of(want, sizeof(want));

	make_pkts(&x, "unpack ok|ok refs/heads/b|ng refs/heads/a ref_not_allowed: no|0000");
	CHECK("written", push_report_write(&w, &m.list, told, ""));
	CHECK("as git has it", rd_eq(wr_rd(&w), want, x.n));
	told[0].fate = PUSH_UNTOLD;
	w = wr_of(out, push_report_bound(&m.list));
	x = wr_of(want, sizeof(want));
	make_pkts(&x, "unpack no room|ng refs/heads/b failed|ng refs/heads/a ref_not_allowed: no|0000");
	CHECK("written", push_report_write(&w, &m.list, told, "no room"));
	CHECK("nothing is done that is not known to be", rd_eq(wr_rd(&w), want, x.n));
}
