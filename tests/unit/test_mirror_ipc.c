/*
 * test_mirror_ipc.c - what the keeper and cordon-mirror believe of each other
 */
#include "gitproxy/mirror_ipc.h"

#include "tests/unit/check.h"

static struct keeper_open open_of(enum gp_kind kind, enum git_service service, uint8_t protocol)
{
	return (struct keeper_open){ .kind = kind, .service = service, .git_protocol = protocol, .host = "github.com",
				     .repo = "acme/widgets",
				     .body_length = kind == GP_RPC && service == GIT_SERVICE_RECEIVE_PACK ? KEEPER_UNKNOWN : 0 };
}

TEST(requests)
{
	const enum git_service UP = GIT_SERVICE_UPLOAD_PACK, RECEIVE = GIT_SERVICE_RECEIVE_PACK;
	const struct {
		const char *what;
		enum gp_kind kind;
		enum git_service service;
		uint8_t protocol;
		bool serve, ask, push;
	} rows[] = {
		{ "references of a fetch", GP_INFO_REFS, UP, 2, true, true, false },
		{ "a fetch", GP_RPC, UP, 2, true, true, false },
		{ "an old fetch", GP_RPC, UP, 0, false, false, false },
		{ "references of a push", GP_INFO_REFS, RECEIVE, 0, true, true, false },
		{ "a push", GP_RPC, RECEIVE, 0, true, false, true },
		{ "references of a push by v2", GP_INFO_REFS, RECEIVE, 2, false, false, false },
		{ "a push by v1", GP_RPC, RECEIVE, 1, false, false, false },
		{ "nothing", GP_NONE, RECEIVE, 0, false, false, false },
		{ "no service", GP_RPC, GIT_SERVICE_NONE, 0, false, false, false },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct mirror_serve s = { .open = open_of(rows[i].kind, rows[i].service, rows[i].protocol) };
		struct mirror_ask a = { .open = s.open };

		CHECK_EQ(rows[i].what, mirror_serve_ok(&s), rows[i].serve);
		CHECK_EQ(rows[i].what, mirror_ask_ok(&a), rows[i].ask);
		CHECK_EQ(rows[i].what, mirror_serve_ok(&s) && mirror_is_push(&s), rows[i].push);
		if (!rows[i].push)
			continue;
		s.open.body_length = 5;
		CHECK("a push comes as frames", !mirror_serve_ok(&s));
	}
}

TEST(objects_of_lfs)
{
	struct mirror_serve s = { .open = open_of(GP_LFS_OBJECT, GIT_SERVICE_RECEIVE_PACK, 0), .lfs_size = LFS_SIZE_MAX };
	struct mirror_ask a;
	struct mirror_lfs l = { .n = LFS_BATCH_MAX };

	s.open.body_length = KEEPER_UNKNOWN;
	a = (struct mirror_ask){ .open = s.open };
	CHECK("one that is brought", mirror_serve_ok(&s) && !mirror_is_push(&s));
	CHECK("is nothing to ask for", !mirror_ask_ok(&a));
	s.lfs_size++;
	CHECK("larger than any", !mirror_serve_ok(&s));
	s = (struct mirror_serve){ .open = open_of(GP_LFS_OBJECT, GIT_SERVICE_UPLOAD_PACK, 0) };
	CHECK("one that is fetched", !mirror_serve_ok(&s));
	s.open = open_of(GP_LFS_VERIFY, GIT_SERVICE_RECEIVE_PACK, 0);
	CHECK("a word about one", !mirror_serve_ok(&s));
	CHECK("a list", mirror_lfs_ok(&l));
	l.n++;
	CHECK("one too many", !mirror_lfs_ok(&l));
	l.n = 0;
	CHECK("none", !mirror_lfs_ok(&l));
	l = (struct mirror_lfs){ .n = 1, .object = { .size = LFS_SIZE_MAX + 1 } };
	CHECK("larger than any", !mirror_lfs_ok(&l));
}

TEST(push)
{
	struct mirror_push p = { .pack_bytes = INT64_MAX };

	CHECK("a file's", mirror_push_ok(&p));
	p.pack_bytes = UINT64_MAX;
	CHECK("no length of a file", !mirror_push_ok(&p));
}

TEST(pushed)
{
	struct mirror_pushed p;

#define LIE(what, change) \
	do { \
		p = (struct mirror_pushed){ .reason = REASON_REF_NOT_ALLOWED, .n_commands = 70, .commands = 64 }; \
		CHECK("as the gate makes it", mirror_pushed_ok(&p)); \
		change; \
		CHECK(what, !mirror_pushed_ok(&p)); \
	} while (0)
	LIE("outcome", p.outcome = PUSH_OUTCOMES);
	LIE("reason", p.reason = REASON_COUNT);
	LIE("refused without a reason", p.reason = REASON_NONE);
	LIE("forwarded with one", p.outcome = PUSH_FORWARDED);
	LIE("unknown without one", (p.outcome = PUSH_INDETERMINATE, p.reason = REASON_NONE));
	LIE("more than fit", p.commands = PUSHED_LIST_MAX + 1);
	LIE("more than there were", p.n_commands = 63);
	LIE("findings from nowhere", p.findings = 1);
	LIE("format", p.format = 2);
	LIE("text with a line feed", p.detail[0] = '\n');
	LIE("text without an end", memset(p.detail, 'a', sizeof(p.detail)));
#undef LIE
	p = (struct mirror_pushed){ .outcome = PUSH_FORWARDED };
	CHECK("forwarded", mirror_pushed_ok(&p));
}

TEST(pushed_lists)
{
	struct mirror_pushed_command c = { .op = PUSH_DELETE, .reason = REASON_DELETE_NOT_ALLOWED, .ref = "refs/heads/\xff\n" };
	struct mirror_pushed_finding f = { .rule = "github-pat", .path = "a\n\xff", .fingerprint = "00" };

	CHECK("command", mirror_pushed_command_ok(&c));
	c.accepted = 1;
	CHECK("accepted and refused", !mirror_pushed_command_ok(&c));
	c.reason = REASON_NONE;
	CHECK("accepted", mirror_pushed_command_ok(&c));
	c.op = PUSH_DELETE + 1;
	CHECK("kind", !mirror_pushed_command_ok(&c));
	c = (struct mirror_pushed_command){ 0 };
	memset(c.ref, 'a', sizeof(c.ref));
	CHECK("ref without an end", !mirror_pushed_command_ok(&c));

	CHECK("finding", mirror_pushed_finding_ok(&f));
	memset(f.weight, 'a', sizeof(f.weight));
	CHECK("weight without an end", !mirror_pushed_finding_ok(&f));
	f.weight[0] = '\0';
	f.rule[0] = '\x1b';
	CHECK("rule with an escape", !mirror_pushed_finding_ok(&f));
	f.rule[0] = '\0';
	memset(f.path, 'a', sizeof(f.path));
	CHECK("path without an end", !mirror_pushed_finding_ok(&f));
}

TEST(words)
{
	for (unsigned i = 0; i < PUSH_OUTCOMES; i++)
		CHECK("outcome", push_outcome_text((enum push_outcome)i)[0]);
	CHECK_STR("unknown", push_outcome_text(PUSH_OUTCOMES), "");
}
