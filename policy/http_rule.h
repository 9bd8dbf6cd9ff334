/*
 * http_rule.h - rules about requests to hosts whose TLS is terminated. Private to policy/.
 */
#ifndef POLICY_HTTP_RULE_H
#define POLICY_HTTP_RULE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"

enum { HTTP_PATTERN_MAX = 1024 };

struct http_rule {
	uint32_t methods; /* bits of http_method_bit() */
	char *path;	  /* owned; "/v1/ *", "/v1/ **" (without the blank), exact otherwise */
	bool upgrade;
};

struct http_rules {
	struct http_rule *rule;
	size_t n;
};

/* The bit of a method that rules can name; 0: none can. */
uint32_t http_method_bit(struct rd method);
/* Names of the methods by bit, from 0; NULL after the last. */
const char *http_method_name(size_t bit);

/* NULL, or what is wrong with a path pattern (the rest of a sentence that begins with it). */
const char *http_pattern_wrong(const char *text);
/*
 * Does a request's path (without its query) meet the pattern: `*` stands for one segment or the rest of
 * one, `**` at the end for any number of them. Neither stands for an escaped slash.
 */
bool http_pattern_match(const char *pattern, struct rd path);
/*
 * A path that means one thing to everybody: visible ASCII, begins with a slash, no empty segment, no "."
 * or "..", no backslash, no semicolon, and no percent-encoding of a dot, backslash, percent, semicolon or
 * control (threats C1). Anything else could be another path to the server than to the rules. A slash may be
 * percent-encoded, between segments that are plain by themselves: who has no pattern must ask for that.
 */
bool http_path_plain(struct rd path);
bool http_path_has_escaped_slash(struct rd path);

int http_rules_add(struct http_rules *l, const struct http_rule *r /* copied, path too */); /* 0 or -ENOMEM */
void http_rules_done(struct http_rules *l);
/* A fixed order, each once. */
void http_rules_sort(struct http_rules *l);

#endif
