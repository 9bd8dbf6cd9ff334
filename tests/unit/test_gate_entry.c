/* entry.c, inflate.c: entries of packs that lie about themselves. */
#include "gitproxy/gate/entry.h"
#include "tests/unit/check.h"

#include <zlib.h>

TEST(heads)
{
	static const struct {
		const char *what, *wire;
		size_t n;
		enum parse want;
		unsigned type;
		uint64_t size, back;
	} rows[] = {
		{ "a blob of 5", W("\x35"), PARSE_OK, OBJECT_BLOB, 5, 0 },
		{ "a commit of 1000", W("\x98\x3e"), PARSE_OK, OBJECT_COMMIT, 1000, 0 },
		{ "a size in more bytes than it needs", W("\xb5\x80\x00"), PARSE_OK, OBJECT_BLOB, 5, 0 },
		{ "nothing", W(""), PARSE_BAD, 0, 0, 0 },
		{ "type 0", W("\x05"), PARSE_BAD, 0, 0, 0 },
		{ "type 5", W("\x55"), PARSE_BAD, 0, 0, 0 },
		{ "a size that is cut", W("\xb5"), PARSE_BAD, 0, 0, 0 },
		{ "63 bits of size", W("\xbf\xff\xff\xff\xff\xff\xff\xff\x7f"), PARSE_OK, OBJECT_BLOB, (1ull << 60) - 1, 0 },
		{ "a size without end", W("\xbf\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"), PARSE_BAD, 0, 0, 0 },
		{ "one back", W("\x64\x01"), PARSE_OK, ENTRY_OFS_DELTA, 4, 1 },
		{ "128 back: the first of two bytes", W("\x64\x80\x00"), PARSE_OK, ENTRY_OFS_DELTA, 4, 128 },
		{ "none back", W("\x64\x00"), PARSE_BAD, 0, 0, 0 },
		{ "back, cut", W("\x64\x80"), PARSE_BAD, 0, 0, 0 },
		{ "back without end", W("\x64\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"), PARSE_BAD, 0, 0, 0 },
		{ "an id", W("\x74" "aaaaaaaaaaaaaaaaaaaa"), PARSE_OK, ENTRY_REF_DELTA, 4, 0 },
		{ "an id, cut", W("\x74" "aaaaaaaaaaaaaaaaaaa"), PARSE_BAD, 0, 0, 0 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		AUTO(mem) void *in = check_exact(rows[i].wire, rows[i].n);
		struct rd r = rd_of(in, rows[i].n);
		struct entry_head h = { 0 };

		CHECK_EQ(rows[i].what, entry_head(&r, OBJECT_SHA1, &h), rows[i].want);
		CHECK_EQ(rows[i].what, h.type, rows[i].type);
		CHECK_EQ(rows[i].what, h.size, rows[i].size);
		CHECK_EQ(rows[i].what, h.back, rows[i].back);
		CHECK(rows[i].what, rows[i].want != PARSE_OK || rd_done(&r));
	}
}

TEST(heads_that_are_written)
{
	static const struct { uint64_t size; const char *wire; size_t n; } rows[] = {
		{ 0, W("\x30") }, { 15, W("\x3f") }, { 16, W("\xb0\x01") }, { 2047, W("\xbf\x7f") }, { 2048, W("\xb0\x80\x01") },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		uint8_t room[ENTRY_HEAD_MAX];
		struct wr w = wr_of(room, sizeof(room));

		CHECK(rows[i].wire, entry_head_write(&w, OBJECT_BLOB, rows[i].size));
		CHECK(rows[i].wire, rd_eq(wr_rd(&w), rows[i].wire, rows[i].n));
	}
}

TEST(deltas)
{
	static const struct {
		const char *what, *wire;
		size_t n;
		const char *base, *result;	/* NULL: bad */
	} rows[] = {
		{ "all of it", W("\4\4\x90\4"), "abcd", "abcd" },
		{ "its end", W("\4\2\x91\2\2"), "abcd", "cd" },
		{ "new bytes", W("\4\5\2xy\x90\3"), "abcd", "xyabc" },
		{ "nothing of nothing", W("\0\0"), "", "" },
		{ "a length of zero is 64 KiB", W("\4\4\x80"), "abcd", NULL },
		{ "one byte too many", W("\4\4\x91\1\4"), "abcd", NULL },
		{ "from behind the end", W("\4\4\x91\5\1\3xyz"), "abcd", NULL },
		{ "from far behind the end", W("\4\1\x9f\xff\xff\xff\xff\1"), "abcd", NULL },
		{ "instruction 0", W("\4\1\0"), "abcd", NULL },
		{ "more than it says", W("\4\3\x90\4"), "abcd", NULL },
		{ "less than it says", W("\4\5\x90\4"), "abcd", NULL },
		{ "new bytes, cut", W("\4\3\3xy"), "abcd", NULL },
		{ "an offset, cut", W("\4\3\x93\1"), "abcd", NULL },
		{ "a length, cut", W("\4\3\x90"), "abcd", NULL },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		AUTO(mem) void *in = check_exact(rows[i].wire, rows[i].n);
		AUTO(mem) void *base = check_exact(rows[i].base, strlen(rows[i].base));
		struct rd r = rd_of(in, rows[i].n);
		AUTO(mem) uint8_t *to = NULL;
		struct entry_delta d;
		struct wr w;
		bool ok;

		CHECK_EQ(rows[i].what, entry_delta(&r, &d), PARSE_OK);
		CHECK_EQ(rows[i].what, d.base, strlen(rows[i].base));
		to = malloc(d.result);
		w = wr_of(to, d.result);
		ok = entry_patch(r, rd_of(base, d.base), &w) == PARSE_OK;
		CHECK_EQ(rows[i].what, ok, rows[i].result != NULL);
		CHECK(rows[i].what, !ok || rd_eq_str(wr_rd(&w), rows[i].result));
	}
}

struct drain { struct inflater_sink sink; uint64_t n; bool enough; };

static bool count(struct inflater_sink *s, struct rd bytes)
{
	struct drain *d = container_of(s, struct drain, sink);

	d->n += bytes.n;
	return !d->enough;
}

/* Both ways must take and refuse the same. */
TEST(streams)
{
	static const struct { const char *what; size_t data, says; int cut, flip; bool ok; } rows[] = {
		{ "whole", 1000, 1000, 0, -1, true },
		{ "empty", 0, 0, 0, -1, true },
		{ "several pieces", 600000, 600000, 0, -1, true },
		{ "more than it says", 1000, 999, 0, -1, false },
		{ "much more than it says", 600000, 10, 0, -1, false },
		{ "less than it says", 1000, 1001, 0, -1, false },
		{ "nothing where something should be", 0, 1, 0, -1, false },
		{ "its checksum is cut", 1000, 1000, 1, -1, false },
		{ "all is cut", 1000, 1000, 1 << 20, -1, false },
		{ "its head is another", 1000, 1000, 0, 0, false },
		{ "a dictionary is asked for", 1000, 1000, 0, 1, false },
	};
	AUTO(inflater) struct inflater *z = NULL;

	CHECK_EQ("new", inflater_new(&z), 0);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		AUTO(mem) uint8_t *data = calloc(1, rows[i].data + 1), *to = malloc(rows[i].says + 1);
		uLongf n = compressBound(rows[i].data);
		AUTO(mem) uint8_t *small = malloc(n);
		AUTO(mem) uint8_t *in = NULL;
		struct drain d = { .sink.piece = count };
		size_t used[2] = { 0, 0 };
		bool ok[2];

		compress(small, &n, data, rows[i].data);
		if (rows[i].flip >= 0)
			small[rows[i].flip] ^= 0x3c;
		n = (uLongf)rows[i].cut < n ? n - (uLongf)rows[i].cut : 0;
		in = check_exact(small, n);
		ok[0] = inflater_whole(z, rd_of(in, n), to, rows[i].says, &used[0]) == PARSE_OK;
		ok[1] = inflater_stream(z, rd_of(in, n), rows[i].says, &d.sink, &used[1]) == PARSE_OK;
		CHECK_EQ(rows[i].what, ok[0], rows[i].ok);
		CHECK_EQ(rows[i].what, ok[1], rows[i].ok);
		CHECK_EQ(rows[i].what, used[0], ok[0] ? n : 0);
		CHECK_EQ(rows[i].what, used[1], ok[1] ? n : 0);
		CHECK(rows[i].what, d.n <= rows[i].says);
	}
}

TEST(bytes_behind_a_stream_are_not_its_own)
{
	AUTO(inflater) struct inflater *z = NULL;
	struct drain d = { .sink.piece = count };
	uint8_t small[64], to[3];
	uLongf n = sizeof(small) - 8;
	size_t used = 0;

	CHECK_EQ("new", inflater_new(&z), 0);
	compress(small, &n, (const uint8_t *)"abc", 3);
	CHECK_EQ("whole", inflater_whole(z, rd_of(small, n + 8), to, 3, &used), PARSE_OK);
	CHECK_EQ("whole", used, n);
	CHECK_EQ("stream", inflater_stream(z, rd_of(small, n + 8), 3, &d.sink, &used), PARSE_OK);
	CHECK_EQ("stream", used, n);
	d.enough = true;
	CHECK_EQ("enough", inflater_stream(z, rd_of(small, n + 8), 3, &d.sink, &used), PARSE_MORE);
}
