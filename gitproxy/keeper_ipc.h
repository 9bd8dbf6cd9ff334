/*
 * keeper_ipc.h - what the front asks of the keeper
 *
 * Theory of operation: requests go over the inherited SEQPACKET pair (base/ipc.h) and are never
 * answered there: each brings a socket of its own for the answer, so that threads of the front need
 * no dispatcher, and a front that lost interest just closes it.
 *   SIGN{name}       fds: answer                  answered by CERT on it (fd 0: memfd with the key)
 *   OPEN{request}    fds: client, answer[, body]  to a git host; answered by frames on it
 *   OPEN_HTTP{talk}  fds: client, answer          to any other: see below
 *   DONE{result}     keeper to front, once, on the pair: the keeper serves
 * An answer is SEQPACKET datagrams that begin with a struct keeper_frame: one STATUS (HEAD for
 * OPEN_HTTP); if that has no reason, any number of DATA and then END. The body of a mirror's answer
 * is a file: its descriptor comes with STATUS, which then says `file`, and GROWN instead of DATA
 * tells how much of it may be sent; a whole file is all of the answer, without END. Anything else, and above all
 * an end of file without END, is a failure: the client's connection is then reset, never ended
 * cleanly.
 * A push (GP_RPC of receive-pack) has no descriptor of a body: the front sends it on the answer socket as DATA
 * and END while it comes, whatever its length.
 * Of Git LFS: GP_LFS_BATCH brings a body of struct lfs_object[], and DATA of its answer is struct lfs_offer[], as
 * many and in the same order. GP_LFS_OBJECT of upload-pack is an object's bytes; of receive-pack it comes as a
 * push does, and a STATUS without a reason, which is all of the answer, says that it is held for a push.
 * GP_LFS_VERIFY is answered so, too.
 * OPEN_HTTP begins a conversation for one connection of a client. The front sends frames too: one
 * TEXT, which is a request; if it has a body, DATA and END. Whoever is slow holds the other up, so
 * bodies of any size need constant memory. A HEAD may carry the first of the body behind its text, or
 * all of it. Where an end says `kept`, another TEXT may follow on the same socket. After a HEAD of
 * status 101, which only an upgrade may have, both send DATA as it comes until one sends END.
 * The keeper never believes who asks: it takes the sandbox from the peer address of the client
 * descriptor, and repeats the policy decision for each request.
 */
#ifndef GITPROXY_KEEPER_IPC_H
#define GITPROXY_KEEPER_IPC_H

#include "base/msg.h"
#include "gitproxy/git_path.h"
#include "policy/reason.h"

enum {
	KEEPER_FD = 3,			/* the pair, in the keeper */
	KEEPER_AGENT = 128,
	KEEPER_VALUE = 128,
	KEEPER_HEADERS_MAX = 8,
	KEEPER_DATA_MAX = 65536,	/* bytes of a DATA frame */
	KEEPER_METHOD = 20,
	KEEPER_PICTURE_MS = 10000,	/* either side waits so long for netd's picture */
	KEEPER_TEXT_MAX = 16384,	/* bytes of target and fields */
	KEEPER_DER_MAX = 4096,
	KEEPER_KEY_MAX = 1024		/* PKCS#8, DER */
};

enum { KEEPER_CLIENT = 0, KEEPER_ANSWER = 1, KEEPER_BODY = 2 };	/* descriptors of OPEN */

struct keeper_sign { char name[MSG_NAME]; };
struct keeper_cert {
	int32_t result;			/* 0 or -errno; -EACCES: outside the CA's names */
	uint32_t der_len;
	uint8_t der[KEEPER_DER_MAX];
};

struct keeper_open {
	uint8_t kind;			/* enum gp_kind */
	uint8_t service;		/* enum git_service */
	uint8_t git_protocol;		/* 0: no header, 1, 2 */
	uint8_t pad_[5];
	/* Of descriptor KEEPER_BODY, a sealed memfd; KEEPER_UNKNOWN for receive-pack, see above */
	uint64_t body_length;
	uint8_t oid[LFS_OID], link[LFS_LINK]; /* of GP_LFS_OBJECT and GP_LFS_VERIFY */
	char host[MSG_NAME];		/* canonical */
	char repo[GP_REPO_MAX + 1];	/* canonical */
	char user_agent[KEEPER_AGENT];	/* cleaned; may be empty */
};

/* OPEN_HTTP's: all of its requests are upgrades, which have limits of their own, or none is. */
struct keeper_talk { uint8_t upgrade; uint8_t pad_[7]; };

#define KEEPER_UNKNOWN UINT64_MAX	/* as a length */

struct keeper_http {
	uint64_t body_length;		/* KEEPER_UNKNOWN: chunked; 0 without a body */
	uint16_t port;			/* 443: TLS; 80: plain */
	uint8_t has_body;
	uint8_t upgrade;		/* a WebSocket handshake: GET, no body */
	uint8_t pad_[4];
	char method[KEEPER_METHOD];
	char host[MSG_NAME];		/* canonical */
};

enum keeper_frame_kind { KEEPER_NONE = 0, KEEPER_STATUS, KEEPER_DATA, KEEPER_END, KEEPER_HEAD,
			 KEEPER_TEXT, KEEPER_GROWN };
