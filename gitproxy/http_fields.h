/*
 * http_fields.h - header fields that are passed on between a sandbox and a server
 *
 * A block of fields travels as text, "Name: value\n" each, and both ends check it (threats C7, C9).
 * Spec: RFC 9110 s5, s7.6.1.
 */
#ifndef GITPROXY_HTTP_FIELDS_H
#define GITPROXY_HTTP_FIELDS_H

#include <stdbool.h>

#include "base/bytes.h"

/* An upgrade has fields that no other request has, and no other answer (websocket.h). */
enum http_direction { HTTP_TO_SERVER = 1, HTTP_TO_CLIENT = 2, HTTP_UPGRADING = 4,
		      HTTP_UPGRADE_TO_SERVER = HTTP_UPGRADING | HTTP_TO_SERVER,
		      HTTP_UPGRADE_TO_CLIENT = HTTP_UPGRADING | HTTP_TO_CLIENT };

/* May a field of this name be passed on? */
bool http_field_passes(struct rd name, enum http_direction d);
/* May a value: visible ASCII and spaces, no space at an end. */
bool http_value_passes(struct rd value);

/*
 * The fields of a request head that are passed on, as a block. `lines` is what http_head_parse() has
 * accepted. False: a value with other bytes, a Connection option that we do not know, or no room.
 */
bool http_fields_copy(struct rd lines, enum http_direction d, struct wr *to);

/* A block without what the sender's Connection fields name (RFC 9110 s7.6.1). False: no room, or no block. */
bool http_fields_without(struct rd block, struct rd connection, struct wr *to);

/* A list's next element, trimmed; it may be empty. False: there is none. */
bool http_list_next(struct rd *list, struct rd *ret);
/* Does a list hold this word, in any case? */
bool http_list_has(struct rd list, const char *word);

/* The next field of a block; false at its end (*io is done) or where it is damaged (*io failed). */
bool http_fields_next(struct rd *io, struct rd *ret_name, struct rd *ret_value);
/* Is this a block, of fields that may be passed on? */
bool http_fields_ok(struct rd block, enum http_direction d);

/*
 * Is a request DNS over HTTPS: by its query, its path, or the types that it sends or accepts? A
 * question to a resolver of the sandbox's own choice would go around the policy of names.
 */
bool http_is_doh(struct rd path, struct rd query, struct rd block);
bool http_is_doh_type(struct rd value);

/*
 * A parameter of this name in a query, as servers fold it that take "Access.Token[]" for access_token; name:
 * lower case, '_' between words.
 */
bool http_has_parameter_like(struct rd query, const char *name);

/* The path, and behind the first '?' the query (its .p is NULL when there is none). */
void http_target_split(struct rd target, struct rd *ret_path, struct rd *ret_query);

#endif
