/*
 * answer.h - the mirror's answers to the front: a file, and how much of it there is
 */
#ifndef GITPROXY_MIRROR_ANSWER_H
#define GITPROXY_MIRROR_ANSWER_H

#include "gitproxy/keeper_ipc.h"

struct answer_head {
	enum gp_kind kind;		/* of the request: gives the content's type */
	enum git_service service;	/* the same; 0: upload-pack */
	enum keeper_source source;
	uint32_t coalesced;
	uint64_t length;		/* KEEPER_UNKNOWN: it grows */
};

/* Each 0 or -errno (-EPIPE: the front has gone). They wait while the front is slow. */
int answer_begin(int to, const struct answer_head *h, int file);
/* An answer that is no file: its head, then bytes of it, then answer_end(). */
int answer_stream(int to, const struct answer_head *h);
int answer_data(int to, struct rd bytes);
int answer_grown(int to, uint64_t upto);
int answer_end(int to, enum reason reason);
int answer_refuse(int to, enum reason reason, unsigned upstream_status);
/* All of it: that it is done, without a body; or why not, and what was found (plain text; may be empty). */
int answer_nothing(int to);
int answer_found(int to, enum reason reason, const char *finding);
/* All of it: a whole file. */
int answer_file(int to, const struct answer_head *h, int file);

#endif
