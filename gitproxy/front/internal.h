/*
 * internal.h - http://cordon.internal/: what a sandbox may know of its own policy
 *
 *   GET /           its policy          GET /refusals   what it was refused last, and why
 *   GET /ca.pem     the certificate that it should trust
 * Text for people; JSON for who accepts application/json (not of the certificate).
 */
#ifndef GITPROXY_FRONT_INTERNAL_H
#define GITPROXY_FRONT_INTERNAL_H

#include "gitproxy/front/session.h"
#include "gitproxy/http_head.h"

enum internal_page { INTERNAL_NONE = 0, INTERNAL_POLICY, INTERNAL_REFUSALS, INTERNAL_CA };
/* Raw bytes compared; no query, no escapes. */
enum internal_page internal_page_of(struct rd target);
/* An Accept field (absent: empty) that names application/json. */
bool internal_wants_json(struct rd accept);

/*
 * Answer one request. `head` NULL: it was malformed. `host_ok`: its Host is ours. 1: the connection
 * goes on, 0: it ends, -errno: it is broken.
 */
int internal_serve(struct session *s, const struct view_sandbox *sb, const struct http_head *head,
		   bool host_ok, bool close);

#endif
