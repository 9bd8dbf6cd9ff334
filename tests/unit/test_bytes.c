/*
 * test_bytes.c - the cursor and the writer at their bounds, and escaping
 *
 * Every getter and writer is tried at what is left, one more, and SIZE_MAX: rows in the parsers
 * above would not catch an off-by-one here.
 */
#include "tests/unit/check.h"

#include "base/bytes.h"

static const uint8_t eight[8] = { 1, 2, 3, 4, 5, 6, 7, 8 };

/* A failed getter empties the reader, marks it, and stays failed. */
static void check_failed(const char *what, struct rd *r)
{
	uint8_t v = 9;

	CHECK(what, !rd_ok(r));
	CHECK(what, !rd_done(r));
	CHECK_EQ(what, rd_left(r), 0);
	CHECK_EQ(what, rd_u8(r, &v), false);
	CHECK_EQ(what, v, 0);
}

TEST(take_and_skip_and_copy)
{
	static const struct { const char *what; size_t n; bool ok; } rows[] = {
		{ "nothing", 0, true }, { "one less", 7, true }, { "all", 8, true },
		{ "one more", 9, false }, { "SIZE_MAX", SIZE_MAX, false },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		AUTO(mem) uint8_t *in = check_exact(eight, sizeof(eight));
		struct rd a = rd_of(in, 8), b = a, child = rd_of(in, 3);

		CHECK_EQ(rows[i].what, rd_take(&a, rows[i].n, &child), rows[i].ok);
		CHECK_EQ(rows[i].what, rd_skip(&b, rows[i].n), rows[i].ok);
		CHECK_EQ(rows[i].what, child.n, rows[i].ok ? rows[i].n : 0);
		CHECK_EQ(rows[i].what, rd_ok(&child), true);
		if (rows[i].ok) {
			CHECK_EQ(rows[i].what, rd_left(&a), 8 - rows[i].n);
			CHECK_EQ(rows[i].what, rd_left(&b), 8 - rows[i].n);
		} else {
			CHECK("zeroed", child.p == NULL);
			check_failed(rows[i].what, &a);
			check_failed(rows[i].what, &b);
		}
	}
}

TEST(copy)
{
	AUTO(mem) uint8_t *in = check_exact(eight, sizeof(eight));
	uint8_t to[9] = { 0 };
	struct rd r = rd_of(in, 8);

	CHECK_EQ("all", rd_copy(&r, to, 8), true);
	CHECK_EQ("all", memcmp(to, eight, 8), 0);
	CHECK_EQ("nothing of nothing", rd_copy(&r, NULL, 0), true);
	r = rd_of(in, 8);
	memset(to, 0xff, sizeof(to));
	CHECK_EQ("one more", rd_copy(&r, to, 9), false);
	for (size_t i = 0; i < sizeof(to); i++)
		CHECK_EQ("zeroed", to[i], 0);
	check_failed("one more", &r);
}

TEST(integers)
{
	static const struct { size_t width; uint64_t want; bool ok; } rows[] = {
		{ 0, 0, true },
		{ 1, 0x01, true },
		{ 2, 0x0102, true },
		{ 3, 0x010203, true },
		{ 4, 0x01020304, true },
		{ 7, 0x01020304050607, true },
		{ 8, 0x0102030405060708, true },
		{ 9, 0, false },
		{ SIZE_MAX, 0, false },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		AUTO(mem) uint8_t *in = check_exact(eight, sizeof(eight));
		struct rd r = rd_of(in, 8);
		uint64_t v = 99;

		CHECK_EQ("width", rd_uint(&r, rows[i].width, &v), rows[i].ok);
		CHECK_EQ("value", v, rows[i].want);
		if (!rows[i].ok)
			check_failed("width", &r);
	}
	/* One byte short, for each width. */
	for (size_t width = 1; width <= 8; width++) {
		AUTO(mem) uint8_t *in = check_exact(eight, width - 1);
		struct rd r = rd_of(in, width - 1);
		uint64_t v = 99;

		CHECK_EQ("short", rd_uint(&r, width, &v), false);
		CHECK_EQ("zeroed", v, 0);
		check_failed("short", &r);
	}
}

