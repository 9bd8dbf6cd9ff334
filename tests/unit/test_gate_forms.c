/*
 * test_gate_forms.c - objects by themselves: commits, tags, trees, git's own files, pointers of LFS
 *
 * What git calls an error is compared with git in tests/test_gate_fsck.py; here are the bytes at the ends.
 */
#include "gitproxy/gate/commit.h"
#include "gitproxy/gate/config_text.h"
#include "gitproxy/gate/headers.h"
#include "gitproxy/gate/lfs_pointer.h"
#include "gitproxy/gate/special.h"
#include "gitproxy/gate/tree.h"

#include "tests/unit/check.h"

#define ID "0123456789abcdef0123456789abcdef01234567"
#define RAW "\1\2\3\4\5\6\7\10\11\12\13\14\15\16\17\20\21\22\23\24"
#define TREE "tree " ID "\n"
#define PARENT "parent " ID "\n"
#define AUTHOR "author A <a> 1 +0000\n"
#define COMMITTER "committer A <a> 2 +0000\n"

static const struct { const char *what, *text; size_t n; enum fault want; } commits[] = {
	{ "the least", W(TREE AUTHOR COMMITTER), FAULT_NONE },
	{ "a message", W(TREE PARENT PARENT AUTHOR COMMITTER "\nm"), FAULT_NONE },
	{ "nothing", W(""), FAULT_HEADERS },
	{ "cut in the id", W("tree 0123\n"), FAULT_TREE_LINE },
	{ "cut before the end of the line", W(TREE AUTHOR "committer A <a> 2 +0000"), FAULT_HEADERS },
	{ "cut in the zone", W(TREE AUTHOR "committer A <a> 2 +00\n"), FAULT_ZONE },
	{ "cut behind the address", W(TREE AUTHOR "committer A <a>\n"), FAULT_DATE_SPACE },
	{ "cut behind the date", W(TREE AUTHOR "committer A <a> 2\n"), FAULT_DATE },
	{ "no address", W(TREE AUTHOR "committer \n"), FAULT_NO_EMAIL },
	{ "an empty parent", W(TREE "parent \n" AUTHOR COMMITTER), FAULT_PARENT_LINE },
	{ "a NUL behind the headers", W(TREE AUTHOR COMMITTER "\n\0"), FAULT_NUL },
	{ "a NUL within", W(TREE AUTHOR "committer \0\n\n"), FAULT_NUL },
	{ "an id too long", W("tree " ID "0\n" AUTHOR COMMITTER), FAULT_TREE_LINE },
	{ "the date's end", W(TREE AUTHOR "committer A <a> 9223372036854775807 +0000\n"), FAULT_NONE },
	{ "one more", W(TREE AUTHOR "committer A <a> 9223372036854775808 +0000\n"), FAULT_DATE_RANGE },
	{ "ten times that", W(TREE AUTHOR "committer A <a> 92233720368547758070 +0000\n"), FAULT_DATE_RANGE },
};

TEST(commit)
{
	for (size_t i = 0; i < ARRAY_SIZE(commits); i++) {
		AUTO(mem) void *in = check_exact(commits[i].text, commits[i].n);
		struct commit c = { 0 };

		CHECK_EQ(commits[i].what, commit_parse(rd_of(in, commits[i].n), OBJECT_SHA1, &c), commits[i].want);
		CHECK(commits[i].what, commits[i].want == FAULT_NONE || (!c.date && !c.n_parents));
	}
}

TEST(commit_parents)
{
	struct rd in = rd_str(TREE PARENT "parent 1123456789abcdef0123456789abcdef01234567\n" AUTHOR COMMITTER);
	struct commit c;
	struct oid oid;

	CHECK_EQ("parsed", commit_parse(in, OBJECT_SHA1, &c), FAULT_NONE);
	CHECK_EQ("two", c.n_parents, 2);
	CHECK_EQ("the committer's", c.date, 2);
	CHECK("first", commit_parent(&c.parents, OBJECT_SHA1, &oid) && oid.byte[0] == 0x01);
	CHECK("second", commit_parent(&c.parents, OBJECT_SHA1, &oid) && oid.byte[0] == 0x11);
	CHECK("no third", !commit_parent(&c.parents, OBJECT_SHA1, &oid));
	CHECK_EQ("by another hash", commit_parse(in, OBJECT_SHA256, &c), FAULT_TREE_LINE);
}

