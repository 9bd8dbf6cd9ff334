/*
 * echo.h - find a secret in what comes back, in the ways it may be spelled
 */
#ifndef GITPROXY_KEEPER_ECHO_H
#define GITPROXY_KEEPER_ECHO_H

#include "base/bytes.h"

enum {
	ECHO_SECRET_MIN = 8, /* a shorter one would be found where it is not */
	ECHO_SECRET_MAX = 4096,
	ECHO_PATTERNS_MAX = 96
};

/* What to look for, of one credential. Immutable; any number of scans may use it at once. */
struct echo;
int echo_new(struct echo **ret);	/* 0 or -ENOMEM */
void echo_free(struct echo *e);		/* wipes it; NULL is fine */
DEFINE_AUTO(echo, struct echo *, echo_free)
/*
 * Look for this secret: as it is, in base64 of either alphabet wherever it stands in the encoded
 * text and however that is cut into lines, in hex with or without colons, in UTF-16, and with any
 * of its bytes escaped in the ways of URLs, JSON strings, HTML and source code, each in another. 0,
 * -ENOMEM, -EINVAL (its length).
 */
int echo_add(struct echo *e, struct rd secret);

/* In a text of its own, such as a header's value. */
bool echo_in(const struct echo *e, struct rd text);

/* A stream. What may be the beginning of a secret is held back until it is known not to be. */
struct echo_scan {
	const struct echo *echo;	/* borrowed; NULL: everything passes */
	uint8_t *hold; size_t hold_n;	/* held back */
	uint8_t *joined;		/* held back and what came after it: lent to the caller */
};
void echo_scan_init(struct echo_scan *s, const struct echo *e);
void echo_scan_done(struct echo_scan *s);
/*
 * The next bytes. True: ret_pass may go on; valid until the next call. False: a secret, or no
 * memory to look for one; nothing may go on any more.
 */
bool echo_scan_next(struct echo_scan *s, struct rd in, struct rd *ret_pass);
/* The end: what was held back may go on. Valid until echo_scan_done(). */
struct rd echo_scan_end(const struct echo_scan *s);

#endif
