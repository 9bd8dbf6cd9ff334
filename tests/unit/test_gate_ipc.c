/* gate_ipc.c: what neither side of the push gate's judge takes from the other. */
#include "gitproxy/gate/gate_ipc.h"
#include "tests/unit/check.h"

static const struct gate_judge judge = { .max_objects = 1, .repository = "/a" };
static const struct gate_finding finding = {
	.place = GATE_BLOB, .weight = GATE_HELD, .rule = "r", .fingerprint = "0123456789abcdef0123456789abcdef", .path = "a b",
};
static const struct gate_command command = { .reason = REASON_PATH_PROTECTED, .text = "x" };
static const struct gate_judged judged = { .verdict = JUDGE_REFUSED, .reason = REASON_SECRET_DETECTED };

#define OK(type, body) gate_message_ok(GATE_##type, &(body), sizeof(body))
/* The same with one field changed. */
#define BUT(type, good, field, value) \
	__extension__({ __typeof__(good) copy_ = (good); memset((void *)(uintptr_t)&copy_.field, (value), sizeof(copy_.field)); OK(type, copy_); })

TEST(what_is_as_it_must_be)
{
	CHECK("judge", OK(JUDGE, judge));
	CHECK("finding", OK(FINDING, finding));
	CHECK("command", OK(COMMAND, command));
	CHECK("judged", OK(JUDGED, judged));
	CHECK("progress", OK(PROGRESS, (struct gate_progress){ .phase = GATE_SCAN }));
	CHECK("pointer", OK(POINTER, (struct gate_pointer){ .size = 1 }));
	CHECK("scanfile", OK(SCANFILE, (struct gate_scanfile){ .size = 1 }));
}

TEST(what_is_not)
{
	CHECK("length", !gate_message_ok(GATE_JUDGE, &judge, sizeof(judge) - 1));
	CHECK("none", !gate_message_ok(GATE_NONE, NULL, 0));
	CHECK("type", !gate_message_ok(GATE_JUDGED + 1, &judged, sizeof(judged)));
	CHECK("format", !BUT(JUDGE, judge, format, 2));
	CHECK("flag", !BUT(JUDGE, judge, has_pack, 2));
	CHECK("no end", !BUT(JUDGE, judge, repository, '/'));
	CHECK("relative", !BUT(JUDGE, judge, repository[0], 'a'));
	CHECK("place", !BUT(FINDING, finding, place, GATE_PLACES));
	CHECK("no place", !BUT(FINDING, finding, place, 0));
	CHECK("weight", !BUT(FINDING, finding, weight, GATE_WEIGHTS));
	CHECK("escape", !BUT(FINDING, finding, path[0], 0x1b));
	CHECK("fingerprint", !BUT(FINDING, finding, fingerprint[31], 'G'));
	CHECK("rule without end", !BUT(FINDING, finding, rule, 'a'));
	CHECK("what it does", OK(COMMAND, (struct gate_command){ .op = PUSH_FORCE }));
	CHECK("op", !BUT(COMMAND, command, op, 0x7f));
	CHECK("no reason", !BUT(COMMAND, command, reason, 0));
	CHECK("reason", !BUT(COMMAND, command, reason, 0x7f));
	CHECK("text", !BUT(COMMAND, command, text[0], '\n'));
	CHECK("phase", !OK(PROGRESS, (struct gate_progress){ 0 }));
}

TEST(verdicts_go_with_reasons)
{
	static const struct { const char *what; uint32_t verdict, reason, held; bool ok; } rows[] = {
		{ "clean", JUDGE_CLEAN, REASON_NONE, 0, true },
		{ "clean with a finding that is held", JUDGE_CLEAN, REASON_NONE, 1, false },
		{ "clean, but", JUDGE_CLEAN, REASON_SECRET_DETECTED, 0, false },
		{ "refused", JUDGE_REFUSED, REASON_SECRET_DETECTED, 1, true },
		{ "refused without a word", JUDGE_REFUSED, REASON_NONE, 0, false },
		{ "failed", JUDGE_FAILED, REASON_SCAN_FAILED, 0, true },
		{ "failed without a word", JUDGE_FAILED, REASON_NONE, 0, false },
		{ "missing", JUDGE_MISSING, REASON_NONE, 0, true },
		{ "unknown", JUDGE_MISSING + 1, REASON_NONE, 0, false },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct gate_judged j = { .verdict = rows[i].verdict, .reason = rows[i].reason };

		j.findings[GATE_HELD] = rows[i].held;
		CHECK_EQ(rows[i].what, OK(JUDGED, j), rows[i].ok);
	}
}
