/*
 * part.h - one connected daemon, for parts.c, snapshot.c and publish.c only
 */
#ifndef NETD_PART_H
#define NETD_PART_H

#include "netd/parts.h"

enum part_state { PART_HELLO = 0, PART_WAITING, PART_SNAPSHOT, PART_SERVING, PART_DEAD };

struct ack {
	struct ack *next;
	uint32_t sequence;
	struct publish *publish;
};

struct snapshot { /* how far it is */
	uint32_t step, at;
};

struct out; /* a datagram that waits; parts.c */

struct part {
	struct watch watch;
	struct timer hello;
	struct parts *ps;
	struct part *next;
	enum part_state state;
	enum proc_role role; /* of HELLO; on a pair known before */
	uint64_t serial;
	uid_t uid;
	pid_t pid;
	bool pair;
	struct out *head, **tail;
	size_t queued;	/* datagrams that wait */
	size_t asked;	/* pins that are not answered yet */
	size_t answers; /* of the queued, answers to pins */
	struct snapshot walk;
	struct ack *acks, **acks_tail;
};

struct parts {
	struct netd *n;
	struct watch listener;
	struct timer reaper;
	struct part *list;
	uint64_t serial;
	uint32_t sequence;
};

/* End the connection; publications go on without it. It is freed later: whoever walks finds it
 * dead. */
void part_cut(struct part *p, const char *why);
/* Put a datagram behind the others; the body is copied, the policy referenced. Then part_flush().
 */
void part_queue(struct part *p, enum msg_type t, uint32_t sequence, const void *body,
		const struct policy *policy);
/* The same for a message without a body and with a descriptor. */
void part_queue_fd(struct part *p, enum msg_type t, uint32_t sequence, int fd /* takes */);
/* Write what fits. May cut the part off. */
void part_flush(struct part *p);

void part_audit(const struct part *p, const char *what);

/* snapshot.c: begin it; the next piece, when there is room; all the rest. */
void snapshot_begin(struct part *p);
void snapshot_more(struct part *p);
void snapshot_rest(struct part *p);

/* publish.c: an answer came; or no more will come. Continuations run from both. */
void publish_acknowledge(struct part *p, uint32_t sequence, int32_t result);
void publish_forget(struct part *p);
/* At exit: one answer fewer is owed, and nothing happens when it was the last. */
void publish_drop(struct publish *p);

#endif
