/*
 * parts.h - the other daemons: who is connected, what they have been told, what they have
 * acknowledged
 */
#ifndef NETD_PARTS_H
#define NETD_PARTS_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/loop.h"
#include "base/msg.h"
#include "base/proc.h"
#include "netd/netd.h"
#include "policy/policy.h"

enum {
	PARTS_MAX = 64,		  /* connections at once */
	PARTS_PER_USER = 16,	  /* of these: one daemon must not shut the others out */
	PARTS_TIMEOUT_MS = 2000,  /* for an acknowledgement; then the part is cut off */
	PARTS_QUEUE_MAX = 1 << 20, /* datagrams that wait for one part */
	PARTS_ASKED_MAX = 1024	   /* of these answers, and questions that wait for theirs */
};

/* Sets of roles. */
#define TO_DNS	    BIT_ROLE(ROLE_DNS)
#define TO_GITPROXY BIT_ROLE(ROLE_GITPROXY)
#define TO_KEEPER   BIT_ROLE(ROLE_KEEPER)
#define TO_INSPECT  BIT_ROLE(ROLE_INSPECT)
#define TO_VIEWS    (TO_DNS | TO_GITPROXY | TO_KEEPER) /* those that hold sandboxes and profiles */
#define TO_NAMES    (TO_INSPECT | TO_GITPROXY)	       /* those that hold names */
#define BIT_ROLE(r) (1u << (r))

/* Take RUN/parts/netd.sock (open and listening). Owns the descriptor, also on failure. */
int parts_new(struct netd *n, int listener /* takes */, struct parts **ret);
void parts_free(struct parts *ps);
DEFINE_AUTO(parts, struct parts *, parts_free)
/* A part on an inherited pair. It must say HELLO with this role. */
int parts_adopt(struct parts *ps, int fd /* takes */, enum proc_role role, pid_t pid);
/* Snapshots for those that connected during a reload. */
void parts_admit_waiting(struct parts *ps);
/* Queue the rest of every snapshot that is under way: a reload needs all parts at one place. */
void parts_complete(struct parts *ps);
/* [{role, pid, state, queued}], a new reference; NULL when out of memory. */
json_t *parts_json(const struct parts *ps);

/* Answer to one part, which may be gone by now: found by its serial number. */
void parts_answer(struct parts *ps, uint64_t serial, enum msg_type t, uint32_t sequence,
		  const void *body);

/*
 * A publication: messages to all parts of some roles, and what to do once every one of them has
 * acknowledged, was cut off, or died. Embedded in its owner, who may free it in `fn` (called
 * exactly once, from publish_end() when nothing is owed). A part that is not connected gets a
 * snapshot later.
 */
struct publish;
typedef void publish_fn(struct netd *n, struct publish *p);
struct publish {
	struct netd *n;
	publish_fn *fn;
	publish_fn *drop; /* at exit, instead of fn: free the owner. NULL: it is no one's own allocation */
	unsigned owed;
	bool ended;
	bool late;	/* a part was cut off for not answering */
	int32_t result; /* the first refusal of a part, or 0 */
	struct timer timer;
};
void publish_begin(struct netd *n, struct publish *p, publish_fn *fn);
/* Sent and owed. The policy's text goes along as a memfd (NULL: none). */
void publish_send(struct publish *p, unsigned roles, enum msg_type t, const void *body,
		  const struct policy *policy);
/* The same for a message without a body and with a descriptor (borrowed). */
void publish_send_fd(struct publish *p, unsigned roles, enum msg_type t, int fd);
/* Sent, nothing owed. */
void publish_tell(struct netd *n, unsigned roles, enum msg_type t, const void *body,
		  const struct policy *policy);
void publish_end(struct publish *p);

#endif