/* Of upstream's: what git cannot do without, and no more. */
TEST(commit_lenient)
{
	struct commit c;

	CHECK_EQ("no idents", commit_parse_lenient(rd_str(TREE PARENT), OBJECT_SHA1, &c), FAULT_NONE);
	CHECK_EQ("a parent", c.n_parents, 1);
	CHECK_EQ("bad ones", commit_parse_lenient(rd_str(TREE "author x\ncommitter y\n"), OBJECT_SHA1, &c), FAULT_NONE);
	CHECK_EQ("no date", c.date, 0);
	CHECK_EQ("a date", commit_parse_lenient(rd_str(TREE AUTHOR AUTHOR COMMITTER), OBJECT_SHA1, &c), FAULT_NONE);
	CHECK_EQ("taken", c.date, 2);
	CHECK_EQ("no tree", commit_parse_lenient(rd_str(PARENT), OBJECT_SHA1, &c), FAULT_TREE_LINE);
	CHECK_EQ("half a parent", commit_parse_lenient(rd_str(TREE "parent 1\n"), OBJECT_SHA1, &c), FAULT_PARENT_LINE);
}

static const struct { const char *what, *text; size_t n; enum fault want; enum object_type type; } tags[] = {
	{ "of a commit", W("object " ID "\ntype commit\ntag v\n"), FAULT_NONE, OBJECT_COMMIT },
	{ "of a blob", W("object " ID "\ntype blob\ntag v\ntagger A <a> 1 +0000\n\nm\0m"), FAULT_NONE, OBJECT_BLOB },
	{ "of nothing", W("object " ID "\ntype \ntag v\n"), FAULT_TAG_TYPE, OBJECT_NONE },
	{ "type cut", W("object " ID "\ntype\n"), FAULT_TAG_TYPE, OBJECT_NONE },
	{ "no name", W("object " ID "\ntype tag\n"), FAULT_TAG_NAME, OBJECT_NONE },
	{ "no object", W("type tag\ntag v\n"), FAULT_TAG_OBJECT, OBJECT_NONE },
};

TEST(tag)
{
	for (size_t i = 0; i < ARRAY_SIZE(tags); i++) {
		AUTO(mem) void *in = check_exact(tags[i].text, tags[i].n);
		struct tag t = { 0 };

		CHECK_EQ(tags[i].what, tag_parse(rd_of(in, tags[i].n), OBJECT_SHA1, &t), tags[i].want);
		CHECK_EQ(tags[i].what, t.type, tags[i].type);
	}
}

static const struct { const char *what, *text; size_t n; enum tree_kind strict, lenient; } entries[] = {
	{ "a file", W("100644 a\0" RAW), TREE_FILE, TREE_FILE },
	{ "a program", W("100755 a\0" RAW), TREE_EXECUTABLE, TREE_EXECUTABLE },
	{ "of old", W("100664 a\0" RAW), TREE_FILE, TREE_FILE },
	{ "of old, a program", W("100775 a\0" RAW), TREE_EXECUTABLE, TREE_EXECUTABLE },
	{ "a directory", W("40000 a\0" RAW), TREE_DIRECTORY, TREE_DIRECTORY },
	{ "of old, a directory", W("040000 a\0" RAW), TREE_NONE, TREE_DIRECTORY },
	{ "a link", W("120000 a\0" RAW), TREE_LINK, TREE_LINK },
	{ "a submodule", W("160000 a\0" RAW), TREE_SUBMODULE, TREE_SUBMODULE },
	{ "what git calls one", W("0 a\0" RAW), TREE_NONE, TREE_SUBMODULE },
	{ "no name", W("100644 \0" RAW), TREE_FILE, TREE_FILE },
	{ "no mode", W(" a\0" RAW), TREE_NONE, TREE_SUBMODULE },
	{ "no digit", W("10064x a\0" RAW), TREE_NONE, TREE_NONE },
	{ "many digits", W("1000000100644 a\0" RAW), TREE_NONE, TREE_NONE },
	{ "an id cut", W("100644 a\0" "123456789012345678"), TREE_NONE, TREE_NONE },
	{ "a name cut", W("100644 a"), TREE_NONE, TREE_NONE },
	{ "a mode cut", W("100644"), TREE_NONE, TREE_NONE },
};

