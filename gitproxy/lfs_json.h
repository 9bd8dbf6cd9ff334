/*
 * lfs_json.h - JSON of Git LFS, from either side
 */
#ifndef GITPROXY_LFS_JSON_H
#define GITPROXY_LFS_JSON_H

#include <jansson.h>
#include <stdbool.h>

#include "base/bytes.h"
#include "gitproxy/lfs.h"

/*
 * The object that a text is, or NULL: none, or nested deeper than LFS_JSON_DEPTH, or a key stands twice
 * somewhere. json_decref() it. Its size is the caller's to bound.
 */
enum { LFS_JSON_DEPTH = 16 };
json_t *lfs_json_read(struct rd text);

/* "oid" and "size" of an entry of "objects". False: not both, or not in the one form. */
bool lfs_json_object(const json_t *entry, struct lfs_object *ret);

#endif
