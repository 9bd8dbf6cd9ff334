/*
 * hello.h - a TLS ClientHello: is it whole, whom does it name, does it hide anything
 */
#ifndef INSPECT_HELLO_H
#define INSPECT_HELLO_H

#include "base/bytes.h"
#include "policy/reason.h"

enum { HELLO_NAME_MAX = 254 };		/* a canonical name and its NUL */

struct hello {
	struct rd name;		/* server_name as sent, borrowed; empty when there is none */
	bool has_name;
	bool ech;		/* encrypted_client_hello, or one of its drafts */
};

/*
 * The body of a ClientHello message (what follows its four-byte header), complete.
 * PARSE_OK or PARSE_BAD: lengths that lie, two server_name extensions, two names, an empty name.
 * RFC 8446 s4.1.2, RFC 5246 s7.4.1.2, RFC 6066 s3, RFC 9849.
 */
enum parse hello_parse(struct rd body, struct hello *ret);

/*
 * The same for the beginning of a body, to refuse before the rest has come. PARSE_OK: nothing is wrong so
 * far, and *ret holds what could be read (no name yet is no verdict). PARSE_BAD: hello_parse() will say so too.
 */
enum parse hello_peek(struct rd beginning, struct hello *ret);

/*
 * The canonical form of a host name from a hello: lower case, without one trailing dot, NUL-terminated.
 * PARSE_BAD, and an empty string, when it is no host name of [a-z0-9_-] labels (an IP literal is none).
 */
enum parse hello_name(struct rd sent, char ret_name[HELLO_NAME_MAX]);

/* Why a hello must not go to the server that is called `name` (canonical); REASON_NONE: it may. */
enum reason hello_check(const struct hello *h, const char *name);

#endif
