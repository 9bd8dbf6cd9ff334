/*
 * test_echo.c - every spelling of a secret, at every place, in pieces of every size
 */
#include "tests/unit/check.h"

#include "gitproxy/keeper/echo.h"

#define TOKEN "ghp_S3cr/et+\"t0ken\\x"

static struct echo *echo_of(const char *secret)
{
	struct echo *e = NULL;

	if (echo_new(&e) || echo_add(e, rd_str(secret)))
		abort();
	return e;
}

/* Feed in pieces; what passed goes to `out`. False: found. */
static bool feed(const struct echo *e, struct rd in, size_t step, struct wr *out)
{
	struct echo_scan s;
	struct rd piece, pass;
	bool ok = true;

	echo_scan_init(&s, e);
	while (ok && rd_left(&in)) {
		if (!rd_take(&in, in.n < step ? in.n : step, &piece))
			abort();
		AUTO(mem) void *exact = check_exact(piece.p, piece.n);

		ok = echo_scan_next(&s, rd_of(exact, piece.n), &pass);
		wr_rd_all(out, pass);
	}
	if (ok)
		wr_rd_all(out, echo_scan_end(&s));
	echo_scan_done(&s);
	return ok;
}

/* Made by other programs, not by ours: python's base64, binascii, urllib.parse and json. */
static const struct { const char *what, *text; size_t lead; } spellings[] = {
	{ "raw", TOKEN },
	{ "base64", "Z2hwX1MzY3IvZXQrInQwa2VuXHg=" },
	{ "base64 of a pair", "eC1hY2Nlc3MtdG9rZW46Z2hwX1MzY3IvZXQrInQwa2VuXHg=", 20 },
	{ "base64 of a pair, one byte on", "YTpnaHBfUzNjci9ldCsidDBrZW5ceA==", 3 },
	{ "base64 of a pair, two bytes on", "YWE6Z2hwX1MzY3IvZXQrInQwa2VuXHg=", 4 },
	{ "base64 of a pair, and more", "YWFhOmdocF9TM2NyL2V0KyJ0MGtlblx4Cg==", 6 },
	{ "base64url", "YTpnaHBfUzNjci9ldCsidDBrZW5ceA", 3 },
	{ "hex", "6768705f533363722f65742b2274306b656e5c78" },
	{ "HEX", "6768705F533363722F65742B2274306B656E5C78" },
	{ "percent", "ghp_S3cr%2Fet%2B%22t0ken%5Cx" },
	{ "percent, lower", "ghp_S3cr%2fet%2b%22t0ken%5cx" },
	{ "percent, all", "%67%68%70%5f%53%33%63%72%2f%65%74%2b%22%74%30%6b%65%6e%5c%78" },
	{ "JSON", "ghp_S3cr/et+\\\"t0ken\\\\x" },
	{ "JSON, slashes too", "ghp_S3cr\\/et+\\\"t0ken\\\\x" },
	{ "HTML", "ghp_S3cr/et+&quot;t0ken\\x" },
	{ "HTML, slashes too", "ghp_S3cr&#x2F;et+&quot;t0ken\\x" },
	{ "JSON, all", "\\u0067\\u0068\\u0070\\u005f\\u0053\\u0033\\u0063\\u0072\\u002f\\u0065\\u0074\\u002b\\u0022\\u0074"
		       "\\u0030\\u006b\\u0065\\u006e\\u005c\\u0078" },
};

TEST(every_spelling_at_every_border)
{
	AUTO(echo) struct echo *e = echo_of(TOKEN);

	for (size_t i = 0; i < ARRAY_SIZE(spellings); i++)
		for (size_t before = 0; before < 40; before++)
			for (size_t step = 1; step < 130; step += step < 8 ? 1 : 13) {
				char text[512], out[512];
				struct wr w = wr_of(out, sizeof(out));
				int n = snprintf(text, sizeof(text), "%.*s%s tail", (int)before,
						 "0032 a line of some forty bytes, or so, it is", spellings[i].text);

				CHECK(spellings[i].what, !feed(e, rd_of(text, (size_t)n), step, &w));
				CHECK(spellings[i].what, w.n <= before + spellings[i].lead);	/* not a byte of it went on */
			}
}

TEST(in_utf_16)
{
	static const char be[] = "x\0g\0h\0p\0_\0S\0003\0c\0r\0/\0e\0t\0+\0\"\0t\0000\0k\0e\0n\0\\\0x\0y";
	AUTO(echo) struct echo *e = echo_of(TOKEN);

	CHECK("either order", echo_in(e, rd_of(be, sizeof(be))));
	CHECK("all of it", !echo_in(e, rd_of(be, sizeof(be) - 6)));
}

TEST(other_text_passes_whole)
{
	static const char *const texts[] = {
		"", "g", "gh", "ghp_", "ghp_S3cr/et+\"t0ken\\", "ghp_S3cr/et+\"t0ken\\y", "ghp_ghp_ghp_S3cr", "Z2hwX1MzY3I", "6768705f",
		"ghp_S3cr/et+\"t0keN\\x", "hp_S3cr/et+\"t0ken\\x",
	};
	AUTO(echo) struct echo *e = echo_of(TOKEN);

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
		for (size_t step = 1; step < 30; step++) {
			char out[64];
			struct wr w = wr_of(out, sizeof(out));

			CHECK(texts[i], feed(e, rd_str(texts[i]), step, &w));
			CHECK(texts[i], rd_eq_str(wr_rd(&w), texts[i]));
		}
}

TEST(nothing_is_held_back_without_need)
{
	AUTO(echo) struct echo *e = echo_of("abcdefgh");
	struct echo_scan s;
	struct rd pass;

	echo_scan_init(&s, e);
	CHECK("flush", echo_scan_next(&s, rd_str("0000"), &pass));
	CHECK("goes at once", rd_eq_str(pass, "0000"));
	CHECK("its beginning", echo_scan_next(&s, rd_str("xxabc"), &pass));
	CHECK("is held back", rd_eq_str(pass, "xx"));
	CHECK("the end", rd_eq_str(echo_scan_end(&s), "abc"));
	CHECK("not it", echo_scan_next(&s, rd_str("x"), &pass));
	CHECK("goes then", rd_eq_str(pass, "abcx"));
	echo_scan_done(&s);
}

TEST(several_secrets_and_none)
{
	AUTO(echo) struct echo *e = echo_of("first-secret");
	char out[256];
	struct wr w = wr_of(out, sizeof(out));

	CHECK("short", echo_add(e, rd_str("1234567")) < 0);
	CHECK("empty", echo_add(e, rd_str("")) < 0);
	CHECK_EQ("another", echo_add(e, rd_str("second-one")), 0);
	CHECK("second", echo_in(e, rd_str("a second-one")));
	CHECK("first", echo_in(e, rd_str("a first-secret")));
	CHECK("none", feed(NULL, rd_str("a first-secret"), 3, &w));
	CHECK("passes", rd_eq_str(wr_rd(&w), "a first-secret"));
	CHECK("no echo", !echo_in(NULL, rd_str("x")));
}
