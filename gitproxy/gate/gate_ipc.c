/*
 * gate_ipc.c - what cordon-mirror asks of cordon-scan and is told, checked
 *
 * Theory of operation: both sides check. What comes back was made by a process that read a client's
 * pack, so its texts are printable or the message is none.
 */
#include "gitproxy/gate/gate_ipc.h"

#include <string.h>

#include "base/msg.h"

static bool flag(uint8_t v)
{
	return v <= 1;
}

static bool judge_ok(const struct gate_judge *j)
{
	return j->format <= OBJECT_SHA256 && flag(j->has_pack) && flag(j->has_exceptions) && flag(j->has_tips) &&
	       flag(j->again) && memchr(j->repository, 0, sizeof(j->repository)) &&
	       (!*j->repository || *j->repository == '/');
}

static bool scanfile_ok(const struct gate_scanfile *s)
{
	return flag(s->has_exceptions);
}

static bool progress_ok(const struct gate_progress *p)
{
	return p->phase > GATE_PHASE_NONE && p->phase < GATE_PHASES;
}

static bool finding_ok(const struct gate_finding *f)
{
	return f->place > GATE_PLACE_NONE && f->place < GATE_PLACES && f->weight > GATE_WEIGHT_NONE &&
	       f->weight < GATE_WEIGHTS && msg_text_ok(f->rule, sizeof(f->rule)) &&
	       msg_plain_ok(f->path, sizeof(f->path)) && memchr(f->fingerprint, 0, sizeof(f->fingerprint)) &&
	       scan_fingerprint_ok(f->fingerprint);
}

static bool command_ok(const struct gate_command *c)
{
	return c->reason < REASON_COUNT && c->op <= PUSH_DELETE && (c->reason || c->op) &&
	       msg_plain_ok(c->text, sizeof(c->text));
}

static bool pointer_ok(const struct gate_pointer *p)
{
	return p->size <= INT64_MAX;
}

static bool judged_ok(const struct gate_judged *j)
{
	bool says_no = j->verdict == JUDGE_FAILED || j->verdict == JUDGE_REFUSED;

	return j->verdict <= JUDGE_MISSING && j->reason < REASON_COUNT && says_no == (j->reason != REASON_NONE) &&
	       flag(j->thin) && msg_plain_ok(j->detail, sizeof(j->detail)) &&
	       (j->verdict != JUDGE_CLEAN || !j->findings[GATE_HELD]);
}

#define CHECK_FN(kind) \
	static bool check_##kind(const void *body) { return kind##_ok(body); }
CHECK_FN(judge)
CHECK_FN(scanfile)
CHECK_FN(progress)
CHECK_FN(finding)
CHECK_FN(command)
CHECK_FN(pointer)
CHECK_FN(judged)

static const struct { size_t size; bool (*ok)(const void *body); } kinds[] = {
	[GATE_JUDGE] = { sizeof(struct gate_judge), check_judge },
	[GATE_SCANFILE] = { sizeof(struct gate_scanfile), check_scanfile },
	[GATE_PROGRESS] = { sizeof(struct gate_progress), check_progress },
	[GATE_FINDING] = { sizeof(struct gate_finding), check_finding },
	[GATE_COMMAND] = { sizeof(struct gate_command), check_command },
	[GATE_POINTER] = { sizeof(struct gate_pointer), check_pointer },
	[GATE_JUDGED] = { sizeof(struct gate_judged), check_judged },
};

bool gate_message_ok(uint16_t type, const void *body, size_t n)
{
	return type < ARRAY_SIZE(kinds) && kinds[type].ok && n == kinds[type].size && kinds[type].ok(body);
}

const char *gate_place_text(enum gate_place p)
{
	static const char *const text[GATE_PLACES] = {
		[GATE_BLOB] = "file", [GATE_COMMIT] = "commit", [GATE_TAG] = "tag", [GATE_NAME] = "name",
		[GATE_REF] = "ref", [GATE_OPTION] = "push option", [GATE_LFS] = "lfs",
	};

	return (unsigned)p < GATE_PLACES && text[p] ? text[p] : "";
}

const char *gate_weight_text(enum gate_weight w)
{
	static const char *const text[GATE_WEIGHTS] = {
		[GATE_HELD] = "held", [GATE_WARNED] = "warned", [GATE_KNOWN] = "known", [GATE_ACCEPTED] = "accepted",
	};

	return (unsigned)w < GATE_WEIGHTS && text[w] ? text[w] : "";
}
