/*
 * name.h - host names and wildcards as a policy writes them. Private to policy/.
 */
#ifndef POLICY_NAME_H
#define POLICY_NAME_H

#include "policy/policy.h"

enum pattern_kind { PATTERN_EXACT = 0, PATTERN_ONE /* *.base */, PATTERN_ANY /* **.base */ };

struct name_pattern {
	enum pattern_kind kind;
	char base[POLICY_NAME_MAX + 1]; /* canonical, without the wildcard */
};

/*
 * Read a host of a rule: IDN becomes A-labels. NULL, or what is wrong with it, as the end of a
 * sentence that begins with the host.
 */
const char *name_pattern_parse(const char *text, struct name_pattern *ret);
/* "*.files.example"; out holds POLICY_NAME_MAX + 4. */
enum { NAME_PATTERN_TEXT = POLICY_NAME_MAX + 4 };
void name_pattern_format(const struct name_pattern *p, char out[NAME_PATTERN_TEXT]);
/* Does the pattern stand for this canonical name? */
bool name_pattern_matches(const struct name_pattern *p, const char *name);
/* name is base, or below it. */
bool name_is_below(const char *name, const char *base);

/* Lists of well-known names (known.c). */
bool known_public_suffix(const char *name);
/* A public suffix below this name, which a ** of it would cover; or NULL. */
const char *known_suffix_below(const char *base);
/* A public DoH or DoT resolver that the pattern covers, or NULL. */
const char *known_resolver(const struct name_pattern *p);
/* A public git host to which all spellings of a repository's name are one. */
bool known_ignores_case(const char *host);
/* The i-th prefix under which git hosts offer other ways in ("api", "codeload"), or NULL. */
const char *known_side_door(size_t i);

#endif
