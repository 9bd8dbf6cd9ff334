/*
 * test_lfs_answer.c - which steps of upstream's batch answers are taken
 */
#include "gitproxy/keeper/lfs_answer.h"

#include <errno.h>

#include "gitproxy/keeper/lfs_echo.h"
#include "tests/unit/check.h"

enum { NOW = 1800000000 };		/* 2027-01-15T08:00:00Z */
#define OID "0100000000000000000000000000000000000000000000000000000000000000"
#define URL "https://store.example/a?X-Amz-Signature=0123456789abcdef"
#define ENTRY(more) "{\"objects\":[{\"oid\":\"" OID "\",\"size\":5" more "}]}"
#define GET(step) ENTRY(",\"actions\":{\"download\":{" step "}}")
#define PUT(steps) ENTRY(",\"actions\":{" steps "}")

static const struct lfs_object asked = { { 1 }, 5 };

static int answer(struct rd text, bool upload, struct lfs_found *ret)
{
	AUTO(mem) void *in = check_exact((const char *)text.p, text.n);

	*ret = (struct lfs_found){ 0 };
	return lfs_answer_read(rd_of(in, text.n), upload, &asked, 1, NOW, ret);
}

static const struct { const char *what, *text; size_t n; enum lfs_result want; } downloads[] = {
	{ "a step", W(GET("\"href\":\"" URL "\"")), LFS_LINKED },
	{ "fields", W(GET("\"href\":\"" URL "\",\"header\":{\"Authorization\":\"Basic eDp5\",\"X-A\":\"b c\"}")), LFS_LINKED },
	{ "no fields", W(GET("\"href\":\"" URL "\",\"header\":null")), LFS_LINKED },
	{ "an end", W(GET("\"href\":\"" URL "\",\"expires_at\":\"2027-01-15T08:00:10Z\"")), LFS_LINKED },
	{ "the port said", W(GET("\"href\":\"https://store.example:443/a\"")), LFS_LINKED },
	{ "nothing of it", W("{\"objects\":[]}"), LFS_MISSING },
	{ "another object", W("{\"objects\":[{\"oid\":\"02\",\"size\":5}]}"), LFS_MISSING },
	{ "no step", W(ENTRY("")), LFS_MISSING },
	{ "an error", W(ENTRY(",\"error\":{\"code\":404,\"message\":\"x\"}")), LFS_MISSING },
	{ "an error without a size", W("{\"objects\":[{\"oid\":\"" OID "\",\"error\":{\"code\":404}}]}"), LFS_MISSING },
	{ "another error", W(ENTRY(",\"error\":{\"code\":403}")), LFS_REFUSED },
	{ "an error and a step", W(ENTRY(",\"error\":{\"code\":500},\"actions\":{\"download\":{\"href\":\"" URL "\"}}")), LFS_REFUSED },
	{ "another size", W("{\"objects\":[{\"oid\":\"" OID "\",\"size\":6,\"actions\":{\"download\":{\"href\":\"" URL "\"}}}]}"), LFS_SIZE_DIFFERS },
	{ "no size", W("{\"objects\":[{\"oid\":\"" OID "\",\"actions\":{\"download\":{\"href\":\"" URL "\"}}}]}"), LFS_REFUSED },
	{ "no URL", W(GET("\"x\":1")), LFS_REFUSED },
	{ "in the clear", W(GET("\"href\":\"http://store.example/a\"")), LFS_REFUSED },
	{ "no scheme", W(GET("\"href\":\"//store.example/a\"")), LFS_REFUSED },
	{ "relative", W(GET("\"href\":\"/a\"")), LFS_REFUSED },
	{ "another port", W(GET("\"href\":\"https://store.example:444/a\"")), LFS_REFUSED },
	{ "an address", W(GET("\"href\":\"https://169.254.169.254/a\"")), LFS_REFUSED },
	{ "userinfo", W(GET("\"href\":\"https://x@store.example/a\"")), LFS_REFUSED },
	{ "a fragment", W(GET("\"href\":\"https://store.example/a#b\"")), LFS_REFUSED },
	{ "a line feed", W(GET("\"href\":\"https://store.example/a\\r\\nX: y\"")), LFS_REFUSED },
	{ "a space", W(GET("\"href\":\"https://store.example/a b\"")), LFS_REFUSED },
	{ "no letters of a host", W(GET("\"href\":\"https://st\xc3\xb6re.example/a\"")), LFS_REFUSED },
	{ "fields that are none", W(GET("\"href\":\"" URL "\",\"header\":[]")), LFS_REFUSED },
	{ "a value that is no text", W(GET("\"href\":\"" URL "\",\"header\":{\"A\":1}")), LFS_REFUSED },
	{ "an empty value", W(GET("\"href\":\"" URL "\",\"header\":{\"A\":\"\"}")), LFS_REFUSED },
	{ "a name with a colon", W(GET("\"href\":\"" URL "\",\"header\":{\"A:b\":\"c\"}")), LFS_REFUSED },
	{ "a value of two lines", W(GET("\"href\":\"" URL "\",\"header\":{\"A\":\"b\\r\\nC: d\"}")), LFS_REFUSED },
	{ "Host", W(GET("\"href\":\"" URL "\",\"header\":{\"hOST\":\"github.com\"}")), LFS_REFUSED },
	{ "framing", W(GET("\"href\":\"" URL "\",\"header\":{\"Content-Length\":\"5\",\"Transfer-Encoding\":\"chunked\"}")), LFS_LINKED },
	{ "another protocol", W(GET("\"href\":\"" URL "\",\"header\":{\"Upgrade\":\"x\"}")), LFS_REFUSED },
	{ "a part of it", W(GET("\"href\":\"" URL "\",\"header\":{\"Range\":\"bytes=0-1\"}")), LFS_REFUSED },
	{ "over", W(GET("\"href\":\"" URL "\",\"expires_in\":-1")), LFS_REFUSED },
	{ "over by the clock", W(GET("\"href\":\"" URL "\",\"expires_at\":\"2027-01-15T08:00:00Z\"")), LFS_REFUSED },
};

