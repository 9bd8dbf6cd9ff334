/*
 * msg.h - the messages between Cordon's processes (bodies of base/ipc.h datagrams)
 *
 * Fixed structs in host order on one host, between processes of one build: HELLO carries the
 * protocol number and the build, and a mismatch is refused with both. Every char array is
 * NUL-terminated by the sender and checked by the receiver (msg_text_ok). msg_size() gives the one
 * length a type may have.
 *
 * Conversations (part: dns, gitproxy, keeper on RUN/parts/netd.sock; inspect on its own pair):
 *   part  -> netd  HELLO                      first datagram; identity also by SO_PEERCRED
 *   netd  -> part  PROFILE* SANDBOX* NAME_IS* END    the snapshot; the part answers nothing before END
 *   netd  -> part  PROFILE, SANDBOX, GONE, NAME_IS afterwards, answered by DONE{sequence} when they
 *                  have one; PROFILE replaces the profile of that id at once (reload in two
 *                  phases: PREPARE, PROFILE*, READY, COMMIT or ABORT)
 *   netd  -> part  NAME_GONE                  answered by DONE. To dns first: when it has forgotten the
 *                  name, nobody is told its address any more; then, unless it was asked for meanwhile,
 *                  to those who hold names, when the kernel has nothing of it
 *   dns   -> netd  PIN                        answered by PINNED with the same sequence
 *   netd  -> dns   IN_USE                     names whose addresses are to be followed for a while
 *   netd  -> gitproxy CLOSE                   revocation; answered by DONE
 *   dns, gitproxy, keeper -> netd REFUSED     what they refused a sandbox; not answered
 *   gitproxy -> netd REFUSALS                 a sandbox's last refusals, answered by RECENT with the same
 *                  sequence
 *   gitproxy -> netd SCOPE                    is this one of the sandbox's tokens; answered by SCOPED
 *   inspect -> netd VERDICT                   a refused or newly decided flow, for the audit
 *   netd  -> part  AUDIT                      with a descriptor: the audit log goes on there; DONE
 *   netd  -> spawner SPAWN                    with the child's pair; answered by CHILD
 *   netd  -> keeper CA                        the CA is renewed: a step of it; answered by CA_DONE
 *   netd  -> gitproxy CA_TEXT                 with a descriptor: what guests must trust, and leaves are
 *                  asked for anew; answered by DONE
 *   cli   -> netd  ADD RM LS STATUS RELOAD RUN ROTATE TOKEN RENEW   on RUN/control.sock; REPLY (+ memfd of text)
 * Which part gets what: PROFILE and SANDBOX: dns, gitproxy, keeper. NAME_IS: inspect, gitproxy.
 * NAME_GONE: all three.
 */
#ifndef BASE_MSG_H
#define BASE_MSG_H

#include <stdbool.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/ipc.h"

enum { MSG_PROTOCOL = 1 };
enum { MSG_NAME = 256,		/* DNS name */
       MSG_LABEL = 64,		/* sandbox or profile name */
       MSG_SHA = 65,		/* hex */
       MSG_ADDRS = 16,		/* addresses of one pin, per family */
       MSG_WHAT = 160,		/* of a refusal: what was refused */
       MSG_TEXT = 1024 };

enum msg_type {
	MSG_NONE = 0,
	MSG_HELLO, MSG_PROFILE, MSG_SANDBOX, MSG_GONE,
	MSG_NAME_IS, MSG_NAME_GONE, MSG_END, MSG_DONE,
	MSG_PREPARE, MSG_READY, MSG_COMMIT, MSG_ABORT,
	MSG_PIN, MSG_PINNED, MSG_CLOSE, MSG_VERDICT,
	MSG_ADD, MSG_RM, MSG_LS, MSG_STATUS, MSG_RELOAD, MSG_RUN, MSG_REPLY,
	MSG_SIGN, MSG_CERT, MSG_OPEN, MSG_OPEN_HTTP,	/* gitproxy - keeper; gitproxy/keeper_ipc.h */
	MSG_MIRROR_SERVE, MSG_MIRROR_VERDICT, MSG_MIRROR_ASK,	/* keeper - mirror; gitproxy/mirror_ipc.h */
	MSG_MIRROR_WHOSE, MSG_MIRROR_DOMAIN, MSG_MIRROR_EVENT,	/* the same */
	MSG_MIRROR_LFS_ASK, MSG_MIRROR_LFS_BRING,	/* the same */
	MSG_MIRROR_PUSH, MSG_MIRROR_PUSHED,	/* the same */
	MSG_MIRROR_DO, MSG_MIRROR_ROW,	/* cli - mirror; base/msg_mirror.h */
	MSG_SPAWN, MSG_CHILD,		/* netd - its spawner */
	MSG_AUDIT, MSG_ROTATE,		/* netd - part; cli - netd */
	MSG_IN_USE,			/* netd - dns */
	MSG_REFUSED, MSG_REFUSALS, MSG_RECENT,	/* part - netd; gitproxy - netd */
	MSG_TOKEN,			/* cli - netd */
	MSG_SCOPE, MSG_SCOPED,		/* gitproxy - netd */
	MSG_RENEW,			/* cli - netd */
	MSG_CA, MSG_CA_DONE, MSG_CA_TEXT,	/* netd - keeper; netd - gitproxy */
	MSG_SSH, MSG_SSH_ENDED,		/* keeper - its spawner; gitproxy/keeper/ssh_spawner.h */
	MSG_TYPE_COUNT
};

