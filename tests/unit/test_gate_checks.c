/*
 * test_gate_checks.c - the checks of a push when what they are given is wrong, or cannot be read
 *
 * What they say of pushes that can be is in tests/test_gate_checks.py.
 */
#include "gitproxy/gate/checks.h"
#include "gitproxy/gate/ids.h"
#include "gitproxy/gate/names.h"

#include "tests/unit/check.h"
#include "tests/unit/fake_objects.h"

/* The fake's ids are what a test says: nobody hashes here. */
static struct oid id(uint8_t n)
{
	return (struct oid){ .byte = { n, n, n, n, n, n, n, n, n } };
}

struct fixture {
	struct objects objects;
	struct push_rules rules;
	struct checks_sink sink;
	struct {
		struct push_list list;
		struct push_command command;
	} push;
	struct checks *checks;
	unsigned refused;
	enum reason reason;
};

static void on_refused(struct checks_sink *s, uint32_t command, enum reason reason, const char *text)
{
	struct fixture *f = container_of(s, struct fixture, sink);

	(void)command, (void)text;
	f->refused++;
	f->reason = reason;
}

static void add(struct fixture *f, uint8_t n, enum object_type type, const char *text, size_t size, int where)
{
	struct oid oid = id(n);

	fake_add(&f->objects, &oid, type, rd_of(text, size), where);
}

enum { BLOB = 1, TREE, COMMIT };
static const char commit_text[] = "tree 0202020202020202020000000000000000000000\nauthor A <a> 1 +0000\n"
				  "committer A <a> 1 +0000\n";

/* A commit of one file of that name, to be pushed. */
static void start(struct fixture *f, const char *name)
{
	char entry[64];
	size_t n = (size_t)snprintf(entry, sizeof(entry), "100644 %s", name) + 1;
	struct oid blob = id(BLOB);

	*f = (struct fixture){ .sink = { .refused = on_refused }, .push = { .list = { .n_commands = 1 } } };
	f->rules = (struct push_rules){ .allowed = 1, .create = 1, .n_refs = 1, .refs = { "refs/**" } };
	f->push.command.new = id(COMMIT);
	strcpy(f->push.command.ref, "refs/heads/x");
	memcpy(entry + n, blob.byte, 20);
	add(f, TREE, OBJECT_TREE, entry, n + 20, FAKE_PACK);
	add(f, COMMIT, OBJECT_COMMIT, commit_text, sizeof(commit_text) - 1, FAKE_PACK);
}

static void make(struct fixture *f)
{
	struct checks_spec spec = { .objects = &f->objects, .list = &f->push.list, .rules = &f->rules, .sink = &f->sink };

	fake_ready(&f->objects);
	if (checks_new(&spec, &f->checks) < 0)
		abort();
}

static enum reason give(struct fixture *f, size_t i)
{
	const struct fake_object *o = &f->objects.all[i];
	char text[CHECKS_TEXT];
	struct wr w = wr_of(text, sizeof(text));

	return checks_object(f->checks, &o->oid, o->type, rd_of(o->bytes, o->n), &w);
}

static enum checks_verdict finish(struct fixture *f)
{
	struct oid missing;
	enum checks_verdict v = checks_run(f->checks, &missing);

	checks_free(f->checks);
	fake_free(&f->objects);
	return v;
}

TEST(all_seen)
{
	struct fixture f;

	start(&f, "a");
	add(&f, BLOB, OBJECT_BLOB, "x", 1, FAKE_PACK);
	make(&f);
	for (size_t i = 0; i < 3; i++)
		CHECK_EQ("taken", give(&f, i), REASON_NONE);
	CHECK_EQ("clean", finish(&f), CHECKS_CLEAN);
	CHECK_EQ("nothing refused", f.refused, 0);
}

TEST(not_all_seen)
{
	for (size_t left = 0; left < 3; left++) {
		struct fixture f;

		start(&f, "a");
		add(&f, BLOB, OBJECT_BLOB, "x", 1, FAKE_PACK);
		make(&f);
		for (size_t i = 0; i < 3; i++)
			if (i != left)
				CHECK_EQ("taken", give(&f, i), REASON_NONE);
		CHECK_EQ("one was not seen", finish(&f), CHECKS_FAILED);
	}
}

TEST(seen_twice)
{
	struct fixture f;

	start(&f, "a");
	add(&f, BLOB, OBJECT_BLOB, "x", 1, FAKE_PACK);
	make(&f);
	for (size_t i = 0; i < 3; i++)
		CHECK_EQ("taken", give(&f, i), REASON_NONE);
	CHECK_EQ("again", give(&f, 1), REASON_INTERNAL_ERROR);
	CHECK_EQ("nothing is concluded", finish(&f), CHECKS_FAILED);
}

TEST(not_of_the_pack)
{
	struct fixture f;

	start(&f, "a");
	add(&f, BLOB, OBJECT_BLOB, "x", 1, FAKE_MIRROR);
	make(&f);
	CHECK_EQ("the mirror's", give(&f, 0), REASON_INTERNAL_ERROR);
	CHECK_EQ("nothing is concluded", finish(&f), CHECKS_FAILED);
}

TEST(no_type)
{
	struct fixture f;

	start(&f, "a");
	add(&f, BLOB, OBJECT_NONE, "x", 1, FAKE_PACK);
	make(&f);
	CHECK_EQ("no type", give(&f, 0), REASON_INTERNAL_ERROR);
	CHECK_EQ("nothing is concluded", finish(&f), CHECKS_FAILED);
}

