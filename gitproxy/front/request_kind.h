/*
 * request_kind.h - one request, and what differs between the kinds of hosts. Private to request*.c
 */
#ifndef GITPROXY_FRONT_REQUEST_KIND_H
#define GITPROXY_FRONT_REQUEST_KIND_H

#include "gitproxy/front/input.h"
#include "gitproxy/front/refuse.h"
#include "gitproxy/front/session.h"
#include "gitproxy/git_path.h"

enum { REQUEST_SHOWN = 256, REQUEST_KEY_MAX = MSG_LABEL + MSG_NAME + GP_REPO_MAX + 96 };

struct request {
	const struct request_kind *kind; /* NULL: the host is (no longer) one that is served */
	struct http_head head; /* its slices end with the first byte of the body that is read */
	struct gp_path path;		/* git */
	char moved[GP_REPO_MAX + 1];	/* git: the name that upstream has for it now; may be "" */
	struct http_request *http;	/* the others; owned, heap */
	struct view_sandbox sandbox;
	const char *rule;		/* that decided, for the audit; NULL: default */
	const char *credential;		/* that the keeper adds, by name; NULL: none. The policy's */
	bool own_credential;		/* the client sent one in its place, which is dropped */
	enum reason reason;
	unsigned status;		/* that was, or is to be, answered; 0: the reason's own */
	bool routed;			/* came by the explicit route, */
	struct rd route;		/* which is this much of the target; in the head's bytes */
	bool malformed;			/* the head itself: nothing in it can be believed */
	bool close;
	bool cut;			/* allowed, and part of an answer went out: reason says why no more */
	const char *tunnel;		/* how it ended; NULL: there was none */
	uint64_t started, up, down;
	const char *source;		/* git: where the answer came from; NULL: nowhere */
	uint32_t coalesced;		/* git: with how many others */
	uint32_t objects;		/* LFS: that a batch asks for */
	char method[20];
	uint8_t target[REQUEST_SHOWN];	/* of the audit */
	size_t target_n;
};

enum step { STEP_RESET = 0, STEP_CLOSE, STEP_NEXT };

struct request_kind {
	const char *event;		/* of the audit */
	bool shows_query;		/* the audit may: its grammar is closed */
	bool upgrades;			/* judge() has its say on upgrades; else they are refused */
	/* The policy's word on a well-formed request whose Host is the connection's. */
	enum reason (*judge)(const struct session *s, struct request *rq);
	/* An allowed request: upstream's answer, or a refusal. */
	enum step (*perform)(struct session *s, struct input *in, struct request *rq);
	enum refuse_form (*form)(const struct request *rq);	/* NULL: always text */
	/*
	 * The kind's own keys, and in `key` what tells refusals apart. many: nothing that the client
	 * can vary at will.
	 */
	void (*describe)(const struct request *rq, bool many, struct audit_line *l, struct wr *key);
};
extern const struct request_kind request_git, request_http;

/* "name" or "name:port" of this very connection. */
bool request_host_is(const struct session *s, struct rd host);

/*
 * The explicit route (request_route.c). request_route(): the session's name and the head's target
 * become those of the git host, until request_route_end(); or the reason why not.
 */
bool request_is_routed(const struct session *s, const struct request *rq);
enum reason request_route(struct session *s, struct request *rq);
void request_route_end(struct session *s);

/* The request's line; decide_and_serve() writes it, but for one that goes on as a tunnel. */
void request_audit(const struct session *s, const struct request *rq, bool refused);

/* A client that asked to be told so is told to send its body. False: it does not listen. */
bool request_go_on(struct session *s, const struct http_head *h);
/* Say rq->reason. body_pending: the connection cannot be used again. */
enum step request_refuse(struct session *s, struct request *rq, bool body_pending);

#endif
