/*
 * test_refname.c - names of references and object ids
 */
#include "gitproxy/oid.h"
#include "gitproxy/refname.h"

#include "tests/unit/check.h"

static const struct {
	const char *name;
	bool ok, onelevel;
} names[] = {
	{ "refs/heads/main", true, true },
	{ "refs/heads/a.b", true, true },
	{ "refs/heads/a@b", true, true },
	{ "refs/heads/a{b}", true, true },
	{ "refs/heads/@", true, true },
	{ "refs/heads/-x", true, true },
	{ "refs/heads/\xc3\xa4", true, true },
	{ "refs/tags/v1.0-rc1", true, true },
	{ "HEAD", false, true },
	{ "v1.0", false, true },
	{ "@", false, false },
	{ "", false, false },
	{ "/", false, false },
	{ "/refs/heads/a", false, false },
	{ "refs/heads/", false, false },
	{ "refs//heads", false, false },
	{ ".", false, false },
	{ "..", false, false },
	{ "refs/heads/..", false, false },
	{ "refs/../../x", false, false },
	{ "refs/heads/.a", false, false },
	{ "refs/.heads/a", false, false },
	{ "refs/heads/a..b", false, false },
	{ "refs/heads/a.", false, false },
	{ "refs/heads./a", true, true },	/* git takes it */
	{ "refs/heads/a.lock", false, false },
	{ "refs/a.lock/b", false, false },
	{ "refs/heads/.lock", false, false },
	{ "refs/heads/a@{1}", false, false },
	{ "refs/heads/a b", false, false },
	{ "refs/heads/a~1", false, false },
	{ "refs/heads/a^", false, false },
	{ "refs/heads/a:b", false, false },
	{ "refs/heads/a?", false, false },
	{ "refs/heads/*", false, false },
	{ "refs/heads/a[b", false, false },
	{ "refs/heads/a\\b", false, false },
	{ "refs/heads/a\x7f", false, false },
	{ "refs/heads/a\n", false, false },
	{ "refs/heads/a\t", false, false },
};

TEST(names)
{
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		size_t n = strlen(names[i].name);
		AUTO(mem) void *p = check_exact(names[i].name, n);

		CHECK_EQ(names[i].name, refname_ok(rd_of(p, n)), names[i].ok);
		CHECK_EQ(names[i].name, refname_ok_onelevel(rd_of(p, n)), names[i].onelevel);
	}
	CHECK("a NUL", !refname_ok(rd_of(W("refs/heads/a\0b"))));
}

TEST(lengths)
{
	char name[REFNAME_MAX + 2];

	memset(name, 'a', sizeof(name));
	for (size_t i = 100; i < sizeof(name); i += 100)
		name[i] = '/';
	CHECK("the longest", refname_ok(rd_of(name, REFNAME_MAX)));
	CHECK("one more", !refname_ok(rd_of(name, REFNAME_MAX + 1)));
	memset(name, 'a', sizeof(name));
	memcpy(name, "r/", 2);
	CHECK("the longest component", refname_ok(rd_of(name, 2 + REFNAME_PART_MAX)));
	CHECK("one more", !refname_ok(rd_of(name, 2 + REFNAME_PART_MAX + 1)));
}

#define TEN "0123456789"
#define FORTY TEN TEN TEN TEN

static const struct {
	const char *what, *text;
	enum object_format format;
	bool ok;
} ids[] = {
	{ "SHA-1", FORTY, OBJECT_SHA1, true },
	{ "large digits", "ABCDEFabcd" TEN TEN TEN, OBJECT_SHA1, true },
	{ "one short", TEN TEN TEN "012345678", OBJECT_SHA1, false },
	{ "one long", FORTY "0", OBJECT_SHA1, false },
	{ "not a digit", TEN TEN TEN "012345678g", OBJECT_SHA1, false },
	{ "SHA-256", FORTY TEN TEN "abcd", OBJECT_SHA256, true },
	{ "SHA-256 where SHA-1 belongs", FORTY TEN TEN "abcd", OBJECT_SHA1, false },
	{ "SHA-1 where SHA-256 belongs", FORTY, OBJECT_SHA256, false },
	{ "nothing", "", OBJECT_SHA1, false },
};

TEST(oids)
{
	for (size_t i = 0; i < ARRAY_SIZE(ids); i++) {
		size_t n = strlen(ids[i].text);
		AUTO(mem) void *p = check_exact(ids[i].text, n);
		char hex[OID_HEX_MAX];
		struct wr w = wr_of(hex, sizeof(hex));
		struct oid oid;
		bool ok = oid_parse(rd_of(p, n), ids[i].format, &oid);

		CHECK_EQ(ids[i].what, ok, ids[i].ok);
		if (ok && oid_write(&w, &oid, ids[i].format))
			CHECK(ids[i].what, rd_eq_nocase(wr_rd(&w), ids[i].text));
	}
}

TEST(sorted)
{
	struct oid o[4] = { { .byte = { 3 } }, { .byte = { 1 } }, { .byte = { 3 } }, { .byte = { 2 } } };

	CHECK_EQ("one of each", oid_sort_unique(o, 4), 3);
	CHECK("in order", o[0].byte[0] == 1 && o[1].byte[0] == 2 && o[2].byte[0] == 3);
	CHECK_EQ("none", oid_sort_unique(o, 0), 0);
}
