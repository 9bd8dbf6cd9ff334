/*
 * tell.c - the answers of a judge, to whoever asked
 *
 * Theory of operation: sending blocks, so that nothing is dropped; whoever asked reads all the time, or
 * closes, which ends the work. Texts are made printable here, for some hold a client's bytes.
 */
#include "gitproxy/gate/tell.h"

#include <errno.h>
#include <string.h>
#include <time.h>

#include "base/msg.h"

enum { EVERY_MS = 500 };

static void say(struct tell *t, enum gate_message type, const void *body, size_t n)
{
	if (!t->err)
		t->err = ipc_send(t->to, (uint16_t)type, 0, body, n, NULL, 0);
}

static uint64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

int tell_progress(struct tell *t, enum gate_phase phase, uint64_t done, uint64_t total)
{
	struct gate_progress p = { .phase = phase, .done = done, .total = total };
	uint64_t now = now_ms();

	if (phase != t->phase || now - t->progress_ms >= EVERY_MS) {
		t->phase = phase;
		t->progress_ms = now;
		say(t, GATE_PROGRESS, &p, sizeof(p));
	}
	return t->err ? -EPIPE : 0;
}

void tell_refused(struct tell *t, uint32_t command, enum reason reason, const char *text)
{
	struct gate_command c = { .index = command, .reason = reason };

	msg_plain_set(c.text, sizeof(c.text), text);
	if (!t->reason)
		t->reason = reason;
	say(t, GATE_COMMAND, &c, sizeof(c));
}

void tell_op(struct tell *t, uint32_t command, enum push_op op)
{
	struct gate_command c = { .index = command, .op = op };

	if (op != PUSH_NONE)
		say(t, GATE_COMMAND, &c, sizeof(c));
}

void tell_finding(struct tell *t, const struct gate_finding *f)
{
	t->judged.findings[f->weight]++;
	if (t->findings++ < GATE_TELL_MAX)
		say(t, GATE_FINDING, f, sizeof(*f));
	else
		t->judged.untold++;
}

void tell_pointer(struct tell *t, const struct gate_pointer *p)
{
	t->judged.pointers++;
	say(t, GATE_POINTER, p, sizeof(*p));
}

void tell_judged(struct tell *t, enum judge_verdict verdict, enum reason reason, const char *detail)
{
	t->judged.verdict = verdict;
	t->judged.reason = reason;
	msg_plain_set(t->judged.detail, sizeof(t->judged.detail), detail ? detail : "");
	say(t, GATE_JUDGED, &t->judged, sizeof(t->judged));
}
