/*
 * test_advert.c - upstream's capabilities, and those of a mirror
 */
#include "gitproxy/mirror/advert.h"

#include "tests/unit/check.h"
#include "tests/unit/make_pkts.h"

#define GIT "version 2|agent=git/2.39.5|ls-refs=unborn|fetch=shallow wait-for-done filter|server-option|" \
	    "object-format=sha1|object-info|0000"
#define LEAST "version 2|ls-refs|fetch|0000"

static enum parse parse(const char *text, struct advert *ret)
{
	static uint8_t buf[1 << 12];
	struct wr w = wr_of(buf, sizeof(buf));

	make_pkts(&w, text);
	AUTO(mem) void *in = check_exact(buf, w.n);

	return advert_parse(rd_of(in, w.n), ret);
}

static const struct {
	const char *what, *text;
	enum parse want;
	struct advert is;
} rows[] = {
	{ "git's", GIT, PARSE_OK, { OBJECT_SHA1, true, true, true, true } },
	{ "with the service before it", "# service=git-upload-pack|0000|" GIT, PARSE_OK,
	  { OBJECT_SHA1, true, true, true, true } },
	{ "the least", LEAST, PARSE_OK, { OBJECT_SHA1, false, false, false, false } },
	{ "sha256", "version 2|ls-refs|fetch=filter|object-format=sha256|0000", PARSE_OK,
	  { OBJECT_SHA256, false, false, false, true } },
	{ "more than we know", "version 2|ls-refs=unborn|fetch=shallow packfile-uris sideband-all|bundle-uri|0000",
	  PARSE_OK, { OBJECT_SHA1, true, true, false, false } },
	{ "words that only begin like ours", "version 2|ls-refs|fetch=shallowest filters|0000", PARSE_OK,
	  { OBJECT_SHA1, false, false, false, false } },
	{ "nothing", "", PARSE_BAD, { 0 } },
	{ "a flush", "0000", PARSE_BAD, { 0 } },
	{ "cut", "version 2|ls-refs|fetch", PARSE_BAD, { 0 } },
	{ "cut in a line", "version 2|!0010ls-", PARSE_BAD, { 0 } },
	{ "more behind it", LEAST "|x", PARSE_BAD, { 0 } },
	{ "twice", LEAST "|" LEAST, PARSE_BAD, { 0 } },
	{ "version 1", "version 1|0000", PARSE_BAD, { 0 } },
	{ "version 20", "version 20|ls-refs|fetch|0000", PARSE_BAD, { 0 } },
	{ "references of version 0", SHA1_A " HEAD|0000", PARSE_BAD, { 0 } },
	{ "another service", "# service=git-receive-pack|0000|" LEAST, PARSE_BAD, { 0 } },
	{ "no flush behind the service", "# service=git-upload-pack|" LEAST, PARSE_BAD, { 0 } },
	{ "an error", "ERR not today|0000", PARSE_BAD, { 0 } },
	{ "no ls-refs", "version 2|fetch|0000", PARSE_BAD, { 0 } },
	{ "no fetch", "version 2|ls-refs|0000", PARSE_BAD, { 0 } },
	{ "what only begins like fetch", "version 2|ls-refs|fetching|0000", PARSE_BAD, { 0 } },
	{ "an unknown format", "version 2|ls-refs|fetch|object-format=sha512|0000", PARSE_BAD, { 0 } },
	{ "a delimiter", "version 2|ls-refs|0001|fetch|0000", PARSE_BAD, { 0 } },
};

static bool same(const struct advert *a, const struct advert *b)
{
	return a->format == b->format && a->unborn == b->unborn && a->shallow == b->shallow &&
	       a->wait_for_done == b->wait_for_done && a->filter == b->filter;
}

TEST(parse)
{
	struct advert a;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		CHECK_EQ(rows[i].what, parse(rows[i].text, &a), rows[i].want);
		if (rows[i].want == PARSE_OK)
			CHECK(rows[i].what, same(&a, &rows[i].is));
	}
}

/* What is written is read as what it was, and says nothing that was not meant. */
TEST(write)
{
	for (unsigned bits = 0; bits < 32; bits++) {
		struct advert a = { bits & 1, bits & 2, bits & 4, bits & 8, bits & 16 }, again;
		uint8_t buf[ADVERT_MAX];
		struct wr w = wr_of(buf, sizeof(buf));

		CHECK("it fits", advert_write(&w, &a));
		AUTO(mem) void *text = check_exact(w.p, w.n);

		CHECK_EQ("it is one", advert_parse(rd_of(text, w.n), &again), PARSE_OK);
		CHECK("the same", same(&a, &again));
		CHECK("no more", !memmem(text, w.n, "object-info", 11) && !memmem(text, w.n, "uri", 3) &&
				 !memmem(text, w.n, "server-option", 13) && !memmem(text, w.n, "  ", 2));
	}
}

TEST(common)
{
	struct advert theirs, ours;

	CHECK_EQ("git's", parse(GIT, &theirs), PARSE_OK);
	ours = advert_common(&theirs);
	CHECK("all of git's", same(&ours, &theirs));
	CHECK_EQ("the least", parse(LEAST, &theirs), PARSE_OK);
	ours = advert_common(&theirs);
	CHECK("no more than theirs", same(&ours, &theirs));
}
