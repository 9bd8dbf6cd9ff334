/*
 * gate_ipc.h - what cordon-mirror asks of cordon-scan, and what it is told
 *
 * Theory of operation: cordon-mirror starts cordon-scan with one end of a SEQPACKET pair (base/ipc.h)
 * as descriptor GATE_FD. Each question brings a socket for its answers, so that many can be under
 * way; whoever asked closes it to have the work stopped. On that socket come fixed structs, in any
 * order, and JUDGED once and last. The end of the socket without JUDGED is JUDGE_FAILED: the process
 * that judged died, or was killed for what it took.
 *   JUDGE{...}     fds: answers, struct push_list (sealed memfd), quarantine folder, struct push_rules
 *                  (sealed memfd)[, the pack][, the exceptions' file]
 *   SCANFILE{...}  fds: answers, the file, struct push_rules[, the exceptions' file]
 * The pack is read from its byte 0 and never written. Into the quarantine go the files that make it
 * part of a repository, named pack-HASH, where HASH (struct gate_judged) is the trailer of the pack
 * as the repository gets it: .idx; and .pack when objects were missing in the client's pack
 * which the mirror had (`thin`). Otherwise the client's pack is it, under that name. A clean push of which
 * these would be too long has no HASH: the repository will not have it from here.
 */
#ifndef GITPROXY_GATE_GATE_IPC_H
#define GITPROXY_GATE_GATE_IPC_H

#include "base/ipc.h"
#include "gitproxy/oid.h"
#include "gitproxy/scan/fingerprint.h"
#include "policy/push.h"

enum { GATE_FD = 3,			/* the pair, in cordon-scan */
       GATE_RULES_FD = 4 };		/* its rules, unless they are builtin */
enum { GATE_PATH = 1024, GATE_RULE = 64, GATE_TEXT = 160,
       GATE_SHOWN = 4 * 256 + 4 };	/* bytes of a path, escaped, with its NUL */

/* A file of the quarantine: sorted ids (struct oid) that upstream's branches and tags stand on now. */
#define GATE_TIPS "tips"

enum gate_message { GATE_NONE = 0, GATE_JUDGE, GATE_SCANFILE,	/* questions */
		    GATE_PROGRESS, GATE_FINDING, GATE_COMMAND, GATE_POINTER, GATE_JUDGED };

enum { GATE_ANSWERS = 0, GATE_LIST, GATE_QUARANTINE, GATE_RULES, GATE_OPTIONAL };	/* of JUDGE */
struct gate_judge {
	uint8_t format;			/* enum object_format */
	uint8_t has_pack, has_exceptions;	/* which descriptors follow, in this order */
	uint8_t has_tips;		/* the quarantine has GATE_TIPS */
	uint32_t max_objects;		/* of the pack */
	uint16_t sandbox;		/* whose it is: few of one are judged at a time */
	uint8_t again;			/* the mirror is up to date: what of GATE_TIPS is absent will not come */
	uint8_t pad2_[5];
	uint64_t max_inflated;		/* bytes of all its objects together */
	uint64_t max_written;		/* bytes of the files that go into the quarantine; where they are more there are none */
	char repository[GATE_PATH];	/* the mirror's git directory, absolute; "": there is none yet */
};

enum { GATE_FILE_ANSWERS = 0, GATE_FILE, GATE_FILE_RULES, GATE_FILE_EXCEPTIONS };	/* of SCANFILE */
struct gate_scanfile {
	uint64_t size;			/* it must be this long */
	uint8_t sha256[32];		/* and this */
	uint8_t has_exceptions, pad_;
	uint16_t sandbox, pad2_[2];
};

enum gate_phase { GATE_PHASE_NONE = 0, GATE_RECEIVED, GATE_INDEX, GATE_SCAN, GATE_CHECK, GATE_PHASES };
struct gate_progress { uint32_t phase, pad_; uint64_t done, total; };	/* objects */

/* Where a secret was: in an object's bytes, or not in any object. */
enum gate_place { GATE_PLACE_NONE = 0, GATE_BLOB, GATE_COMMIT, GATE_TAG, GATE_NAME /* of a tree's entry */,
		  GATE_REF, GATE_OPTION, GATE_LFS, GATE_PLACES };
/* What is to be done about it: only one that is HELD refuses. */
enum gate_weight { GATE_WEIGHT_NONE = 0, GATE_HELD, GATE_WARNED /* the policy says so */,
		   GATE_KNOWN /* upstream's version of the file has it already */,
		   GATE_ACCEPTED /* an exception of the host's */, GATE_WEIGHTS };
struct gate_finding {
	uint8_t place, weight, pad_[2];	/* enum gate_place, enum gate_weight */
	uint32_t index;			/* of the command or option; else 0 */
	uint64_t line, column;		/* from 1; 0: none */
	struct oid object, commit;	/* zero: none; the first of the push's commits that has it */
	char rule[GATE_RULE];
	char fingerprint[SCAN_FINGERPRINT_MAX];
	char path[GATE_SHOWN];		/* printable, cut; "": none, or not known */
};

enum { GATE_EVERY = UINT32_MAX };
struct gate_command {			/* what a command does, or why it is refused; both may come */
	uint32_t index;			/* in the list; GATE_EVERY: the push */
	uint32_t reason;		/* enum reason; none: it is not refused by this */
	uint32_t op, pad_;		/* enum push_op; none: not known */
	char text[GATE_TEXT];		/* printable */
};

struct gate_pointer {			/* a blob of the pack that stands for an LFS object */
	uint64_t size;
	uint8_t sha256[32];
	struct oid blob;
};

enum judge_verdict { JUDGE_FAILED = 0, JUDGE_CLEAN, JUDGE_REFUSED, JUDGE_MISSING };
struct gate_judged {
	uint32_t verdict;		/* enum judge_verdict */
	uint32_t reason;		/* FAILED, REFUSED: enum reason of the push, never none; else none */
	uint64_t objects, bytes;	/* of the pack; inflated */
	uint32_t findings[8];		/* by enum gate_weight, in all */
	uint32_t untold;		/* of those, how many were not told one by one */
	uint32_t pointers;
	uint8_t thin, pad_[7];
	struct oid pack;		/* HASH of the files in the quarantine; zero: none */
	struct oid missing;		/* MISSING: one that neither pack nor mirror has */
	char detail[GATE_TEXT];		/* printable, for people */
};

/* A body of this type as its sender must have made it? */
bool gate_message_ok(uint16_t type, const void *body, size_t n);
const char *gate_place_text(enum gate_place p);
const char *gate_weight_text(enum gate_weight w);

#endif