/* The named getters move by their width and fail when one byte is missing. */
#define NAMED(getter, type, width, value) \
	do { \
		AUTO(mem) uint8_t *all = check_exact(eight, width); \
		AUTO(mem) uint8_t *less = check_exact(eight, (width) - 1); \
		struct rd r = rd_of(all, width); \
		type v = 9; \
		CHECK_EQ(#getter, getter(&r, &v), true); \
		CHECK_EQ(#getter, v, value); \
		CHECK(#getter, rd_done(&r)); \
		r = rd_of(less, (width) - 1); \
		CHECK_EQ(#getter, getter(&r, &v), false); \
		CHECK_EQ(#getter, v, 0); \
		check_failed(#getter, &r); \
	} while (0)

TEST(named_getters)
{
	NAMED(rd_u8, uint8_t, 1, 0x01);
	NAMED(rd_u16, uint16_t, 2, 0x0102);
	NAMED(rd_u24, uint32_t, 3, 0x010203);
	NAMED(rd_u32, uint32_t, 4, 0x01020304);
	NAMED(rd_u64, uint64_t, 8, 0x0102030405060708);
}

TEST(vectors)
{
	static const struct { const char *what, *wire; size_t n, width, child; bool ok; } rows[] = {
		{ "empty of one", W("\0"), 1, 0, true },
		{ "exact", W("\2ab"), 1, 2, true },
		{ "something after", W("\1ab"), 1, 1, true },
		{ "one more than left", W("\3ab"), 1, 0, false },
		{ "u16", W("\0\2ab"), 2, 2, true },
		{ "u16 lies", W("\1\0ab"), 2, 0, false },
		{ "u16 cut", W("\0"), 2, 0, false },
		{ "u64 of all ones", W("\377\377\377\377\377\377\377\377ab"), 8, 0, false },
		{ "width 9", W("\0\0\0\0\0\0\0\0\1a"), 9, 0, false },
		{ "nothing", W(""), 1, 0, false },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		AUTO(mem) void *in = check_exact(rows[i].wire, rows[i].n);
		struct rd r = rd_of(in, rows[i].n), child = r;

		CHECK_EQ(rows[i].what, rd_vec(&r, rows[i].width, &child), rows[i].ok);
		CHECK_EQ(rows[i].what, child.n, rows[i].child);
		if (!rows[i].ok)
			check_failed(rows[i].what, &r);
	}
}

TEST(a_child_cannot_see_past_its_length)
{
	AUTO(mem) void *in = check_exact("\1abc", 4);
	struct rd r = rd_of(in, 4), child;
	uint16_t v;

	CHECK("child", rd_vec(&r, 1, &child));
	CHECK_EQ("u16 of one byte", rd_u16(&child, &v), false);
	CHECK_EQ("parent goes on", rd_left(&r), 2);
	CHECK("parent is well", rd_ok(&r));
}

TEST(until)
{
	AUTO(mem) void *in = check_exact("ab\ncd", 5);
	struct rd r = rd_of(in, 5), line, none = rd_of(NULL, 0);

	CHECK("found", rd_until(&r, '\n', &line));
	CHECK("line", rd_eq_str(line, "ab"));
	CHECK_EQ("rest", rd_left(&r), 2);
	CHECK_EQ("none left", rd_until(&r, '\n', &line), false);
	CHECK_EQ("zeroed", line.n, 0);
	check_failed("none left", &r);
	CHECK_EQ("of nothing", rd_until(&none, '\n', &line), false);
	r = rd_of(in, 3);
	CHECK("stop is the last byte", rd_until(&r, '\n', &line) && rd_done(&r));
}

TEST(pieces)
{
	static const struct { const char *what, *text, *piece, *rest; } rows[] = {
		{ "none", "", "", "" }, { "one", "ab", "ab", "" }, { "two", "ab,c", "ab", "c" },
		{ "of three", "a,b,c", "a", "b,c" }, { "the first is empty", ",c", "", "c" },
		{ "the stop is the last byte", "ab,", "ab", "" }, { "only a stop", ",", "", "" },
	};
	struct rd failed = rd_of("a,b", 3), none = { 0 };

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		AUTO(mem) void *in = check_exact(rows[i].text, strlen(rows[i].text));
		struct rd r = rd_of(in, strlen(rows[i].text));

		CHECK_EQ(rows[i].what, rd_has(r, ','), strchr(rows[i].text, ',') != NULL);
		CHECK(rows[i].what, rd_eq_str(rd_piece(&r, ','), rows[i].piece));
		CHECK(rows[i].what, rd_eq_str(r, rows[i].rest) && rd_ok(&r));
	}
	CHECK("of nothing", rd_eq_str(rd_piece(&none, ','), "") && rd_done(&none) && !rd_has(none, 0));
	rd_fail(&failed);
	CHECK("failed stays failed", rd_piece(&failed, ',').failed && !rd_has(failed, ','));
	check_failed("failed stays failed", &failed);
}

TEST(hex_in)
{
	static const struct { const char *what, *text; size_t n; bool ok; uint8_t first; } rows[] = {
		{ "nothing", "", 0, true, 0 }, { "one", "0f", 1, true, 0x0f }, { "more follows", "a90", 1, true, 0xa9 },
		{ "three", "00ff80", 3, true, 0 }, { "half of one", "0", 1, false, 0 }, { "one too few", "0102", 3, false, 0 },
		{ "upper case", "0F", 1, false, 0 }, { "behind f", "0g", 1, false, 0 }, { "before 0", "/0", 1, false, 0 },
		{ "behind 9", "0:", 1, false, 0 }, { "before a", "`0", 1, false, 0 }, { "the second is none", "12 3", 2, false, 0 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		size_t n = strlen(rows[i].text);
		AUTO(mem) void *in = check_exact(rows[i].text, n);
		uint8_t to[4] = { 0, 0, 0, 0xee };
		struct rd r = rd_of(in, n);

		CHECK_EQ(rows[i].what, rd_hex(&r, to, rows[i].n), rows[i].ok);
		CHECK_EQ(rows[i].what, to[0], rows[i].first);
		CHECK_EQ("no more than asked for", to[3], 0xee);
		if (rows[i].ok)
			CHECK_EQ(rows[i].what, rd_left(&r), n - 2 * rows[i].n);
		else
			check_failed(rows[i].what, &r);
	}
	CHECK("either case", hex_digit('F') == 15 && hex_digit('f') == 15 && hex_digit('9') == 9);
	CHECK("none", hex_digit('G') < 0 && hex_digit('@') < 0 && hex_digit(0) < 0 && hex_digit(0xff) < 0);
}

TEST(hex_out)
{
	static const uint8_t in[] = { 0x00, 0x9a, 0xff };
	char text[2 * sizeof(in) + 1];
	uint8_t room[6];
	struct wr w = wr_of(room, sizeof(room)), small = wr_of(room, sizeof(room) - 1);

	CHECK("all", wr_hex(&w, in, 3) && rd_eq_str(wr_rd(&w), "009aff"));
	CHECK("full", wr_hex(&w, in, 0) && !wr_hex(&w, in, 1) && !wr_ok(&w));
	CHECK("a byte too little", !wr_hex(&small, in, 3) && !small.n);
	bytes_hex(in, sizeof(in), text);
	CHECK_STR("as text", text, "009aff");
}

TEST(trimming)
{
	static const struct { const char *text, *want; } rows[] = {
		{ "", "" }, { " ", "" }, { " \t ", "" }, { "a", "a" }, { " a", "a" }, { "a\t", "a" }, { "\t a b \r", "a b" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		AUTO(mem) void *in = check_exact(rows[i].text, strlen(rows[i].text));

		CHECK(rows[i].text, rd_eq_str(rd_trim(rd_of(in, strlen(rows[i].text))), rows[i].want));
	}
	CHECK("a NUL is no blank", rd_eq(rd_trim(rd_of("\0a\0", 3)), "\0a\0", 3));
	CHECK("nor is a line feed", rd_eq_str(rd_trim(rd_of("\n", 1)), "\n"));
}

TEST(comparing)
{
	AUTO(mem) void *in = check_exact("Host", 4);
	struct rd r = rd_of(in, 4), failed = r;

	CHECK("same", rd_eq_str(r, "Host"));
	CHECK("longer", !rd_eq_str(r, "Hosts"));
	CHECK("shorter", !rd_eq_str(r, "Hos"));
	CHECK("other case", !rd_eq_str(r, "host"));
	CHECK("folded", rd_eq_nocase(r, "hOST"));
	CHECK("folded longer", !rd_eq_nocase(r, "hosts"));
	CHECK("only letters fold",
	      !rd_eq_nocase(rd_of("@", 1), "`") && !rd_eq_nocase(rd_of("[", 1), "{"));
	CHECK("prefix longer than all", !rd_prefix(&r, "Hosts") && rd_left(&r) == 4 && rd_ok(&r));
	CHECK("prefix", rd_prefix(&r, "Ho") && rd_left(&r) == 2);
	CHECK("all", rd_prefix(&r, "st") && rd_done(&r));
	rd_fail(&failed);
	CHECK("failed equals nothing", !rd_eq(failed, NULL, 0) && !rd_eq_str(failed, "") &&
	      !rd_eq_nocase(failed, "") && !rd_prefix(&failed, ""));
}

TEST(writer_bounds)
{
	static const struct { const char *what; size_t n; bool ok; } rows[] = {
		{ "one less", 7, true },
		{ "all", 8, true },
		{ "one more", 9, false },
		{ "SIZE_MAX", SIZE_MAX, false },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		AUTO(mem) uint8_t *out = check_exact(eight, 8);
		struct wr w = wr_of(out, 8);

		CHECK_EQ(rows[i].what, wr_room(&w, rows[i].n) != NULL, rows[i].ok);
		CHECK_EQ(rows[i].what, wr_ok(&w), rows[i].ok);
		CHECK_EQ(rows[i].what, wr_rd(&w).n, rows[i].ok ? rows[i].n : 0);
		/* From the middle: cap - n must not wrap. */
		w = wr_of(out, 8);
		CHECK("three", wr_put(&w, "abc", 3));
		CHECK_EQ(rows[i].what, wr_room(&w, rows[i].n) != NULL, rows[i].n <= 5);
		CHECK_EQ("sticky", wr_u8(&w, 1), rows[i].n < 5);
	}
}

TEST(writer_integers)
{
	AUTO(mem) uint8_t *out = check_exact(eight, 8);
	struct wr w = wr_of(out, 8);

	CHECK("u8", wr_u8(&w, 0xab) && out[0] == 0xab);
	CHECK("u16", wr_u16(&w, 0x0102) && out[1] == 1 && out[2] == 2);
	CHECK("u32", wr_u32(&w, 0x03040506) && out[3] == 3 && out[6] == 6);
	CHECK_EQ("u16 into one byte", wr_u16(&w, 1), false);
	CHECK_EQ("sticky", wr_u8(&w, 1), false);
	CHECK_EQ("nothing of it counts", wr_rd(&w).n, 0);
	w = wr_of(out, 8);
	CHECK("width 8", wr_uint(&w, 8, 0x0102030405060708) && !memcmp(out, eight, 8));
	w = wr_of(out, 8);
	CHECK_EQ("width 9", wr_uint(&w, 9, 0), false);
	CHECK("failed", !wr_ok(&w));
	w = wr_of(out, 0);
	CHECK_EQ("no room at all", wr_u8(&w, 0), false);
}

TEST(writer_text)
{
	AUTO(mem) uint8_t *out = check_exact(eight, 8);
	struct wr w = wr_of(out, 8);

	CHECK("text", wr_str(&w, "ab") && wr_fmt(&w, "%d", 1234));
	CHECK("six", rd_eq_str(wr_rd(&w), "ab1234"));
	CHECK("the NUL needs room", !wr_fmt(&w, "%d", 56));
	CHECK("failed", !wr_ok(&w) && !wr_fmt(&w, "%s", "") && !wr_str(&w, ""));
	w = wr_of(out, 0);
	CHECK("no room at all", !wr_fmt(&w, "%s", ""));
}
TEST(writer_decimal)
{
	static const struct { uint64_t v; const char *want; } rows[] = {
		{ 0, "0" }, { 9, "9" }, { 10, "10" }, { 1234567, "1234567" }, { UINT64_MAX, "18446744073709551615" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		size_t n = strlen(rows[i].want);
		AUTO(mem) uint8_t *out = malloc(n);
		struct wr w = wr_of(out, n);

		CHECK("fits", wr_decimal(&w, rows[i].v) && rd_eq_str(wr_rd(&w), rows[i].want));
		w = wr_of(out, n - 1);
		CHECK("does not", !wr_decimal(&w, rows[i].v) && !wr_ok(&w));
	}
}

TEST(escape)
{
	static const struct { const char *what, *in; size_t n, max; const char *want; } rows[] = {
		{ "plain", W("github.com"), 256, "github.com" },
		{ "empty", W(""), 256, "" },
		{ "quote and backslash", W("a\"b\\c"), 256, "a\\\"b\\\\c" },
		{ "newlines", W("a\r\nb\tc"), 256, "a\\x0d\\x0ab\\x09c" },
		{ "NUL", W("a\0b"), 256, "a\\x00b" },
		{ "ANSI", W("\33[2J"), 256, "\\x1b[2J" },
		{ "DEL", W("\177"), 256, "\\x7f" },
		{ "U+009B", W("\xc2\x9b" "31m"), 256, "\\xc2\\x9b31m" },
		{ "good UTF-8", W("\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80"), 256,
		  "\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80" },
		{ "lone continuation", W("\x80"), 256, "\\x80" },
		{ "cut character", W("a\xe2\x82"), 256, "a\\xe2\\x82" },
		{ "overlong slash", W("\xc0\xaf"), 256, "\\xc0\\xaf" },
		{ "surrogate", W("\xed\xa0\x80"), 256, "\\xed\\xa0\\x80" },
		{ "above U+10FFFF", W("\xf4\x90\x80\x80"), 256, "\\xf4\\x90\\x80\\x80" },
		{ "direction override", W("\xe2\x80\xae"), 256, "\\xe2\\x80\\xae" },
		{ "as long as allowed", W("abc"), 3, "abc" },
		{ "one too long", W("abcd"), 3, "abc..." },
		{ "cut inside a character", W("a\xc3\xa9"), 2, "a\\xc3..." },
		{ "nothing allowed", W("a"), 0, "..." },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		AUTO(mem) void *in = check_exact(rows[i].in, rows[i].n);
		char out[4 * 256 + 4];

		CHECK_EQ(rows[i].what,
			 bytes_escape(rd_of(in, rows[i].n), rows[i].max, out, sizeof(out)),
			 strlen(rows[i].want));
		CHECK_STR(rows[i].what, out, rows[i].want);
	}
}

TEST(escape_into_little_room)
{
	static const char *const ins[] = { "\1\1\1", "abc", "a\1c" };

	for (size_t i = 0; i < ARRAY_SIZE(ins); i++) {
		AUTO(mem) void *in = check_exact(ins[i], 3);

		for (size_t cap = 0; cap <= 16; cap++) {
			AUTO(mem) char *out = malloc(cap);
			size_t n = bytes_escape(rd_of(in, 3), 3, out, cap);

			CHECK("inside", cap ? n < cap && out[n] == 0 : n == 0);
		}
	}
}