TEST(tree_entries)
{
	for (size_t i = 0; i < ARRAY_SIZE(entries); i++) {
		AUTO(mem) void *in = check_exact(entries[i].text, entries[i].n);
		struct rd strict = rd_of(in, entries[i].n), lenient = strict;
		struct tree_entry e = { 0 }, f = { 0 };
		bool taken = tree_next(&strict, 20, &e), read = tree_next_lenient(&lenient, 20, &f);

		CHECK_EQ(entries[i].what, taken, entries[i].strict != TREE_NONE);
		CHECK_EQ(entries[i].what, read, entries[i].lenient != TREE_NONE);
		CHECK(entries[i].what, !taken || (e.kind == entries[i].strict && e.size == entries[i].n));
		CHECK(entries[i].what, !read || f.kind == entries[i].lenient);
		CHECK(entries[i].what, taken || tree_bad_entry(rd_of(in, entries[i].n)) != FAULT_NONE);
	}
}

static const struct { const char *a, *b; int want; } orders[] = {
	{ "a", "b", -1 }, { "a", "a", 0 }, { "a/", "a/", 0 }, { "a", "a/", -1 }, { "a.", "a/", -1 }, { "a0", "a/", 1 },
	{ "a", "a.", -1 }, { "ab", "a", 1 }, { "\xff", "a", 1 }, { "", "a", -1 },
};

static int order(const char *a, const char *b)
{
	size_t n = strlen(a), m = strlen(b);
	bool x = n && a[n - 1] == '/', y = m && b[m - 1] == '/';
	int c = tree_order(rd_of(a, n - x), x, rd_of(b, m - y), y);

	return (c > 0) - (c < 0);
}

TEST(tree_orders)
{
	for (size_t i = 0; i < ARRAY_SIZE(orders); i++) {
		CHECK_EQ(orders[i].a, order(orders[i].a, orders[i].b), orders[i].want);
		CHECK_EQ(orders[i].b, order(orders[i].b, orders[i].a), -orders[i].want);
	}
}

static const struct { const char *name; size_t n; enum dotgit want; } names[] = {
	{ W(""), DOTGIT_PLAIN }, { W("."), DOTGIT_PLAIN }, { W(".gi"), DOTGIT_PLAIN }, { W(".git"), DOTGIT_DIRECTORY },
	{ W("git~"), DOTGIT_PLAIN }, { W("git~1"), DOTGIT_DIRECTORY }, { W("~1000000"), DOTGIT_MODULES },
	{ W("gi7eba~"), DOTGIT_PLAIN }, { W("gi7eba~1"), DOTGIT_MODULES }, { W("gi7d29~1"), DOTGIT_ATTRIBUTES },
	{ W("gitmod~"), DOTGIT_PLAIN }, { W("gi7~100"), DOTGIT_PLAIN }, { W("gi7~1000"), DOTGIT_MODULES },
	{ W(".git\xe2\x80"), DOTGIT_DIRECTORY }, { W("\xe2\x80"), DOTGIT_PLAIN }, { W("\xe2"), DOTGIT_PLAIN },
	{ W("\\"), DOTGIT_PLAIN }, { W("\\\\.git"), DOTGIT_DIRECTORY }, { W(".gitmodules\\.git"), DOTGIT_DIRECTORY },
	{ W("x\\gitmod~1"), DOTGIT_MODULES }, { W(".g\xef\xbb\xbf\xef\xbb\xbfit"), DOTGIT_DIRECTORY },
};