TEST(steps_of_downloads)
{
	for (size_t i = 0; i < ARRAY_SIZE(downloads); i++) {
		struct lfs_found f;

		CHECK_EQ(downloads[i].what, answer(rd_of(downloads[i].text, downloads[i].n), false, &f), 0);
		CHECK_EQ(downloads[i].what, f.result, downloads[i].want);
		CHECK_EQ(downloads[i].what, f.action != NULL, downloads[i].want == LFS_LINKED);
		lfs_found_done(&f, 1);
	}
}

static const struct { const char *what, *text; size_t n; enum lfs_result want; bool verify; } uploads[] = {
	{ "a step", W(PUT("\"upload\":{\"href\":\"" URL "\"}")), LFS_LINKED, false },
	{ "and a word", W(PUT("\"upload\":{\"href\":\"" URL "\"},\"verify\":{\"href\":\"" URL "\"}")), LFS_LINKED, true },
	{ "a word in the clear", W(PUT("\"upload\":{\"href\":\"" URL "\"},\"verify\":{\"href\":\"http://x.example\"}")), LFS_REFUSED, false },
	{ "there", W(ENTRY("")), LFS_THERE, false },
	{ "nothing of it", W("{\"objects\":[]}"), LFS_REFUSED, false },
	{ "an error", W(ENTRY(",\"error\":{\"code\":422}")), LFS_REFUSED, false },
};

TEST(steps_of_uploads)
{
	for (size_t i = 0; i < ARRAY_SIZE(uploads); i++) {
		struct lfs_found f;

		CHECK_EQ(uploads[i].what, answer(rd_of(uploads[i].text, uploads[i].n), true, &f), 0);
		CHECK_EQ(uploads[i].what, f.result, uploads[i].want);
		CHECK_EQ(uploads[i].what, f.verify != NULL, uploads[i].verify);
		lfs_found_done(&f, 1);
	}
}

