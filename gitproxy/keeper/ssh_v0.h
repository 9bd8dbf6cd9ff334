/*
 * ssh_v0.h - protocol v2 for a server that speaks v0 alone
 *
 * Spec: gitprotocol-pack(5), gitprotocol-capabilities(5), gitprotocol-v2(5).
 */
#ifndef GITPROXY_KEEPER_SSH_V0_H
#define GITPROXY_KEEPER_SSH_V0_H

#include "gitproxy/oid.h"

enum { SSH_V0_TEXT_MAX = 48 << 20 };	/* of an advertisement */

struct v0_advert {			/* all borrowed from the advertisement */
	enum object_format format;
	struct rd caps;			/* words with blanks between */
	struct rd lines;		/* packets of references; none in an empty repository */
};

/* The whole advertisement, its flush included. PARSE_BAD: malformed, or a name that git would not take. */
enum parse v0_advert_parse(struct rd text, struct v0_advert *ret);

/* The advertisement of v2 over HTTP that stands for it: the mirror does all else itself. */
bool v0_write_advert(const struct v0_advert *a, struct wr *w);
/* How many bytes v0_answer_refs() needs at most. */
size_t v0_refs_bound(const struct v0_advert *a);

enum v0_command { V0_BAD = 0,		/* the mirror does not ask such things */
		  V0_LS_REFS, V0_FETCH };
/* Which command the body of a v2 request is. */
enum v0_command v0_command_of(struct rd body);
/* The answer to ls-refs. False: the request is malformed, or it does not fit. */
bool v0_answer_refs(const struct v0_advert *a, struct rd body, struct wr *w);
/*
 * A fetch as v0 wants it; needs at most the body's length and 1024 bytes more. False: it asks for what
 * the mirror never does, or the server cannot send a pack by side band.
 */
bool v0_write_fetch(const struct v0_advert *a, struct rd body, struct wr *w);

#endif
