/*
 * relay.h - the keeper's answer, passed on to the client
 */
#ifndef GITPROXY_FRONT_RELAY_H
#define GITPROXY_FRONT_RELAY_H

#include "gitproxy/front/git_answer.h"
#include "gitproxy/front/tls.h"
#include "gitproxy/front/upload.h"
#include "gitproxy/keeper_client.h"

enum relay_result {
	RELAY_BROKEN = 0, /* part of an answer is out, or nobody listens: reset the connection */
	RELAY_REFUSED,	  /* nothing is out yet; say why */
	RELAY_TOLD,	  /* part of a git answer is out, and behind it why no more comes: close */
	RELAY_DONE,	  /* a whole answer is out */
	RELAY_UPGRADED	  /* a 101 is out: what comes now is no HTTP any more */
};
struct relay_spec {		/* all borrowed */
	struct stream *stream;
	int frames;		/* from keeper_open() or keeper_talk() */
	struct relay_room **room;	/* NULL at first; free() it when the connection rests */
	struct upload *upload;	/* NULL: the keeper has the request's body, or there is none */
	struct git_answer *git; /* git_answer_init() was called; NULL: an answer of another kind */
	bool head;		/* of a HEAD request: no body follows */
	bool upgrade;		/* the request asked for one: a 101 may come */
	bool close;		/* this is the connection's last answer */
	uint64_t total_ms;
	unsigned idle_ms;
};
struct relay {
	enum reason reason;	/* of all but DONE; REASON_NONE when the client left */
	unsigned status;	/* that went out; 0: none */
	uint64_t down;		/* body bytes delivered */
	uint32_t source, coalesced; /* of struct keeper_status */
	char finding[KEEPER_VALUE]; /* of REFUSED: what an object of LFS was refused for, or "" */
	char moved[GP_REPO_MAX + 1]; /* of REFUSED: the repository's new name, or "" */
	bool close;		/* nothing more can come on this connection */
	bool kept;		/* the keeper waits for the next request on `frames` */
};
enum relay_result relay_run(const struct relay_spec *spec, struct relay *ret);

#endif
