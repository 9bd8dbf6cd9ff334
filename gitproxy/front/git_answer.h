/*
 * git_answer.h - a git answer on its way, kept such that an error can be said at any moment
 */
#ifndef GITPROXY_FRONT_GIT_ANSWER_H
#define GITPROXY_FRONT_GIT_ANSWER_H

#include "gitproxy/pkt.h"
#include "policy/reason.h"

enum { GIT_ANSWER_INPUT = 32768, GIT_ANSWER_ERROR = 256 };

/* How a client would take an error behind what it has. */
enum git_answer_place {
	GIT_ANSWER_NOWHERE = 0,		/* it waits for no packet: the answer cannot say it */
	GIT_ANSWER_LINE,		/* as an ERR packet */
	GIT_ANSWER_BAND			/* on band 3 */
};

struct git_answer {
	bool v2, advertised;		/* the protocol; the answer of info/refs */
	bool raw;			/* no pkt-lines: passed on as it comes */
	enum git_answer_place place;
	size_t n, whole;		/* bytes held; those of them that are whole packets */
	uint8_t held[PKT_MAX + GIT_ANSWER_INPUT];
};

void git_answer_init(struct git_answer *a, bool v2, bool advertised);
/*
 * Take upstream's next bytes, at most GIT_ANSWER_INPUT. What may go on now: whole packets, borrowed
 * until the next call. An incomplete one is held back.
 */
struct rd git_answer_next(struct git_answer *a, struct rd data);
/* Upstream's answer is complete: the rest, as it is. */
struct rd git_answer_end(struct git_answer *a);
/* The packet that tells the client why no more comes. False: there is no way to. */
bool git_answer_error(const struct git_answer *a, enum reason reason, struct wr *w);

#endif