TEST(what_is_no_answer)
{
	static const char *const texts[] = { "", "[]", "{}", "<html>", "{\"objects\":{}}", "{\"objects\":null}",
		"{\"transfer\":\"tus\",\"objects\":[]}", "{\"transfer\":1,\"objects\":[]}", "{\"hash_algo\":\"sha1\",\"objects\":[]}",
		"{\"objects\":[],\"objects\":[]}", "{\"objects\":[]", "{\"objects\":[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]]}" };

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		struct lfs_found f;

		CHECK_EQ(texts[i], answer(rd_str(texts[i]), false, &f), -EBADMSG);
	}
}

TEST(what_a_step_holds)
{
	struct lfs_found f;

	CHECK_EQ("read", answer(rd_str(GET("\"href\":\"" URL "\",\"header\":{\"Authorization\":\"Basic eDp5eHl6\"},\"expires_in\":99")), false, &f), 0);
	CHECK_STR("url", f.action->url, URL);
	CHECK_STR("host", f.action->host, "store.example");
	CHECK_STR("a field, whatever its case", lfs_action_field(f.action, "authorization"), "Basic eDp5eHl6");
	CHECK_STR("none", lfs_action_field(f.action, "auth"), "");
	CHECK_EQ("life", f.action->life_s, 99);
	lfs_found_done(&f, 1);
	CHECK_EQ("read", answer(rd_str(GET("\"href\":\"" URL "\",\"header\":{\"transfer-Encoding\":\"chunked\",\"X\":\"y\"}")), false, &f), 0);
	CHECK_EQ("framing is ours", f.action->n, 1);
	CHECK_STR("the rest is not", f.action->field[0], "X: y");
	lfs_found_done(&f, 1);
	CHECK_EQ("read", answer(rd_str(GET("\"href\":\"" URL "\",\"expires_in\":9999999999")), false, &f), 0);
	CHECK_EQ("cut", f.action->life_s, LFS_LIFE_S);
	lfs_found_done(&f, 1);
	CHECK_EQ("read", answer(rd_str(GET("\"href\":\"" URL "\",\"expires_at\":\"2027-01-15T10:01:00.123+02:00\"")), false, &f), 0);
	CHECK_EQ("another zone", f.action->life_s, 60);
	lfs_found_done(&f, 1);
}

TEST(secrets_of_a_step)
{
	struct lfs_found f;
	struct echo *e = NULL;

	CHECK_EQ("read", answer(rd_str(GET("\"href\":\"" URL "&b=notasecret\",\"header\":{\"Authorization\":\"Basic eDp5eHl6eHl6\",\"Accept\":\"application/x\"}")), false, &f), 0);
	CHECK_EQ("made", lfs_echo_new(f.action, &e), 0);
	CHECK("authorization", echo_in(e, rd_str("xx eDp5eHl6eHl6 xx")));
	CHECK("signature", echo_in(e, rd_str("xx 0123456789abcdef xx")));
	CHECK("others are none", !echo_in(e, rd_str("application/x notasecret Basic https://store.example/a")));
	echo_free(e);
	lfs_found_done(&f, 1);
}

TEST(questions)
{
	const struct lfs_object two[] = { { { 1 }, 5 }, { { 2 }, 281474976710656 } };
	char text[LFS_ASK_HEAD + 2 * LFS_ASK_ENTRY + 1];
	struct wr w = wr_of(text, sizeof(text) - 1);

	lfs_ask_write(&w, true, two, 2);
	text[w.n] = '\0';
	CHECK_STR("upload", text, "{\"operation\":\"upload\",\"transfers\":[\"basic\"],\"hash_algo\":\"sha256\",\"objects\":["
		  "{\"oid\":\"" OID "\",\"size\":5},{\"oid\":\"0200000000000000000000000000000000000000000000000000000000000000\",\"size\":281474976710656}]}");
}
