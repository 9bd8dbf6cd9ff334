/*
 * test_ls_refs.c - upstream's references
 */
#include "gitproxy/mirror/ls_refs.h"

#include <errno.h>

#include "tests/unit/check.h"
#include "tests/unit/make_pkts.h"

#define A SHA1_A " "

struct parsed {
	void *bytes;
	struct ls_refs refs;
	struct rd error;
	int r;
};

static struct parsed parse(const char *text, enum object_format format, size_t max)
{
	static uint8_t buf[1 << 16];
	struct wr w = wr_of(buf, sizeof(buf));
	struct parsed p = { 0 };

	make_pkts(&w, text);
	p.bytes = check_exact(buf, w.n);
	p.r = ls_refs_parse(rd_of(p.bytes, w.n), format, max, &p.refs, &p.error);
	return p;
}

static void parsed_done(struct parsed *p)
{
	ls_refs_done(&p->refs);
	free(p->bytes);
}

static const struct {
	const char *what, *text;
	int want;
	size_t n;
} cases[] = {
	{ "an empty repository", "0000", 0, 0 },
	{ "one", A "refs/heads/main|0000", 0, 1 },
	{ "HEAD", A "HEAD symref-target:refs/heads/main|" A "refs/heads/main|0000", 0, 2 },
	{ "a detached HEAD", A "HEAD|0000", 0, 1 },
	{ "unborn", "unborn HEAD symref-target:refs/heads/main|0000", 0, 1 },
	{ "a tag", A "refs/tags/v1 peeled:" SHA1_B "|0000", 0, 1 },
	{ "both attributes", A "refs/tags/v1 symref-target:refs/tags/v2 peeled:" SHA1_B "|0000", 0, 1 },
	{ "no flush", A "refs/heads/main", -EBADMSG, 0 },
	{ "nothing", "", -EBADMSG, 0 },
	{ "cut", "!003d" SHA1_A, -EBADMSG, 0 },
	{ "a delimiter", A "refs/heads/main|0001", -EBADMSG, 0 },
	{ "more behind the flush", "0000|" A "refs/heads/main|0000", -EBADMSG, 0 },
	{ "an empty line", "!0004|0000", -EBADMSG, 0 },
	{ "no name", SHA1_A "|0000", -EBADMSG, 0 },
	{ "an empty name", A "|0000", -EBADMSG, 0 },
	{ "no id", "refs/heads/main|0000", -EBADMSG, 0 },
	{ "an id of the other format", SHA256_A " refs/heads/main|0000", -EBADMSG, 0 },
	{ "two spaces", A " refs/heads/main|0000", -EBADMSG, 0 },
	{ "a space at the end", A "refs/heads/main |0000", -EBADMSG, 0 },
	{ "a path that climbs", A "refs/heads/../../config|0000", -EBADMSG, 0 },
	{ "a lock file", A "refs/heads/main.lock|0000", -EBADMSG, 0 },
	{ "a name without a slash", A "config|0000", -EBADMSG, 0 },
	{ "an option", A "--upload-pack=x|0000", -EBADMSG, 0 },
	{ "a control character", A "refs/heads/a\x1b|0000", -EBADMSG, 0 },
	{ "the same twice", A "refs/heads/a|" SHA1_B " refs/heads/a|0000", -EBADMSG, 0 },
	{ "a target that climbs", A "HEAD symref-target:../x|0000", -EBADMSG, 0 },
	{ "two targets", A "HEAD symref-target:refs/a/b symref-target:refs/a/c|0000", -EBADMSG, 0 },
	{ "an empty target", A "HEAD symref-target:|0000", -EBADMSG, 0 },
	{ "peeled is no id", A "refs/tags/a peeled:x|0000", -EBADMSG, 0 },
	{ "peeled twice", A "refs/tags/a peeled:" SHA1_A " peeled:" SHA1_A "|0000", -EBADMSG, 0 },
	{ "unborn and peeled", "unborn HEAD symref-target:refs/heads/a peeled:" SHA1_A "|0000",
	  -EBADMSG, 0 },
	{ "unborn without a target", "unborn HEAD|0000", -EBADMSG, 0 },
	{ "an unknown attribute", A "refs/heads/a colour:red|0000", -EBADMSG, 0 },
	{ "an error", "ERR access denied", -EREMOTEIO, 0 },
	{ "three where two may be", A "refs/a/b|" A "refs/a/c|" A "refs/a/d|0000", -E2BIG, 0 },
};

