/*
 * describe.h - a compiled profile as JSON, for programs inside a sandbox
 */
#ifndef POLICY_DESCRIBE_H
#define POLICY_DESCRIBE_H

#include <stdio.h>

#include "policy/policy.h"

/* The canonical form as one JSON object. 0, -ENOMEM or -EINVAL. */
int policy_describe_json(const struct policy *p, FILE *to);
/* Text between quotes, escaped. */
void describe_json_string(FILE *to, const char *text);

#endif
