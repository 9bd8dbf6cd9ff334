/*
 * objects.h - the objects of a push: those of its pack, and those the mirror has
 *
 * What the checks and the scanner read objects through, whatever stands behind it.
 */
#ifndef GITPROXY_GATE_OBJECTS_H
#define GITPROXY_GATE_OBJECTS_H

#include "gitproxy/oid.h"

enum object_type { OBJECT_NONE = 0, OBJECT_COMMIT, OBJECT_TREE, OBJECT_BLOB, OBJECT_TAG };

struct objects;

/* Of the pack, sorted by id or not, each once. */
size_t objects_count(const struct objects *objects);
const struct oid *objects_at(const struct objects *objects, size_t i);
bool objects_in_pack(const struct objects *objects, const struct oid *oid);
/* Whether the mirror has it, whatever the pack has: 1, 0 or -errno. */
int objects_in_mirror(struct objects *objects, const struct oid *oid);
/* What it is there, without reading it. 0, -ENOENT or -errno. */
int objects_mirror_type(struct objects *objects, const struct oid *oid, enum object_type *ret);
/*
 * From the pack, else from the mirror. The bytes are good until the next read. -ENOENT: neither has
 * it; -EFBIG: larger than the limit; others: it could not be read, and nothing may be concluded.
 */
int objects_read(struct objects *objects, const struct oid *oid, enum object_type *ret_type,
		 struct rd *ret_bytes);

#endif
