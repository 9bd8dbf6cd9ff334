/*
 * mirror_ipc.h - what the keeper and cordon-mirror ask of each other
 *
 * Theory of operation: over the inherited SEQPACKET pair (base/ipc.h). The keeper has decided before
 * it asks, and names the security domain: what one credential may read of one repository. So the
 * mirror needs no policy, and holds no secret; it cannot dial, and asks the keeper for what it needs
 * of upstream.
 *   SERVE{...}    keeper to mirror  fds: the front's answer socket, one for the verdict[, the body]
 *   VERDICT{...}  mirror to keeper, once, on that socket: served (the front has its whole answer, or
 *                 knows that it is broken), or the keeper is to ask upstream itself
 * A push (SERVE of receive-pack, GP_RPC) brings no body, since that comes as DATA and END from the front on
 * the answer socket, but the rules it is judged by (policy/push.h, sealed), and what of the findings is
 * accepted. Two more may go to the keeper on the verdict's socket before VERDICT, in this order:
 *   PUSH{...}     at most once, when the push was judged clean. fds: a socket for the answer, the commands
 *                 (a sealed memfd, push_command.h)[, the pack: a regular file, sent from its beginning].
 *                 The keeper asks the policy again for each command, writes them itself, and answers with
 *                 STATUS, DATA, END: DATA is upstream's report as it came, and `push` of STATUS what of
 *                 enum push_capability was asked of it (over ssh perhaps less than the list has), and
 *                 KEEPER_PUSH_SENT. A STATUS with a reason and without that says that nothing was sent; in
 *                 every other case but a report that ends well the outcome is unknown until upstream is asked
 *   PUSHED{...}   once, for every push. fd: a sealed memfd, struct mirror_pushed_command[], then
 *                 struct mirror_pushed_finding[]. What the keeper writes to the audit
 * Before PUSH, where the policy has LFS, objects that the push needs:
 *   LFS_ASK{...}   fds: a socket for the answer, struct lfs_object[] (a sealed memfd). Which does upstream have?
 *                  Answered with STATUS, DATA, END; DATA is an enum lfs_result for each, as a byte: THERE or not
 *   LFS_BRING{...} fds: a socket for the answer, the object: a regular file. To upstream; answered with STATUS, END
 * SERVE of an object of LFS that is brought (GP_LFS_OBJECT of receive-pack) has descriptors like a push, and
 * no word but VERDICT follows.
 * That socket is what permits a push: it is of this sandbox, policy, repository and credential, and whoever
 * does not hold it cannot have anything sent.
 *   ASK{...}      mirror to keeper  fds: a socket for the answer[, a body]; answered with the frames
 *                 of keeper_ipc.h. The keeper takes it only for a domain as it would name it itself,
 *                 and a repository that some profile grants, or that is to be prewarmed; of receive-pack
 *                 the advertisement alone (protocol 0), where some profile may push
 *   WHOSE{...}    mirror to keeper  fds: a socket for the answer: which domain has this repository now,
 *                 and how is it spelled?
 *   DOMAIN{...}   keeper to mirror, once, on that socket
 *   EVENT{...}    mirror to keeper  for the audit, which is the keeper's; not answered
 */
#ifndef GITPROXY_MIRROR_IPC_H
#define GITPROXY_MIRROR_IPC_H

#include "gitproxy/keeper_ipc.h"
#include "gitproxy/oid.h"
#include "policy/push.h"

enum { MIRROR_KEEPER_FD = 3,		/* the pair, in the mirror */
       MIRROR_PAIR_FD = 4,		/* the pair, in the keeper */
       MIRROR_DOMAIN = 32, MIRROR_CREDENTIAL = 64, MIRROR_DETAIL = 160 };
enum { MIRROR_ANSWER = 0, MIRROR_VERDICT_TO = 1, MIRROR_BODY = 2 };	/* descriptors of SERVE */
enum { MIRROR_RULES = 2, MIRROR_EXCEPTIONS = 3 };			/* of a push's; -1 for the last: none are */
enum { MIRROR_ASK_ANSWER = 0, MIRROR_ASK_BODY = 1 };			/* of ASK; WHOSE has the first */
enum { MIRROR_LFS_ANSWER = 0, MIRROR_LFS_FILE = 1 };			/* of LFS_ASK and LFS_BRING */
enum { MIRROR_PUSH_ANSWER = 0, MIRROR_PUSH_LIST = 1, MIRROR_PUSH_PACK = 2 };

struct mirror_domain {
	uint8_t id[MIRROR_DOMAIN];	/* SHA-256 of host, repository, credential */
	char credential[MIRROR_CREDENTIAL]; /* its name, for people; "": none */
};

struct mirror_serve {
	struct mirror_domain domain;
	uint16_t sandbox;		/* for limits and coalescing alone */
	uint8_t stale_ok;		/* the policy's `stale: allow` */
	/* upstream has no answer for clients: the verdict is never UPSTREAM, or a failure */
	uint8_t only;
	uint8_t pad_[4];
	uint64_t lfs_size;		/* of GP_LFS_OBJECT: what the link says */
	struct keeper_open open;	/* upload-pack, protocol version 2; or receive-pack, 0 */
};

