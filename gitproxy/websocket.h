/*
 * websocket.h - the handshake after which a connection is a tunnel
 *
 * Spec: RFC 6455 s4 (version 13, HTTP/1.1). What follows the handshake is nobody's to read.
 */
#ifndef GITPROXY_WEBSOCKET_H
#define GITPROXY_WEBSOCKET_H

#include <stdbool.h>

#include "base/bytes.h"

enum { WEBSOCKET_KEY = 24, WEBSOCKET_ACCEPT = 28 };

/* The one protocol that a connection may be upgraded to, as an Upgrade field says it. */
bool websocket_is(struct rd upgrade);
/* The fields of a request (a block of http_fields.h) ask for it: one key of 16 bytes, one version, 13. */
bool websocket_asked(struct rd request);
/*
 * The fields of a 101 (lines, with their ends) are the answer to just that request: one Upgrade, a
 * Connection that says so, the accept value of its key, no subprotocol and no extension that it did
 * not offer, and no framing.
 */
bool websocket_fits(struct rd request, struct rd lines);

/* The Sec-WebSocket-Accept of a key, NUL-terminated; false: the library failed. */
bool websocket_accept(struct rd key, char ret[WEBSOCKET_ACCEPT + 1]);

#endif
