/*
 * http_account.h - does a request say on whose account it is made
 */
#ifndef GITPROXY_HTTP_ACCOUNT_H
#define GITPROXY_HTTP_ACCOUNT_H

#include <stdbool.h>

#include "base/bytes.h"

/* The same field to a server, some of which fold '_' onto '-'. */
bool http_field_is(struct rd name, const char *other);
/* Is there a field of this name in a block (http_fields.h)? */
bool http_has_field(struct rd block, const char *name);
/*
 * Is there a secret of the sandbox's own in a field of a known name other than `ours`, or in a
 * parameter of one? For hosts that the keeper adds a credential to.
 */
bool http_has_account(struct rd query, struct rd block, const char *ours);

#endif
