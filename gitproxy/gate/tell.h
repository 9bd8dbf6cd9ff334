/*
 * tell.h - the answers of a judge, to whoever asked
 */
#ifndef GITPROXY_GATE_TELL_H
#define GITPROXY_GATE_TELL_H

#include "gitproxy/gate/gate_ipc.h"

enum { GATE_TELL_MAX = 256 };		/* findings that are told one by one */

struct tell {
	int to;				/* the answers' socket, borrowed */
	int err;			/* sticky: nobody listens any more */
	uint64_t progress_ms;		/* when it was told last */
	enum gate_phase phase;
	uint32_t findings;
	enum reason reason;		/* the first that was told of a refusal */
	struct gate_judged judged;	/* filled on the way */
};

/* 0 or -EPIPE: nobody listens. At most twice a second, but each phase once. */
int tell_progress(struct tell *t, enum gate_phase phase, uint64_t done, uint64_t total);
void tell_refused(struct tell *t, uint32_t command, enum reason reason, const char *text);
void tell_op(struct tell *t, uint32_t command, enum push_op op);
/* Counts it by weight; told while there is room. */
void tell_finding(struct tell *t, const struct gate_finding *f);
void tell_pointer(struct tell *t, const struct gate_pointer *p);
/* The last word. `detail` may hold any bytes; NULL: none. */
void tell_judged(struct tell *t, enum judge_verdict verdict, enum reason reason, const char *detail);

#endif
