/*
 * silence.h - when a name leaves a real address that does not answer
 */
#ifndef NETD_SILENCE_H
#define NETD_SILENCE_H

#include <stdbool.h>
#include <stdint.h>

enum {
	SILENCE_MS = 1500,	    /* the first SYN is at least so old */
	SILENCE_WAIT_MIN_MS = 2000, /* after a move; doubles with each */
	SILENCE_WAIT_MAX_MS = 600 * 1000,
	SILENCE_FORGIVE_MS = 1200 * 1000, /* without a move: then the next one waits the least again */
	SILENCE_TRIAL_MS = 60 * 1000,	  /* after a move: one SYN is enough */
	SILENCE_ANSWERED_MS = 5000	  /* until one that does answer is suspected again */
};

/* Of one name and family; zeroed at first. */
struct silence {
	uint64_t moved_ms;	/* 0: never */
	uint64_t not_before_ms; /* no other move */
	uint32_t wait_ms;	/* after the last move */
};

/* `packets` SYNs, the first `age_ms` ago, and no answer: is it time to look for another address? */
bool silence_suspects(const struct silence *s, uint64_t packets, uint32_t age_ms, uint64_t now_ms);
void silence_moved(struct silence *s, uint64_t now_ms);	   /* the name was moved */
void silence_answered(struct silence *s, uint64_t now_ms); /* the address was seen to answer */

#endif
