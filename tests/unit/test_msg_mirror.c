/*
 * test_msg_mirror.c - what `cordon mirror` and cordon-mirror believe of each other
 */
#include "base/msg_mirror.h"

#include "tests/unit/check.h"

TEST(questions)
{
	static const struct { const char *what; struct msg_mirror_do q; bool want; } rows[] = {
		{ "all of them", { .command = MIRROR_DO_LIST }, true },
		{ "one", { .command = MIRROR_DO_REMOVE, .host = "github.com", .repo = "acme/widgets" }, true },
		{ "every object", { .command = MIRROR_DO_VERIFY, .full = 1 }, true },
		{ "the last command", { .command = MIRROR_DO_COUNT }, true },
		{ "no command", { .command = 0 }, false },
		{ "one that there is not", { .command = MIRROR_DO_COMMANDS }, false },
		{ "neither", { .command = MIRROR_DO_VERIFY, .full = 2 }, false },
		{ "a host alone", { .command = MIRROR_DO_REMOVE, .host = "github.com" }, false },
		{ "a repository alone", { .command = MIRROR_DO_REMOVE, .repo = "acme/widgets" }, false },
		{ "a line feed", { .command = MIRROR_DO_REMOVE, .host = "github.com", .repo = "acme/widgets\nmore" }, false },
		{ "no text", { .command = MIRROR_DO_REMOVE, .host = "github.com", .repo = "acme/\xff" }, false },
	};
	struct msg_mirror_do q = { .command = MIRROR_DO_LIST, .host = "github.com" };

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		CHECK_EQ(rows[i].what, msg_mirror_do_ok(&rows[i].q), rows[i].want);
	memset(q.repo, 'a', sizeof(q.repo));
	CHECK("a repository without an end", !msg_mirror_do_ok(&q));
}

TEST(rows)
{
	struct msg_mirror_row r;

#define LIE(what, change) \
	do { \
		r = (struct msg_mirror_row){ .kind = MIRROR_ROW_DONE, .host = "github.com", .repo = "acme/widgets", \
					     .credential = "bot", .state = "ready", .text = "damaged" }; \
		CHECK("as the mirror makes it", msg_mirror_row_ok(&r)); \
		change; \
		CHECK(what, !msg_mirror_row_ok(&r)); \
	} while (0)
	LIE("kind", r.kind = 0);
	LIE("unknown kind", r.kind = MIRROR_ROWS);
	LIE("host", r.host[0] = '\x1b');
	LIE("repository without an end", memset(r.repo, 'a', sizeof(r.repo)));
	LIE("credential without an end", memset(r.credential, 'a', sizeof(r.credential)));
	LIE("state", r.state[1] = '\n');
	LIE("text that moves the cursor", r.text[0] = '\x1b');
#undef LIE
}
