/*
 * push_pattern.h - patterns of refs and of paths. Private to policy/
 */
#ifndef POLICY_PUSH_PATTERN_H
#define POLICY_PUSH_PATTERN_H

#include "base/bytes.h"

enum pattern_match { PATTERN_NOT = 0,	/* neither this nor anything that begins with it */
		     PATTERN_BEGINS,	/* something longer may match */
		     PATTERN_MATCHES };
/* fold: ASCII letters in any case. The pattern has at most PUSH_PATTERN_MAX - 1 bytes. */
enum pattern_match push_pattern_match(const char *pattern, struct rd text, bool fold);
/* How many bytes of it stand before the first component with a star; the / that ends them included. */
size_t push_pattern_plain(const char *pattern);

/* A name as git takes them, below refs/. `star`: stars are bytes like others. */
bool push_ref_plain(struct rd name, bool star);
/* And one that servers make, or git reads specially. */
bool push_ref_reserved(struct rd name);

/* NULL, or what is wrong with a pattern, as the end of a sentence that begins with it. */
const char *push_ref_pattern_fault(const char *text);
const char *push_path_pattern_fault(const char *text);

#endif
