/*
 * test_ssh_v0.c - protocol v2 for a server that speaks v0 alone
 */
#include "gitproxy/keeper/ssh_v0.h"

#include "tests/unit/check.h"
#include "tests/unit/make_pkts.h"

#define CAPS "multi_ack thin-pack side-band side-band-64k ofs-delta no-progress include-tag " \
	     "symref=HEAD:refs/heads/main object-format=sha1 agent=git/2.39.5"
#define A SHA1_A " "
#define B SHA1_B " "

struct text { uint8_t *p; size_t n; };

/* Packets of the lines; \1 in a line stands for NUL. */
static struct text packets(const char *lines)
{
	static uint8_t buf[1 << 16];
	struct wr w = wr_of(buf, sizeof(buf));

	make_pkts(&w, lines);
	for (size_t i = 0; i < w.n; i++)
		if (buf[i] == 1)
			buf[i] = 0;
	return (struct text){ check_exact(buf, w.n), w.n };
}

static const struct { const char *what, *text; enum parse want; } adverts[] = {
	{ "one", A "HEAD\1" CAPS "|" A "refs/heads/main|0000", PARSE_OK },
	{ "empty", "0000000000000000000000000000000000000000 capabilities^{}\1" CAPS "|0000", PARSE_OK },
	{ "nothing but a flush", "0000", PARSE_OK },
	{ "shallow upstream", A "HEAD\1" CAPS "|shallow " SHA1_B "|0000", PARSE_OK },
	{ "alternates", A "HEAD\1" CAPS "|" B ".have|0000", PARSE_OK },
	{ "no capabilities", A "HEAD|0000", PARSE_BAD },
	{ "no flush", A "HEAD\1" CAPS, PARSE_BAD },
	{ "more behind it", A "HEAD\1" CAPS "|0000|" A "refs/heads/x|0000", PARSE_BAD },
	{ "a delimiter", A "HEAD\1" CAPS "|0001|0000", PARSE_BAD },
	{ "no id", "HEAD\1" CAPS "|0000", PARSE_BAD },
	{ "an id of another format", SHA256_A " HEAD\1" CAPS "|0000", PARSE_BAD },
	{ "an unknown format", A "HEAD\1object-format=md5|0000", PARSE_BAD },
	{ "sha256", SHA256_A " HEAD\1side-band-64k object-format=sha256|0000", PARSE_OK },
	{ "a name that climbs", A "HEAD\1" CAPS "|" A "refs/heads/../../x|0000", PARSE_BAD },
	{ "a name with a line feed", A "HEAD\1" CAPS "|" A "refs/heads/a\nb|0000", PARSE_BAD },
	{ "capabilities twice", A "HEAD\1" CAPS "|" A "refs/heads/x\1" CAPS "|0000", PARSE_BAD },
	{ "no packet", "!what is this", PARSE_BAD },
	{ "cut", "!003d" SHA1_A, PARSE_BAD },
};
TEST(adverts)
{
	for (size_t i = 0; i < ARRAY_SIZE(adverts); i++) {
		struct text t = packets(adverts[i].text);
		struct v0_advert a;

		CHECK_EQ(adverts[i].what, v0_advert_parse(rd_of(t.p, t.n), &a), adverts[i].want);
		free(t.p);
	}
}

#define REFS A "HEAD\1" CAPS "|" A "refs/heads/main|" B "refs/heads/other|" A "refs/tags/light|" B "refs/tags/v1|" \
	     A "refs/tags/v1^{}|" B "refs/pull/1/head|0000"
#define LS(args) "command=ls-refs|object-format=sha1|0001|" args "0000"
#define FETCH(args) "command=fetch|0001|" args "0000"

static const struct { const char *what, *advert, *body, *want; } asks[] = {
	{ "all", REFS, LS(""), A "HEAD|" A "refs/heads/main|" B "refs/heads/other|" A "refs/tags/light|" B "refs/tags/v1|"
			       B "refs/pull/1/head|0000" },
	{ "with attributes", REFS, LS("peel|symrefs|unborn|ref-prefix HEAD|ref-prefix refs/tags/|"),
	  A "HEAD symref-target:refs/heads/main|" A "refs/tags/light|" B "refs/tags/v1 peeled:" SHA1_A "|0000" },
	{ "a prefix that is longer", REFS, LS("ref-prefix refs/heads/main/deep|"), "0000" },
	{ "empty", "0000", LS("symrefs|"), "0000" },
	{ "a target that is no name", A "HEAD\1symref=HEAD:../x|0000", LS("symrefs|"), A "HEAD|0000" },
	{ "an argument that is none", REFS, LS("what|"), NULL },
	{ "no flush", REFS, "command=ls-refs|0001|peel", NULL },
	{ "fetch", REFS, FETCH("thin-pack|ofs-delta|no-progress|want " SHA1_A "|want " SHA1_B "|have " SHA1_C "|done|"),
	  "want " SHA1_A " side-band-64k thin-pack ofs-delta no-progress object-format=sha1 agent=git/cordon-" CORDON_VERSION
	  "|want " SHA1_B "|0000|have " SHA1_C "|done" },
	{ "what is not offered is not said", A "HEAD\1side-band-64k|0000", FETCH("thin-pack|want " SHA1_A "|done|"),
	  "want " SHA1_A " side-band-64k|0000|done" },
	{ "no side band", A "HEAD\1ofs-delta|0000", FETCH("want " SHA1_A "|done|"), NULL },
	{ "nothing wanted", REFS, FETCH("done|"), NULL },
	{ "rounds", REFS, FETCH("want " SHA1_A "|have " SHA1_B "|"), NULL },
	{ "shallow", REFS, FETCH("want " SHA1_A "|deepen 1|done|"), NULL },
	{ "partial", REFS, FETCH("want " SHA1_A "|filter blob:none|done|"), NULL },
	{ "a want with more in it", REFS, FETCH("want " SHA1_A " side-band|done|"), NULL },
	{ "another command", REFS, "command=object-info|0001|0000", NULL },
};
TEST(asks)
{
	static uint8_t out[1 << 16];

	for (size_t i = 0; i < ARRAY_SIZE(asks); i++) {
		struct text t = packets(asks[i].advert), body = packets(asks[i].body);
		struct wr w = wr_of(out, sizeof(out));
		struct v0_advert a;
		bool ok;

		CHECK_EQ(asks[i].what, v0_advert_parse(rd_of(t.p, t.n), &a), PARSE_OK);
		if (v0_command_of(rd_of(body.p, body.n)) == V0_LS_REFS) {
			w.cap = v0_refs_bound(&a);
			ok = v0_answer_refs(&a, rd_of(body.p, body.n), &w);
		} else {
			w.cap = body.n + 1024;
			ok = v0_write_fetch(&a, rd_of(body.p, body.n), &w);
		}
		CHECK_EQ(asks[i].what, ok, asks[i].want != NULL);
		if (ok && asks[i].want) {
			struct text want = packets(asks[i].want);

			CHECK(asks[i].what, rd_eq(wr_rd(&w), want.p, want.n));
			free(want.p);
		}
		free(t.p);
		free(body.p);
	}
}