TEST(mirror_that_cannot_be_read)
{
	struct fixture f;

	start(&f, "a");
	make(&f);
	for (size_t i = 0; i < 2; i++)
		CHECK_EQ("taken", give(&f, i), REASON_NONE);
	f.objects.fail = -EIO;
	CHECK_EQ("nothing is concluded", finish(&f), CHECKS_FAILED);
	CHECK_EQ("nothing refused", f.refused, 0);
}

TEST(large_blobs)
{
	static const struct { const char *name; enum checks_verdict want; } rows[] = {
		{ "a", CHECKS_CLEAN }, { ".gitmodules", CHECKS_REFUSED }, { ".gitattributes", CHECKS_REFUSED },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct oid blob = id(BLOB);
		struct wr none = wr_of(NULL, 0);
		struct fixture f;

		start(&f, rows[i].name);
		add(&f, BLOB, OBJECT_BLOB, commit_text, sizeof(commit_text), FAKE_PACK);
		f.objects.limit = sizeof(commit_text) - 1;
		make(&f);
		CHECK_EQ("taken", checks_large_blob(f.checks, &blob, 1ULL << 40, &none), REASON_PACK_LIMIT_EXCEEDED);
		CHECK_EQ("too large in all", finish(&f), CHECKS_REFUSED);

		start(&f, rows[i].name);
		add(&f, BLOB, OBJECT_BLOB, commit_text, sizeof(commit_text), FAKE_PACK);
		f.objects.limit = sizeof(commit_text) - 1;
		make(&f);
		CHECK_EQ("taken", checks_large_blob(f.checks, &blob, 1 << 30, &none), REASON_NONE);
		for (size_t k = 1; k < 3; k++)
			CHECK_EQ("taken", give(&f, k), REASON_NONE);
		CHECK_EQ(rows[i].name, finish(&f), rows[i].want);
	}
}

/* ---- tables ---- */

TEST(many_ids)
{
	struct ids t;
	uint32_t at;
	uint8_t raw[20] = { 0 };

	CHECK_EQ("made", ids_init(&t, OBJECT_SHA1, 0), 0);
	for (uint32_t i = 0; i < 5000; i++) {
		memcpy(raw, &i, sizeof(i));
		CHECK_EQ("not yet", ids_find(&t, raw), IDS_NONE);
		CHECK("added", ids_add(&t, raw, &at) == 0 && at == i);
		CHECK("not again", ids_add(&t, raw, &at) == 0 && at == i);
	}
	for (uint32_t i = 0; i < 5000; i++) {
		struct oid oid = ids_at(&t, i);

		memcpy(raw, &i, sizeof(i));
		CHECK_EQ("found", ids_find(&t, raw), i);
		CHECK("and given back", !memcmp(oid.byte, raw, 20) && !oid.byte[20]);
	}
	ids_done(&t);
}

TEST(many_names)
{
	struct names t;
	uint32_t at;
	char name[64];

	CHECK_EQ("made", names_init(&t), 0);
	for (uint32_t round = 0; round < 2; round++)
		for (uint32_t i = 0; i < 3000; i++) {
			size_t n = (size_t)snprintf(name, sizeof(name), "%u%.*s", i, (int)(i % 30), "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxx");

			CHECK("its number", names_add(&t, rd_of(name, n), &at) == 0 && at == i);
			CHECK("its text", rd_eq(t.text[at], name, n));
		}
	names_done(&t);
}

/* How many slots in a row are taken, at most: who looks for what is not there goes through such a run. */
static uint32_t longest_run(const uint32_t *slots, size_t n)
{
	uint32_t run = 0, longest = 0;

	for (size_t i = 0; i < n; i++) {
		run = slots[i] ? run + 1 : 0;
		longest = run > longest ? run : longest;
	}
	return longest;
}

enum { CHOSEN = 1 << 12, RUN = CHOSEN / 8 };

TEST(ids_that_begin_alike)
{
	for (size_t at = 0; at < 20; at += 4) {
		uint8_t raw[20] = { 0 };
		struct ids t;
		uint32_t n;

		CHECK_EQ("made", ids_init(&t, OBJECT_SHA1, 0), 0);
		for (uint32_t i = 0, any = 1; i < CHOSEN; i++) {
			any = any * 1664525 + 1013904223;	/* none twice */
			memcpy(raw + at, &any, sizeof(any));
			CHECK("added", ids_add(&t, raw, &n) == 0 && n == i);
		}
		CHECK("spread", longest_run(t.slots, 1UL << t.bits) < RUN);
		ids_done(&t);
	}
}

/* What one block changes in a sum or a product of the highest bit, the next may take back. */
TEST(names_that_differ_where_it_may_not_count)
{
	struct names t;
	uint32_t at;

	CHECK_EQ("made", names_init(&t), 0);
	for (uint32_t i = 0; i < CHOSEN; i++) {
		uint8_t name[16 * 12];

		memset(name, 'a', sizeof(name));
		for (size_t k = 0; k < 12; k++)
			if (i >> k & 1) {
				name[16 * k + 7] ^= 0x80;
				name[16 * k + 12] ^= 0x04;
				name[16 * k + 15] ^= 0x80;
			}
		CHECK("added", names_add(&t, rd_of(name, sizeof(name)), &at) == 0 && at == i);
	}
	CHECK("spread", longest_run(t.slots, t.n_slots) < RUN);
	names_done(&t);
}
