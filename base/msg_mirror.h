/*
 * msg_mirror.h - what `cordon mirror` asks of cordon-mirror, on RUN/mirror.sock
 *
 * One question (MSG_MIRROR_DO) at a time. Rows (MSG_MIRROR_ROW) come as there is something to say, and a
 * REPLY at the end. Who hangs up gets no more; what has begun is finished.
 */
#ifndef BASE_MSG_MIRROR_H
#define BASE_MSG_MIRROR_H

#include "base/msg.h"

enum { MSG_MIRROR_PATH = 256, MSG_MIRROR_STATE = 24 };

enum msg_mirror_command { MIRROR_DO_LIST = 1, MIRROR_DO_PREWARM, MIRROR_DO_MAINTAIN, MIRROR_DO_REMOVE, MIRROR_DO_VERIFY,
			  MIRROR_DO_COUNT, MIRROR_DO_COMMANDS };

struct msg_mirror_do {
	uint32_t command;
	uint32_t full;			/* VERIFY: every object */
	char host[MSG_NAME], repo[MSG_MIRROR_PATH];	/* both empty: all (not of PREWARM, COUNT) */
};

enum msg_mirror_row_kind {
	MIRROR_ROW_REPO = 1,		/* LIST: one that is there */
	MIRROR_ROW_PROGRESS,		/* still at this one */
	MIRROR_ROW_DONE,		/* with this one, well or not */
	MIRROR_ROW_COUNTS, MIRROR_ROWS
};
struct msg_mirror_row {
	uint32_t kind;
	int32_t result;			/* DONE: 0 or -errno */
	uint64_t bytes;			/* on disk; PROGRESS: received so far */
	uint64_t refs, packs;
	int64_t refreshed, used;	/* wall clock, s; 0: never */
	char host[MSG_NAME], repo[MSG_MIRROR_PATH], credential[MSG_LABEL];
	char state[MSG_MIRROR_STATE];	/* a word or two for people */
	char text[MSG_WHAT];		/* DONE: what was wrong, and what to do */
	/* Since the start, REPO: of this one, COUNTS: of all that are there. */
	uint64_t served, received;	/* bytes of objects: to clients from here, from upstream */
	/* about references that upstream answered, and that others' answers answered */
	uint64_t questions, shared;
	uint64_t question_ms;		/* what the former took together */
	uint64_t max_bytes, kept_bytes, kept, hits, misses, coalesced, mirrors;	/* COUNTS */
};

bool msg_mirror_do_ok(const struct msg_mirror_do *m);
bool msg_mirror_row_ok(const struct msg_mirror_row *m);

#endif
