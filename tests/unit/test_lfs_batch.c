/*
 * test_lfs_batch.c - which batch requests are taken, and what they are answered
 */
#include "gitproxy/front/lfs_batch.h"

#include <stdio.h>

#include "tests/unit/check.h"

#define OID "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define OBJECT "{\"oid\":\"" OID "\",\"size\":5}"
#define DOWN "{\"operation\":\"download\","

static const struct { const char *what, *text; size_t n; enum parse want; } rows[] = {
	{ "least", W(DOWN "\"objects\":[" OBJECT "]}"), PARSE_OK },
	{ "as git-lfs sends it", W("{\"operation\":\"upload\",\"objects\":[" OBJECT "],\"transfers\":[\"lfs-standalone-file\","
				   "\"basic\",\"ssh\"],\"ref\":{\"name\":\"refs/heads/main\"},\"hash_algo\":\"sha256\"}"), PARSE_OK },
	{ "two", W(DOWN "\"objects\":[" OBJECT "," OBJECT "]}"), PARSE_OK },
	{ "size 0", W(DOWN "\"objects\":[{\"oid\":\"" OID "\",\"size\":0}]}"), PARSE_OK },
	{ "empty", W(""), PARSE_BAD },
	{ "cut", W(DOWN "\"objects\":[" OBJECT "]"), PARSE_BAD },
	{ "more behind", W(DOWN "\"objects\":[" OBJECT "]}x"), PARSE_BAD },
	{ "a list", W("[" OBJECT "]"), PARSE_BAD },
	{ "no operation", W("{\"objects\":[" OBJECT "]}"), PARSE_BAD },
	{ "another operation", W("{\"operation\":\"Download\",\"objects\":[" OBJECT "]}"), PARSE_BAD },
	{ "an operation that is no text", W("{\"operation\":1,\"objects\":[" OBJECT "]}"), PARSE_BAD },
	{ "a key twice", W(DOWN "\"operation\":\"upload\",\"objects\":[" OBJECT "]}"), PARSE_BAD },
	{ "an id twice", W(DOWN "\"objects\":[{\"oid\":\"" OID "\",\"oid\":\"" OID "\",\"size\":5}]}"), PARSE_BAD },
	{ "no objects", W(DOWN "\"objects\":[]}"), PARSE_BAD },
	{ "objects that are none", W(DOWN "\"objects\":[1]}"), PARSE_BAD },
	{ "objects that are no list", W(DOWN "\"objects\":" OBJECT "}"), PARSE_BAD },
	{ "other transfers", W(DOWN "\"transfers\":[\"tus\"],\"objects\":[" OBJECT "]}"), PARSE_BAD },
	{ "transfers that are no list", W(DOWN "\"transfers\":\"basic\",\"objects\":[" OBJECT "]}"), PARSE_BAD },
	{ "another hash", W(DOWN "\"hash_algo\":\"sha1\",\"objects\":[" OBJECT "]}"), PARSE_BAD },
	{ "a hash that is no text", W(DOWN "\"hash_algo\":null,\"objects\":[" OBJECT "]}"), PARSE_BAD },
	{ "a short id", W(DOWN "\"objects\":[{\"oid\":\"0123\",\"size\":5}]}"), PARSE_BAD },
	{ "an id in capitals", W(DOWN "\"objects\":[{\"oid\":\"0123456789ABCDEF0123456789abcdef0123456789abcdef0123456789abcdef\",\"size\":5}]}"), PARSE_BAD },
	{ "an id with a NUL", W(DOWN "\"objects\":[{\"oid\":\"" OID "\\u0000\",\"size\":5}]}"), PARSE_BAD },
	{ "a negative size", W(DOWN "\"objects\":[{\"oid\":\"" OID "\",\"size\":-1}]}"), PARSE_BAD },
	{ "a size beyond all", W(DOWN "\"objects\":[{\"oid\":\"" OID "\",\"size\":281474976710657}]}"), PARSE_BAD },
	{ "a size that is no integer", W(DOWN "\"objects\":[{\"oid\":\"" OID "\",\"size\":5.0}]}"), PARSE_BAD },
	{ "no UTF-8", W(DOWN "\"x\":\"\xff\",\"objects\":[" OBJECT "]}"), PARSE_BAD },
};

