/*
 * refuse.h - how a refusal is said over HTTP and to git
 */
#ifndef GITPROXY_FRONT_REFUSE_H
#define GITPROXY_FRONT_REFUSE_H

#include "gitproxy/front/tls.h"

enum { REFUSE_WRITE_MS = 10000 };

enum refuse_form {
	REFUSE_TEXT = 0,    /* status and text/plain; git shows it as "remote: ..." on info/refs */
	REFUSE_NO_BODY,	    /* the same without a body: HEAD */
	REFUSE_FETCH_PACKET, /* 200 and an ERR packet: the only thing git shows on POST
				git-upload-pack */
	REFUSE_FETCH_REFS,   /* 200 and an ERR packet in the place of references: the only thing that */
	REFUSE_PUSH_REFS,    /* JGit and libgit2 show on info/refs, for each service */
	REFUSE_PUSH_PACKET,  /* 200 and an error on band 3: what git shows on POST git-receive-pack */
	REFUSE_LFS	     /* the status and JSON: the only thing git-lfs shows */
};
/* What stands behind a status in a head; may be empty. */
const char *refuse_phrase(unsigned status);
/* status 0: the reason's own. 0 or -errno; ret_status is what was sent. */
int refuse_answer(struct stream *s, enum refuse_form form, enum reason r, unsigned status,
		  bool close, unsigned *ret_status);

/* The same in the words of git-lfs, with more for people: plain ASCII that JSON would not escape; may be empty. */
int refuse_lfs(struct stream *s, enum reason r, const char *more, bool close, unsigned *ret_status);

#endif