enum mirror_how { MIRROR_FAILED = 0, MIRROR_SERVED, MIRROR_UPSTREAM };
struct mirror_verdict {
	uint32_t how;			/* enum mirror_how */
	uint32_t reason;		/* SERVED: enum reason of the answer, for the audit */
	uint32_t status;		/* upstream's, if it was asked; 0: none */
	uint32_t gone;			/* the front stopped listening */
	uint64_t down;			/* bytes of the answer */
	char detail[MIRROR_DETAIL];	/* plain text */
};

struct mirror_ask {
	struct mirror_domain domain;
	uint32_t large;			/* a fetch of objects, which may take long: for limits alone */
	uint32_t pad_;
	struct keeper_open open;
};

struct mirror_whose { char host[MSG_NAME], repo[GP_REPO_MAX + 1]; };
struct mirror_domain_of {
	uint32_t reason;		/* enum reason; none: it is */
	uint32_t pad_;
	struct mirror_domain domain;
	char repo[GP_REPO_MAX + 1];	/* as it is spelled; "" with a reason */
};

struct mirror_push { uint64_t pack_bytes; /* 0: there is none, where the list says so */ };

struct mirror_lfs {
	uint32_t n;			/* objects in the list; 1 for one that is brought, */
	uint32_t pad_;
	struct lfs_object object;	/* which is this; else zero */
};

/* Of the audit's event `push`. */
enum push_outcome { PUSH_REJECTED = 0,	/* by us: nothing went upstream */
		    PUSH_FORWARDED, PUSH_UPSTREAM_REJECTED, PUSH_INDETERMINATE, PUSH_OUTCOMES };
const char *push_outcome_text(enum push_outcome o);
enum { PUSHED_LIST_MAX = 64, PUSHED_RULE = 64, PUSHED_PATH = 256, PUSHED_FINGERPRINT = 64, PUSHED_WEIGHT = 16 };
struct mirror_pushed {
	uint32_t outcome;		/* enum push_outcome */
	uint32_t reason;		/* enum reason; none: forwarded */
	uint32_t n_commands, n_findings; /* how many there were */
	uint8_t commands, findings;	/* how many follow in the memfd: at most PUSHED_LIST_MAX each */
	uint8_t format;			/* enum object_format */
	uint8_t pad_[5];
	uint64_t objects, bytes_up;	/* of the pack */
	char detail[MIRROR_DETAIL];	/* plain text; may be empty */
};
struct mirror_pushed_command {
	uint8_t op;			/* enum push_op; PUSH_UPDATE where it was not found out */
	uint8_t accepted;		/* upstream has it so */
	uint8_t pad_[2];
	uint32_t reason;		/* why not; none with accepted, or where upstream gave one of its own */
	struct oid old, new;		/* zero: none */
	char ref[PUSH_PATTERN_MAX];	/* peer bytes, terminated */
};
struct mirror_pushed_finding {
	char rule[PUSHED_RULE], fingerprint[PUSHED_FINGERPRINT];	/* plain text */
	char path[PUSHED_PATH];		/* peer bytes, cut, terminated */
	struct oid object;		/* zero: it is none (a name, a push option) */
	uint32_t line, column;		/* 0: not known */
	char weight[PUSHED_WEIGHT];	/* plain text: gate_weight_text() */
};

enum mirror_what { MIRROR_REFRESHED = 1, MIRROR_EVICTED, MIRROR_REMOVED, MIRROR_DAMAGED, MIRROR_MAINTAINED,
		   MIRROR_TOO_LARGE, MIRROR_REPLACED, MIRROR_WHATS };
struct mirror_event {
	uint32_t what;			/* enum mirror_what */
	uint32_t pad_;
	uint64_t objects, bytes, ms;
	char host[MSG_NAME], repo[GP_REPO_MAX + 1], credential[MIRROR_CREDENTIAL];
};
const char *mirror_what_text(enum mirror_what w);

bool mirror_serve_ok(const struct mirror_serve *s);
bool mirror_verdict_ok(const struct mirror_verdict *v);
bool mirror_ask_ok(const struct mirror_ask *a);
bool mirror_whose_ok(const struct mirror_whose *w);
bool mirror_domain_of_ok(const struct mirror_domain_of *d);
bool mirror_event_ok(const struct mirror_event *e);
bool mirror_is_push(const struct mirror_serve *s);	/* RPC of receive-pack: brings rules */
bool mirror_lfs_ok(const struct mirror_lfs *l);
bool mirror_push_ok(const struct mirror_push *p);
bool mirror_pushed_ok(const struct mirror_pushed *p);
bool mirror_pushed_command_ok(const struct mirror_pushed_command *c);
bool mirror_pushed_finding_ok(const struct mirror_pushed_finding *f);

#endif
