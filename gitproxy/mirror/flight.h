/*
 * flight.h - one question upstream for all who ask it at about the same time
 */
#ifndef GITPROXY_MIRROR_FLIGHT_H
#define GITPROXY_MIRROR_FLIGHT_H

#include "gitproxy/mirror/ask.h"

enum { FLIGHT_KEY = 32, FLIGHTS_MAX = 4096,
       FLIGHT_BYTES_MAX = 64 << 20,	/* one answer: a larger one is upstream's to send */
       FLIGHTS_BYTES_MAX = 256 << 20,	/* all together, those on their way among them */
       FLIGHTS_KEPT_MAX = FLIGHTS_BYTES_MAX / 2,	/* of these, answers that nobody reads any more */
       FLIGHT_REFUSED_MS = 1000 };	/* so long a refusal is passed on, however wide the window */

struct flight_answer {			/* immutable once it is there */
	struct ask_outcome outcome;
	int file;			/* memory file of the body; -1: none */
	uint64_t n;
	uint32_t shared;		/* with how many others; as of now */
	bool led;			/* it was asked for by this caller */
	struct flight *held;		/* so its memory is counted until flight_done() */
	void *map;			/* flight_map()'s */
};

struct flights;
int flights_new(struct flights **ret);		/* 0 or -ENOMEM */
void flights_free(struct flights *f);

/*
 * The answer to `q` (its sink is ours) if it was asked for at most window_ms ago; else it is asked for now.
 * `key`: what equal questions have in common. 0 and an answer, which may be a refusal; -ETIMEDOUT, -ENOMEM.
 * flight_done() closes ret's file, and lets it go.
 */
int flight_take(struct flights *f, const uint8_t key[FLIGHT_KEY], unsigned window_ms, const struct ask *q,
		struct flight_answer *ret);
void flight_done(struct flight_answer *a);
/* The body, until flight_done(). 0 or -errno. */
int flight_map(struct flight_answer *a, struct rd *ret);
/* A heap copy of it, which nobody counts. 0 or -errno. */
int flight_read(const struct flight_answer *a, uint8_t **ret);
/* Bytes that the answers take that are kept, on their way, or held. */
uint64_t flights_bytes(const struct flights *f);
/* Whatever was answered before about this domain is out of date. */
void flights_forget(struct flights *f, const uint8_t domain[MIRROR_DOMAIN]);

#endif