TEST(cases)
{
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct parsed p = parse(cases[i].text, OBJECT_SHA1, 2);

		CHECK_EQ(cases[i].what, p.r, cases[i].want);
		CHECK_EQ(cases[i].what, p.refs.n, cases[i].n);
		if (p.r == -EREMOTEIO)
			CHECK(cases[i].what, rd_eq_str(p.error, "access denied"));
		parsed_done(&p);
	}
}

TEST(what_is_said_of_them)
{
	struct parsed p = parse(A "refs/tags/v1 peeled:" SHA1_B "|" A "HEAD symref-target:refs/heads/a|"
				A "refs/heads/a|0000", OBJECT_SHA1, 10);
	const struct ls_ref *head = ls_refs_find(&p.refs, rd_str("HEAD"));
	const struct ls_ref *tag = ls_refs_find(&p.refs, rd_str("refs/tags/v1"));

	CHECK("HEAD", head && rd_eq_str(head->target, "refs/heads/a") && !head->has_peeled);
	CHECK("id", head && head->oid.byte[0] == 0xaa && !head->oid.byte[20]);
	CHECK("tag", tag && tag->has_peeled && tag->peeled.byte[19] == 0xbb && !tag->target.n);
	CHECK("nothing near it", !ls_refs_find(&p.refs, rd_str("refs/tags/v")));
	parsed_done(&p);
}

static bool same_generation(const char *a, const char *b)
{
	struct parsed p = parse(a, OBJECT_SHA1, 10), q = parse(b, OBJECT_SHA1, 10);
	uint8_t x[LS_REFS_GENERATION], y[LS_REFS_GENERATION];

	CHECK_EQ(a, p.r, 0);
	CHECK_EQ(b, q.r, 0);
	CHECK_EQ(a, ls_refs_generation(&p.refs, x), 0);
	CHECK_EQ(b, ls_refs_generation(&q.refs, y), 0);
	parsed_done(&p);
	parsed_done(&q);
	return !memcmp(x, y, sizeof(x));
}

/* All but so many bytes of it are there. */
static const struct { const char *what, *text; size_t less; enum parse want; const char *name; } firsts[] = {
	{ "of one", A "HEAD symref-target:refs/heads/main|0000", 0, PARSE_OK, "HEAD" },
	{ "of more", A "refs/heads/a|" A "refs/heads/b|0000", 0, PARSE_OK, "refs/heads/a" },
	{ "what follows is not there yet", A "refs/heads/a|" A "refs/heads/b|0000", 10, PARSE_OK, "refs/heads/a" },
	{ "itself is not there yet", A "refs/heads/a|0000", 5, PARSE_MORE, NULL },
	{ "not born", "unborn HEAD symref-target:refs/heads/main|0000", 0, PARSE_OK, "HEAD" },
	{ "none", "0000", 0, PARSE_BAD, NULL },
	{ "nothing", "0000", 4, PARSE_MORE, NULL },
	{ "an error", "ERR no such repository|0000", 0, PARSE_BAD, NULL },
	{ "a name that git would not take", A "refs/heads/../a|0000", 0, PARSE_BAD, NULL },
};

TEST(the_first)
{
	for (size_t i = 0; i < ARRAY_SIZE(firsts); i++) {
		uint8_t buf[512];
		struct wr w = wr_of(buf, sizeof(buf));
		struct ls_ref ref;
		AUTO(mem) void *bytes = NULL;

		make_pkts(&w, firsts[i].text);
		bytes = check_exact(buf, w.n - firsts[i].less);
		CHECK_EQ(firsts[i].what, ls_refs_first(rd_of(bytes, w.n - firsts[i].less), OBJECT_SHA1, &ref), firsts[i].want);
		if (firsts[i].name)
			CHECK(firsts[i].what, rd_eq_str(ref.name, firsts[i].name));
	}
}

TEST(generations)
{
	const char *two = A "refs/a/b|" A "refs/a/c|0000";

	CHECK("order does not matter", same_generation(two, A "refs/a/c|" A "refs/a/b|0000"));
	CHECK("an id does", !same_generation(two, A "refs/a/b|" SHA1_B " refs/a/c|0000"));
	CHECK("a name does", !same_generation(two, A "refs/a/b|" A "refs/a/d|0000"));
	CHECK("one less does", !same_generation(two, A "refs/a/b|0000"));
	CHECK("a target does", !same_generation(A "HEAD symref-target:refs/a/b|0000", A "HEAD|0000"));
	CHECK("nothing is something", !same_generation(two, "0000"));
}
