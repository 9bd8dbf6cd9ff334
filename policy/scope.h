/*
 * scope.h - tokens of the explicit route: their form, and the hash by which they are known
 *
 * A token says for which sandbox a URL was made. It adds to what the kernel says of who asks and
 * replaces nothing of it. Only its hash is kept.
 */
#ifndef POLICY_SCOPE_H
#define POLICY_SCOPE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"

enum { SCOPE_BYTES = 20, SCOPE_TEXT = 2 * SCOPE_BYTES, SCOPE_HASH = 32 };

/* Lower-case hex of SCOPE_TEXT digits; nothing else is a token. */
bool scope_ok(struct rd text);
void scope_format(const uint8_t random[SCOPE_BYTES], char out[SCOPE_TEXT + 1]);
/* SHA-256 of the text. False: no token, or no memory. */
bool scope_hash(struct rd text, uint8_t out[SCOPE_HASH]);

#endif