TEST(requests)
{
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		AUTO(mem) void *in = check_exact(rows[i].text, rows[i].n);
		struct lfs_batch b;

		CHECK_EQ(rows[i].what, lfs_batch_read(rd_of(in, rows[i].n), &b), rows[i].want);
		CHECK_EQ(rows[i].what, b.object != NULL, rows[i].want == PARSE_OK);
		if (rows[i].want == PARSE_OK)
			CHECK("the id", b.object[0].oid[0] == 0x01 && b.object[0].oid[31] == 0xef);
		lfs_batch_done(&b);
	}
}

static enum parse read_many(size_t n, size_t depth)
{
	size_t cap = 256 + n * 128 + 2 * depth;
	AUTO(mem) char *text = malloc(cap);
	struct wr w = wr_of(text, cap);
	struct lfs_batch b;
	enum parse r;

	wr_str(&w, DOWN "\"x\":");
	for (size_t i = 0; i < depth; i++)
		wr_str(&w, "[");
	for (size_t i = 0; i < depth; i++)
		wr_str(&w, "]");
	wr_str(&w, depth ? "," : "0,");
	wr_str(&w, "\"objects\":[");
	for (size_t i = 0; i < n; i++)
		wr_str(&w, i ? "," OBJECT : OBJECT);
	wr_str(&w, "]}");
	r = lfs_batch_read(wr_rd(&w), &b);
	lfs_batch_done(&b);
	return r;
}

TEST(limits)
{
	CHECK_EQ("the most objects", read_many(LFS_BATCH_MAX, 0), PARSE_OK);
	CHECK_EQ("one more", read_many(LFS_BATCH_MAX + 1, 0), PARSE_BAD);
	CHECK_EQ("the deepest", read_many(1, LFS_JSON_DEPTH - 1), PARSE_OK);
	CHECK_EQ("one deeper", read_many(1, LFS_JSON_DEPTH), PARSE_BAD);
	CHECK_EQ("as deep as a stack", read_many(1, 200000), PARSE_BAD);
}

TEST(brackets_in_texts_are_no_depth)
{
	struct lfs_batch b;

	CHECK_EQ("quoted", lfs_batch_read(rd_str(DOWN "\"x\":\"\\\"[[[[[[[[[[[[[[[[[[[[[[[\\\\\",\"objects\":[" OBJECT "]}"), &b), PARSE_OK);
	lfs_batch_done(&b);
}

static void check_answer(const char *what, bool upload, struct lfs_offer o, const char *want)
{
	char text[2048];
	struct wr w = wr_of(text, sizeof(text) - 1);
	AUTO(mem) char *all = NULL;

	lfs_batch_write(&w, "https://x/a/b.git", upload, &o, 1);
	text[w.n] = '\0';
	CHECK("written", asprintf(&all, "{\"transfer\":\"basic\",\"hash_algo\":\"sha256\",\"objects\":["
				  "{\"oid\":\"0100000000000000000000000000000000000000000000000000000000000000\",\"size\":7%s}]}\n", want) > 0);
	CHECK_STR(what, text, all);
}

#define ZERO30 "000000000000000000000000000000"
#define AT "https://x/a/b.git/info/lfs/objects/01" ZERO30 ZERO30 "00"
#define LINK "link=0200000000000000000000000000" "0000"

TEST(answers)
{
	struct lfs_offer o = { .object = { { 1 }, 7 }, .result = LFS_LINKED, .life_s = 60, .link = { 2 } };

	check_answer("download", false, o, ",\"authenticated\":true,\"actions\":{\"download\":{\"href\":\"" AT "?" LINK "\",\"expires_in\":60}}");
	check_answer("upload", true, o, ",\"authenticated\":true,\"actions\":{\"upload\":{\"href\":\"" AT "?" LINK "\",\"expires_in\":60},"
				  "\"verify\":{\"href\":\"" AT "/verify?" LINK "\",\"expires_in\":60}}");
	o.result = LFS_THERE;
	check_answer("there", true, o, "");
	o.result = LFS_MISSING;
	check_answer("missing", false, o, ",\"error\":{\"code\":404,\"message\":\"the server does not have this object\"}");
}