struct keeper_frame { uint32_t kind; };

/* Upstream's response headers that are passed on, in upstream's order. */
enum keeper_header_id {
	KEEPER_CONTENT_TYPE = 1,
	KEEPER_CACHE_CONTROL,
	KEEPER_EXPIRES,
	KEEPER_PRAGMA,
	KEEPER_FINDING,			/* an object of LFS that was brought: what a refusal is for */
	KEEPER_HEADER_COUNT
};
struct keeper_header { uint32_t id; char value[KEEPER_VALUE]; };

/* Where an answer comes from, for the audit. */
enum keeper_source { KEEPER_FROM_UPSTREAM = 0, KEEPER_FROM_MIRROR, KEEPER_FROM_SPOOL, KEEPER_FROM_STALE,
		     KEEPER_SOURCE_COUNT };
const char *keeper_source_text(uint32_t source);	/* "upstream" ... */

/* WHOLE: all of it is there, `length` bytes, and no frame follows. */
enum keeper_file { KEEPER_FILE_NONE = 0, KEEPER_FILE_GROWS, KEEPER_FILE_WHOLE, KEEPER_FILES };

#define KEEPER_PUSH_CUT 0x40000000u	/* and, with a reason, certainly not all of it */
#define KEEPER_PUSH_SENT 0x80000000u	/* of `push`: upstream may have got some of it */
struct keeper_status {
	uint32_t kind;			/* KEEPER_STATUS */
	uint32_t reason;		/* enum reason; REASON_NONE: a 200 follows */
	uint32_t upstream_status;	/* for the audit; 0: none */
	uint32_t n_headers;
	uint64_t length;		/* UINT64_MAX: unknown */
	uint32_t source;		/* enum keeper_source */
	uint32_t coalesced;		/* others that this very answer went to, or will go to, so far */
	uint32_t file;			/* enum keeper_file */
	uint32_t push;			/* of an answer to MIRROR_PUSH: mirror_ipc.h */
	struct keeper_header header[KEEPER_HEADERS_MAX];
	/* redirect_not_allowed: the repository's new name, where that is all that changed; else "" */
	char moved[GP_REPO_MAX + 1];
};
struct keeper_end {
	uint32_t kind;
	uint32_t reason;		/* REASON_NONE: upstream's answer is complete */
	uint32_t kept;			/* 1: the next request may be sent here */
};
struct keeper_grown { uint32_t kind; uint32_t pad_; uint64_t upto; /* bytes of the file */ };
struct keeper_data { uint32_t kind; uint8_t data[KEEPER_DATA_MAX]; };

/* Both are sent without the unused end of their text. */
struct keeper_text {
	uint32_t kind;			/* KEEPER_TEXT */
	uint32_t pad_;
	struct keeper_http http;
	char text[KEEPER_TEXT_MAX];	/* the target, a line feed, a block of http_fields.h */
};
struct keeper_head {
	uint32_t kind;			/* KEEPER_HEAD */
	uint32_t reason;		/* enum reason; REASON_NONE: an answer follows */
	uint32_t status;		/* upstream's, 200 to 599, or 101; with a reason for the audit, or 0 */
	uint32_t text_n;
	uint64_t length;		/* of the body as announced, or KEEPER_UNKNOWN */
	uint32_t whole;			/* 1: all of the body is here, END does not follow */
	uint32_t kept;			/* as of END; whole */
	char text[KEEPER_TEXT_MAX];	/* a block of http_fields.h: text_n bytes; then of the body */
	char more_[KEEPER_DATA_MAX];	/* where both are as long as they may be */
};
enum { KEEPER_TEXT_HEAD = offsetof(struct keeper_text, text),
       KEEPER_HEAD_HEAD = offsetof(struct keeper_head, text) };

/* What a receiver checks before it believes a struct: text, enums, lengths, combinations. */
bool keeper_sign_ok(const struct keeper_sign *s);
bool keeper_cert_ok(const struct keeper_cert *c);
bool keeper_open_ok(const struct keeper_open *o);
bool keeper_status_ok(const struct keeper_status *s);
bool keeper_http_ok(const struct keeper_http *q);
bool keeper_end_ok(const struct keeper_end *e);
/* n: bytes behind KEEPER_HEAD_HEAD. Its parts borrow from it. */
bool keeper_head_split(const struct keeper_head *h, size_t n, struct rd *ret_text,
		       struct rd *ret_data);
/* Its parts, which borrow from it; false: not what our front makes. */
bool keeper_text_split(const struct keeper_text *t, size_t n, struct rd *ret_target,
		       struct rd *ret_fields);

/* Names of the response headers, lower case; NULL for an unknown id. And back: 0 for an unknown
 * name. */
const char *keeper_header_name(uint32_t id);
uint32_t keeper_header_of(struct rd name);
/* A header value that may be passed on: printable ASCII, fits. */
bool keeper_value_set(struct rd value, char out[KEEPER_VALUE]);
/* A user agent made harmless: unusual bytes become '_', cut to size. */
void keeper_agent_set(struct rd value, char out[KEEPER_AGENT]);

#endif
