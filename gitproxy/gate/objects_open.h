/*
 * objects_open.h - to make struct objects out of a repository and a pack
 */
#ifndef GITPROXY_GATE_OBJECTS_OPEN_H
#define GITPROXY_GATE_OBJECTS_OPEN_H

#include "gitproxy/gate/index.h"

/* Of the repository with this git directory; NULL: there is none yet. 0 or -errno. */
int objects_new(const char *git_dir, enum object_format format, struct objects **ret);
void objects_free(struct objects *o);
DEFINE_AUTO(objects, struct objects *, objects_free)
/* What a pack may lean on: the repository's. Any thread; as long as the objects are. */
struct pack_outside *objects_outside(struct objects *o);
/*
 * And the pack's, when pack_ids() was well: borrowed. 0; -EBADMSG: an id comes twice, or is the
 * repository's with other bytes (pack.why); -errno.
 */
int objects_take_pack(struct objects *o, struct pack *p);
/* The pack's, sorted, with room for pack.n_added more. */
struct index_row *objects_rows(const struct objects *o);

#endif
