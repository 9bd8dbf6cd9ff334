/*
 * schema_type.h - what a scalar of each schema type looks like. Private to policy/.
 */
#ifndef POLICY_SCHEMA_TYPE_H
#define POLICY_SCHEMA_TYPE_H

#include "policy/schema.h"

/* How the type is called in errors and in the reference: "a whole number". */
const char *schema_type_name(enum schema_type t);
/* Must it be written without quotes? */
bool schema_type_plain(enum schema_type t);
/* Is it a network (an address and a length)? */
bool schema_type_network(enum schema_type t);
/* Is text of this type? Numbers, sizes, times and bools give their value, others 0. Ranges are not
 * checked. */
bool schema_type_parse(enum schema_type t, const char *text, uint64_t *ret_value);

#endif
