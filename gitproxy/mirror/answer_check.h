/*
 * answer_check.h - is this the whole of a right answer to a fetch?
 *
 * Spec: gitprotocol-v2(5), "fetch".
 */
#ifndef GITPROXY_MIRROR_ANSWER_CHECK_H
#define GITPROXY_MIRROR_ANSWER_CHECK_H

#include "gitproxy/pack_check.h"
#include "gitproxy/pkt.h"

enum { ANSWER_LINE_MAX = 1200, ANSWER_SAID_MAX = 256 };

enum answer {
	ANSWER_FAILED = 0,	/* sticky */
	ANSWER_MORE,		/* right so far */
	ANSWER_NO_PACK,		/* complete: a round of negotiation */
	ANSWER_PACK,		/* complete, and its pack is what its trailer says */
};

enum answer_section {		/* in the order they may come */
	ANSWER_NOT_BEGUN, ANSWER_ACKNOWLEDGMENTS, ANSWER_SHALLOW_INFO, ANSWER_WANTED_REFS,
	ANSWER_PACKFILE,
};

struct answer_check;
/* Bytes of the pack, in order. 0, or -errno, which fails the answer. */
typedef int answer_pack_fn(struct answer_check *a, struct rd bytes);

struct answer_check {			/* embedded; `settled`, `why`, `said*`, `remote` are to read */
	enum answer state;
	/*
	 * So many of the bytes may be passed on: they are whole lines, or contents of the pack and
	 * progress. What stands behind them may yet turn out to be an error.
	 */
	uint64_t settled;
	const char *why;		/* when failed: our sentence */
	bool remote;			/* it failed because the peer said so */
	char said[ANSWER_SAID_MAX];	/* what ERR or band 3 said: the peer's bytes, no NUL */
	size_t said_n;

	enum object_format format;
	answer_pack_fn *on_pack;
	enum answer_section section;	/* the last one that began */
	bool between;			/* it has ended */
	bool ready;			/* the last acknowledgment was "ready" */
	uint64_t fed;
	uint8_t head[PKT_HEAD];
	size_t head_n, left;		/* of the packet being read */
	unsigned band;			/* its band, once known */
	uint8_t line[ANSWER_LINE_MAX];
	size_t line_n;
	struct pack_check pack;
};

/* on_pack may be NULL. 0 or -ENOMEM. */
int answer_check_init(struct answer_check *a, enum object_format format, answer_pack_fn *on_pack);
void answer_check_done(struct answer_check *a);
/* The next bytes, in pieces of any size. What follows the end fails it. */
enum answer answer_check_feed(struct answer_check *a, struct rd bytes);
/* There are no more. ANSWER_FAILED unless it was complete. */
enum answer answer_check_end(struct answer_check *a);

#endif
