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

/* Made by Go's encoding/json and html/template, .NET, PHP, python's repr and encodebytes; and mixed. */
static const struct { const char *what, *text; } mixed[] = {
	{ "JSON, HTML's signs", "ghp_S3cr/et\\u002B\\u0022t0ken\\\\x" },
	{ "JSON, lower", "ghp_S3cr\\/et\\u002b\\\"t0ken\\u005cx" },
	{ "HTML, decimal", "ghp_S3cr/et&#43;&#34;t0ken\\x" },
	{ "HTML, all decimal", "&#103;&#104;&#112;&#95;&#83;&#51;&#99;&#114;&#47;&#101;&#116;&#43;&#34;&#116;&#48;&#107;"
			       "&#101;&#110;&#92;&#120;" },
	{ "HTML, zeros and capitals", "ghp_S3cr&#X002f;et&#00043;&quot;t0ken&#x05C;x" },
	{ "percent, some", "ghp%5FS3cr/et%2b\"t0ken%5Cx" },
	{ "source", "ghp_S3cr/et+\\x22t0ken\\\\x" },
	{ "each in another", "%67hp&#x5f;S3cr\\/et\\u002B&quot;t0ken\\x5cx" },
	{ "base64, lines of JSON", "Z2hwX1MzY3IvZXQrIn\\nQwa2VuXHg=" },
	{ "base64, cut twice", "YTpnaHBfUzN\r\njci9ldCsidDB\n  rZW5ceA==" },
	{ "hex with colons", "67:68:70:5f:53:33:63:72:2f:65:74:2b:22:74:30:6b:65:6e:5c:78" },
	{ "HEX with colons", "67:68:70:5F:53:33:63:72:2F:65:74:2B:22:74:30:6B:65:6E:5C:78" },
};

TEST(mixed_spellings_at_every_border)
{
	AUTO(echo) struct echo *e = echo_of(TOKEN);

	for (size_t i = 0; i < ARRAY_SIZE(mixed); i++)
		for (size_t before = 0; before < 20; before++)
			for (size_t step = 1; step < 200; step += step < 8 ? 1 : 13) {
				char text[512], out[512];
				struct wr w = wr_of(out, sizeof(out));
				int n = snprintf(text, sizeof(text), "%.*s%s tail", (int)before, "%6 \\u00 &#1 <&>\r\n--",
						 mixed[i].text);

				CHECK(mixed[i].what, !feed(e, rd_of(text, (size_t)n), step, &w));
				CHECK(mixed[i].what, w.n <= before + 4);
			}
}

/* Base64 in lines, at each place modulo three and each column. */
TEST(lines_end_anywhere)
{
	static const char *const ends[] = { "\n", "\r\n", "\\n", "\r\n\t" };
	AUTO(echo) struct echo *e = echo_of(TOKEN);

	for (size_t i = 0; i < ARRAY_SIZE(spellings); i++)
		for (size_t at = 1; !strncmp(spellings[i].what, "base64", 6) && at < strlen(spellings[i].text); at++)
			for (size_t k = 0; k < ARRAY_SIZE(ends); k++) {
				char text[512], out[512];
				struct wr w = wr_of(out, sizeof(out));
				int n = snprintf(text, sizeof(text), "%.*s%s%s", (int)at, spellings[i].text, ends[k],
						 spellings[i].text + at);

				CHECK(spellings[i].what, !feed(e, rd_of(text, (size_t)n), 5, &w));
				CHECK(spellings[i].what, echo_in(e, rd_of(text, (size_t)n)));
			}
}

/* Signs that stand for themselves or begin an escape. */
TEST(signs_of_escapes_in_a_secret)
{
	static const struct { const char *secret, *text; bool clean; } rows[] = {
		{ "a%41b%42c", "a%41b%42c", false }, { "a%41b%42c", "a%2541b%2542c", false },
		{ "a%41b%42c", "a%41b%2542c", false }, { "a%41b%42c", "aAbBc", true },
		{ "a\\\\b\\cdef", "a\\\\b\\cd&#101;f", false }, { "a\\\\b\\cdef", "a\\\\\\\\b\\\\cdef", false },
		{ "a&amp;b&c", "a&amp;amp;b&amp;c", false }, { "a&amp;b&c", "a&amp;amp;b&c", false },
		{ "a&amp;b&c", "a&b&amp;c;", true },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		for (size_t step = 1; step < 20; step++) {
			AUTO(echo) struct echo *e = echo_of(rows[i].secret);
			char out[256];
			struct wr w = wr_of(out, sizeof(out));

			CHECK_EQ(rows[i].text, feed(e, rd_str(rows[i].text), step, &w), rows[i].clean);
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
		"%", "&", "&#", "&#x2", "\\u00", "a\r\n", "100% \\n &amp; %67 %68%70", "Z2hwX1Mz\r\n", "Z2hwX1Mz\r\nY3IvZXQ\n",
		"ghp&#95;S3cr&#47;et&#43;&#34;t0ken\\y", "&#00000000103;hp_S3cr/et+\"t0ken\\x",
		"ghp_S3cr/et+\"t0keN\\x", "hp_S3cr/et+\"t0ken\\x",
	};
	AUTO(echo) struct echo *e = echo_of(TOKEN);

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
		for (size_t step = 1; step < 30; step++) {
			char out[128];
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