struct msg_hello { uint32_t protocol; uint32_t role /* enum proc_role */; char build[MSG_LABEL]; };

/* Descriptor 0: sealed memfd with the profile's canonical text. */
struct msg_profile {
	uint16_t id, pad_;
	uint32_t generation;
	char name[MSG_LABEL], sha256[MSG_SHA];
};

struct msg_sandbox {
	uint16_t id, profile;
	struct addr addr[2];		/* v4, v6; family 0: none */
	char name[MSG_LABEL];
};
struct msg_gone { uint16_t id; };
struct msg_name { uint32_t index /* synthetic addresses are pool + index */; char name[MSG_NAME]; };
struct msg_done { int32_t result; /* 0 or -errno */ };

/*
 * After PREPARE come `count` PROFILEs of the generation. The part keeps them aside, answers READY
 * (sequence of PREPARE, result 0, how many it compiled) and swaps at COMMIT or drops at ABORT.
 */
struct msg_reload { uint32_t generation; int32_t result; uint32_t count; };

struct msg_pin {
	uint16_t profile, sandbox;	/* sandbox 0: a refresh of what the profile has */
	uint8_t n4, n6;			/* real addresses; none for names that are only proxied */
	uint16_t pad_;
	uint32_t ttl;			/* seconds, of the addresses */
	struct addr a4[MSG_ADDRS], a6[MSG_ADDRS];
	char name[MSG_NAME];		/* canonical */
};
struct msg_pinned {
	uint32_t reason;		/* enum reason; REASON_NONE when pinned */
	uint32_t index;
	uint8_t has4, has6;		/* which families may be answered */
	uint8_t pad_[2];
};

enum { MSG_IN_USE_NAMES = 31 };
struct msg_in_use {
	uint16_t n, pad_;
	struct {
		uint16_t profile;	/* one of those that have a grant on it */
		char name[MSG_NAME];
	} name[MSG_IN_USE_NAMES];
};

struct msg_close { uint16_t sandbox; uint16_t pad_; };	/* drop its proxied connections */

/* `what` is printable ASCII: "dns evil.example A". */
struct msg_refused {
	uint16_t sandbox, pad_;
	uint32_t reason;		/* enum reason */
	char what[MSG_WHAT];
};
struct msg_refusals { uint16_t sandbox, pad_; };
enum { MSG_RECENT_MAX = 16 };
struct msg_recent {			/* newest first */
	uint32_t n, pad_;
	struct {
		uint64_t at_ms;		/* wall clock */
		uint32_t reason;
		char what[MSG_WHAT];
	} refusal[MSG_RECENT_MAX];
};

enum { MSG_HASH = 32 };		/* SHA-256 */
struct msg_scope { uint16_t sandbox, pad_; uint8_t hash[MSG_HASH]; };
struct msg_scoped { uint32_t valid; };

struct msg_verdict {
	uint32_t mark;			/* profile << 16 | sandbox */
	uint32_t reason;		/* enum reason; REASON_NONE: decided */
	struct addr saddr, daddr;	/* as the sandbox sees them */
	uint16_t sport, dport;
	uint16_t sni_len;		/* peer bytes, not terminated */
	uint16_t pad_;
	uint32_t lost;			/* verdicts before this one, for want of room */
	uint8_t sni[MSG_NAME];
};

/* SPAWN brings a descriptor: the child's end of its pair. */
struct msg_child {
	int32_t result;			/* 0 or -errno */
	int32_t pid;
};

/*
 * The audit log goes on in new files. ROTATE brings one descriptor per bit of `roles` (1 << enum
 * proc_role), in rising order; AUDIT takes a part's own to it, empty body, answered by DONE.
 */
struct msg_rotate { uint32_t roles; };

/* RENEW brings the file of what guests must trust as its descriptor. */
enum ca_step { CA_PUBLISH = 1,		/* that file is another one */
	       CA_ACTIVATE };		/* sign with the next CA from now on */
struct msg_ca { uint32_t step; };

struct msg_add {
	char name[MSG_LABEL], profile[MSG_LABEL], interface[16];
	uint8_t mac[6];
	uint8_t dhcp, pad_;
	struct addr addr[2];		/* v4, v6 */
};
struct msg_rm { char name[MSG_LABEL]; };
struct msg_token { char name[MSG_LABEL]; uint64_t ttl_ms; };
/* RUN is an ADD whose registration ends with the connection. */
/* REPLY: descriptor 0, when there, is a memfd of JSON. */
struct msg_reply {
	int32_t code;			/* 0 or -errno */
	uint32_t exit_status;		/* 0 done, 1 refused or failed, 2 usage */
	char text[MSG_TEXT];		/* one line for people */
};

/* The one body length of a type, or -1. 0 for END, LS, STATUS, RELOAD. */
int msg_size(enum msg_type t);
/* Length as msg_size() says and the head's: cast of the body, or NULL. */
const void *msg_body(const struct ipc_in *in, enum msg_type t);
/* NUL within n bytes. */
bool msg_text_ok(const char *text, size_t n);
/* The same, and nothing but printable ASCII in it. And made so, cut to fit. */
bool msg_plain_ok(const char *text, size_t n);
void msg_plain_set(char *to, size_t n, const char *from);
bool msg_text_set(char *to, size_t n, const char *from);	/* false: too long, `to` is empty */
/* ipc_send of one type: length from msg_size(). */
int msg_send(int sock, enum msg_type t, uint32_t sequence, const void *body);
int msg_send_fd(int sock, enum msg_type t, uint32_t sequence, const void *body, int fd);

#endif
