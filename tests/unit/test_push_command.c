/*
 * test_push_command.c - the list of a push, between gate and keeper
 */
#include "gitproxy/push_command.h"

#include <errno.h>
#include <unistd.h>

#include "tests/unit/check.h"
#include "tests/unit/make_pkts.h"

struct made {
	struct push_list list;
	struct push_command command[2];
	char option[1][PUSH_OPTION];
};

static struct oid id(uint8_t c)
{
	struct oid o = { 0 };

	memset(o.byte, c, 20);
	return o;
}

/* Creates one reference, deletes another. */
static struct made made(void)
{
	struct made m = { .list = { .n_commands = 2, .n_options = 1, .has_pack = 1, .atomic = 1,
				    .upstream = PUSH_CAPABILITIES } };

	m.command[0].new = id(0xaa);
	strcpy(m.command[0].ref, "refs/heads/a");
	m.command[1].old = id(0xbb);
	strcpy(m.command[1].ref, "refs/heads/b");
	strcpy(m.option[0], "ci.skip");
	return m;
}

static void fine(struct made *m) { (void)m; }
static void no_commands(struct made *m) { m->list.n_commands = 0; }
static void more_commands(struct made *m) { m->list.n_commands = 3; }
static void count_lies(struct made *m) { m->list.n_commands = UINT32_MAX; }
static void fewer_options(struct made *m) { m->list.n_options = 0; }
static void format(struct made *m) { m->list.format = 2; }
static void not_bool(struct made *m) { m->list.quiet = 2; }
static void padding(struct made *m) { m->list.pad_[1] = 1; }
static void no_pack(struct made *m) { m->list.has_pack = 0; }
static void pack_for_deletions(struct made *m) { m->command[0].old = id(1), m->command[0].new = id(0); }
static void capabilities_unknown(struct made *m) { m->list.upstream = 128; }
static void no_atomic(struct made *m) { m->list.upstream &= (uint8_t)~PUSH_ATOMIC; }
static void no_options(struct made *m) { m->list.upstream &= (uint8_t)~PUSH_OPTIONS; }
static void no_delete(struct made *m) { m->list.upstream &= (uint8_t)~PUSH_DELETE_REFS; }
static void sha256_unheard_of(struct made *m)
{
	m->list.format = OBJECT_SHA256;
	m->list.upstream &= (uint8_t)~PUSH_OBJECT_FORMAT;
}
static void same_name(struct made *m) { strcpy(m->command[1].ref, "refs/heads/a"); }
static void bad_name(struct made *m) { strcpy(m->command[1].ref, "refs/heads/../b"); }
static void no_name(struct made *m) { m->command[0].ref[0] = 0; }
static void line_feed(struct made *m) { strcpy(m->command[1].ref, "refs/heads/b\nx"); }
static void endless(struct made *m) { memset(m->command[0].ref + 5, 'a', PUSH_REF - 5); }
static void behind_the_name(struct made *m) { m->command[0].ref[40] = 'x'; }
static void nothing_asked(struct made *m) { m->command[1].old = id(0); }
static void long_id(struct made *m) { m->command[0].new.byte[20] = 1; }
static void option_line_feed(struct made *m) { strcpy(m->option[0], "a\nb"); }
static void option_endless(struct made *m) { memset(m->option[0], 'a', PUSH_OPTION); }

static const struct { const char *what; void (*lie)(struct made *); bool want; } cases[] = {
	{ "as it should be", fine, true },
	{ "no commands", no_commands, false },
	{ "more commands than bytes", more_commands, false },
	{ "a count that overflows", count_lies, false },
	{ "more bytes than are said", fewer_options, false },
	{ "an unknown format", format, false },
	{ "neither true nor false", not_bool, false },
	{ "something in the padding", padding, false },
	{ "no pack for new objects", no_pack, false },
	{ "a pack for deletions", pack_for_deletions, false },
	{ "an unknown capability", capabilities_unknown, false },
	{ "atomic, which upstream has not", no_atomic, false },
	{ "options, which upstream has not", no_options, false },
	{ "a deletion, which upstream has not", no_delete, false },
	{ "sha256, which upstream has not", sha256_unheard_of, false },
	{ "one name twice", same_name, false },
	{ "a name that climbs", bad_name, false },
	{ "no name", no_name, false },
	{ "a line feed in a name", line_feed, false },
	{ "a name without an end", endless, false },
	{ "something behind a name", behind_the_name, false },
	{ "from nothing to nothing", nothing_asked, false },
	{ "an id of the other format", long_id, false },
	{ "a line feed in an option", option_line_feed, false },
	{ "an option without an end", option_endless, false },
};

TEST(lists)
{
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct made m = made();
		AUTO(mem) void *in = NULL;

		cases[i].lie(&m);
		in = check_exact(&m, sizeof(m));
		CHECK_EQ(cases[i].what, push_list_ok(rd_of(in, sizeof(m))), cases[i].want);
	}
}

TEST(cut)
{
	struct made m = made();

	for (size_t n = 0; n < sizeof(m); n += 3) {
		AUTO(mem) void *in = check_exact(&m, n);

		CHECK_EQ("cut", push_list_ok(rd_of(in, n)), false);
	}
}

TEST(files)
{
	struct made m = made();
	AUTO(mem) struct push_list *l = NULL;
	AUTO(mem) struct push_list *bad = NULL;
	AUTO(fd) int fd = push_list_file(&m.list);
	AUTO(fd) int lie = -1;

	CHECK("a file", fd >= 0);
	CHECK_EQ("read", push_list_read(fd, &l), 0);
	CHECK("the same", l && !memcmp(l, &m, sizeof(m)));
	CHECK_STR("its option", push_list_option(l, 0), "ci.skip");
	m.list.pad_[0] = 1;
	lie = push_list_file(&m.list);
	CHECK_EQ("checked", push_list_read(lie, &bad), -EBADMSG);
}

#define AGENT "agent=git/cordon-" CORDON_VERSION
#define ZERO "0000000000000000000000000000000000000000"

static void check_written(const char *what, const struct made *m, const char *want, size_t n)
{
	size_t bound = push_list_bound(&m->list);
	AUTO(mem) uint8_t *p = malloc(bound);
	struct wr w = wr_of(p, bound);
	struct pkt pkt;
	struct rd left;

	CHECK(what, push_list_write(&w, &m->list));
	left = wr_rd(&w);
	CHECK_EQ(what, pkt_read(&left, &pkt), PARSE_OK);
	if (!rd_eq(pkt.data, want, n))
		CHECK_FAIL("%s: got %.*s", what, (int)pkt.data.n, (const char *)pkt.data.p);
}

TEST(written)
{
	struct made m = made();
	uint8_t text[1024];
	struct wr w = wr_of(text, sizeof(text));

	check_written("all", &m, W(ZERO " " SHA1_A " refs/heads/a\0 report-status side-band-64k atomic push-options "
				     "object-format=sha1 " AGENT));
	CHECK("it fits", push_list_write(&w, &m.list));
	CHECK("options behind a flush",
	      w.n > 19 && !memcmp(text + w.n - 19, "0000" "000bci.skip" "0000", 19));
	m.list.upstream = 0;
	m.list.atomic = m.list.n_options = 0;
	m.list.quiet = 1;
	check_written("upstream has nothing", &m, W(ZERO " " SHA1_A " refs/heads/a\0 " AGENT));
	m.list.upstream = PUSH_QUIET;
	check_written("quiet", &m, W(ZERO " " SHA1_A " refs/heads/a\0 quiet " AGENT));
	w = wr_of(text, 100);
	CHECK("does not fit", !push_list_write(&w, &m.list));
}