TEST(names_of_gits_own)
{
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		AUTO(mem) void *in = check_exact(names[i].name, names[i].n);

		CHECK_EQ(names[i].name, dotgit_of(rd_of(in, names[i].n)), names[i].want);
	}
}

/* ---- configuration ---- */

struct told {
	struct config_text_to to;
	char text[256];
	struct wr w;
};

static bool on_setting(struct config_text_to *to, struct rd name, struct rd value, bool no_value)
{
	struct told *t = container_of(to, struct told, to);

	wr_rd_all(&t->w, name);
	if (!no_value) {
		wr_str(&t->w, "=");
		wr_rd_all(&t->w, value);
	}
	return wr_str(&t->w, ";");
}

static const struct { const char *text; enum parse want; const char *told; } texts[] = {
	{ "", PARSE_OK, "" },
	{ "[a]\nb=c", PARSE_OK, "a.b=c;" },
	{ "[A]B = c d  # e\n", PARSE_OK, "a.b=c d;" },
	{ "[a \"B\\\"\\c\"]\nd", PARSE_OK, "a.B\"c.d;" },
	{ "[a.B]\nc = \" d \" ;e", PARSE_OK, "a.b.c= d ;" },
	{ "[a]b = c\\\n d\\t\\\\\n", PARSE_OK, "a.b=c d\t\\;" },
	{ "[a]b = c\td\r\n", PARSE_OK, "a.b=c d;" },
	{ "[a]b =\n[c]d=", PARSE_OK, "a.b=;c.d=;" },
	{ "[a", PARSE_BAD, "" },
	{ "[a \"b", PARSE_BAD, "" },
	{ "[a \"b\\", PARSE_BAD, "" },
	{ "[a \"b\"x]", PARSE_BAD, "" },
	{ "[a]b = \"c", PARSE_BAD, "" },
	{ "[a]b = c\\", PARSE_OK, "a.b=c;" },
	{ "[a]b c", PARSE_BAD, "" },
	{ "[a]b=c\n-", PARSE_BAD, "a.b=c;" },
};

TEST(configuration)
{
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		struct told t = { .to = { on_setting } };
		AUTO(mem) void *in = check_exact(texts[i].text, strlen(texts[i].text));

		t.w = wr_of(t.text, sizeof(t.text) - 1);
		CHECK_EQ(texts[i].text, config_text(rd_of(in, strlen(texts[i].text)), &t.to), texts[i].want);
		CHECK_STR(texts[i].text, t.text, texts[i].told);
	}
}

TEST(special_sizes)
{
	AUTO(mem) char *text = calloc(1, ATTRIBUTES_LINE_MAX);

	memset(text, 'x', ATTRIBUTES_LINE_MAX);
	CHECK_EQ("the longest line", special_attributes(rd_of(text, ATTRIBUTES_LINE_MAX - 1)), FAULT_NONE);
	CHECK_EQ("one more", special_attributes(rd_of(text, ATTRIBUTES_LINE_MAX)), FAULT_ATTRIBUTES_LINE);
	CHECK_EQ("too large", special_modules(rd_of(text, MODULES_BYTES_MAX + 1UL)), FAULT_MODULES_LARGE);
	CHECK_EQ("too large", special_attributes(rd_of(text, ATTRIBUTES_BYTES_MAX + 1UL)), FAULT_ATTRIBUTES_LARGE);
}

TEST(faults)
{
	for (enum fault f = FAULT_NONE + 1; f < FAULT_COUNT; f++)
		CHECK("a text", fault_text(f)[0]);
	CHECK_STR("beyond", fault_text(FAULT_COUNT), fault_text(FAULT_UNKNOWN));
	CHECK("never looked at is no good", FAULT_UNKNOWN != FAULT_NONE && fault_text(FAULT_UNKNOWN)[0]);
}

