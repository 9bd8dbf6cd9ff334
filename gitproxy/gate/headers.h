/*
 * headers.h - what commits and tags have in common: lines before an empty one
 */
#ifndef GITPROXY_GATE_HEADERS_H
#define GITPROXY_GATE_HEADERS_H

#include "gitproxy/gate/fault.h"
#include "gitproxy/oid.h"

/* No NUL in them, and an end: an empty line, or that of the last line. */
enum fault headers_whole(struct rd bytes);
/* If the next line starts with this word and a space: what follows, without the end of the line. */
bool headers_line(struct rd *bytes, const char *word, struct rd *ret_value);
/* A line whose value is one id. */
bool headers_id(struct rd *bytes, const char *word, enum object_format format, struct oid *ret);
/* "Name <address> seconds +zone". */
enum fault headers_ident(struct rd value, uint64_t *ret_date);

#endif