/* ---- LFS ---- */

#define SHA "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define V1 "version https://git-lfs.github.com/spec/v1\n"

static const struct { const char *what, *text; size_t n; bool want; uint64_t size; } pointers[] = {
	{ "one", W(V1 "oid sha256:" SHA "\nsize 7\n"), true, 7 },
	{ "no end", W(V1 "oid sha256:" SHA "\nsize 7"), true, 7 },
	{ "empty lines before", W("\n\r\n" V1 "oid sha256:" SHA "\nsize 7"), true, 7 },
	{ "blanks before", W(" \t\v\f" V1 "oid sha256:" SHA "\nsize 7"), true, 7 },
	{ "blanks of others before", W("\xc2\xa0\xc2\x85\xe1\x9a\x80\xe2\x80\x8a\xe3\x80\x80" V1 "oid sha256:" SHA "\nsize 7"), true, 7 },
	{ "and behind", W(V1 "oid sha256:" SHA "\nsize 7\xe2\x80\xa8\xc2\xa0\n"), true, 7 },
	{ "a mark that is no blank", W("\xef\xbb\xbf" V1 "oid sha256:" SHA "\nsize 7"), false, 0 },
	{ "extensions before", W("ext-0-x sha256:" SHA "\n\n" V1 "oid sha256:" SHA "\nsize 7"), true, 7 },
	{ "extensions alone", W("ext-0-x sha256:" SHA "\n"), false, 0 },
	{ "a sign", W(V1 "oid sha256:" SHA "\nsize +7"), true, 7 },
	{ "a sign alone", W(V1 "oid sha256:" SHA "\nsize +"), false, 0 },
	{ "turned round", W(V1 "size 8\noid sha256:" SHA), true, 8 },
	{ "a digit too few", W(V1 "oid sha256:0123\nsize 7\n"), false, 0 },
	{ "a size that is none", W(V1 "oid sha256:" SHA "\nsize -1\n"), false, 0 },
	{ "a size without end", W(V1 "oid sha256:" SHA "\nsize 99999999999999999999\n"), false, 0 },
	{ "no size", W(V1 "oid sha256:" SHA "\nsize \n"), false, 0 },
	{ "a version alone", W("version"), false, 0 },
	{ "line ends alone", W("\n\n"), false, 0 },
	{ "nothing", W(""), false, 0 },
};

TEST(lfs_pointers)
{
	for (size_t i = 0; i < ARRAY_SIZE(pointers); i++) {
		AUTO(mem) void *in = check_exact(pointers[i].text, pointers[i].n);
		uint8_t sha[32] = { 0 };
		uint64_t size = 0;

		CHECK_EQ(pointers[i].what, lfs_pointer(rd_of(in, pointers[i].n), sha, &size), pointers[i].want);
		CHECK_EQ(pointers[i].what, size, pointers[i].size);
		CHECK_EQ(pointers[i].what, sha[1], pointers[i].want ? 0x23 : 0);
	}
}

/* Clients read so many bytes and ask no further. */
TEST(lfs_pointers_of_large_files)
{
	static const struct { const char *what; size_t at; char c; bool want; } rows[] = {
		{ "blanks", 0, 0, true }, { "something in what is read", LFS_POINTER_MAX - 1, 'x', false },
		{ "something behind that", LFS_POINTER_MAX, 'x', true },
	};
	static const char one[] = V1 "oid sha256:" SHA "\nsize 7\n";

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		uint8_t sha[32];
		uint64_t size;
		char text[2 * LFS_POINTER_MAX];

		memset(text, '\n', sizeof(text));
		memcpy(text, one, sizeof(one) - 1);
		if (rows[i].c)
			text[rows[i].at] = rows[i].c;
		CHECK_EQ(rows[i].what, lfs_pointer(rd_of(text, sizeof(text)), sha, &size), rows[i].want);
	}
}
