/*
 * refname.h - which names of references are taken
 *
 * Spec: git-check-ref-format(1).
 */
#ifndef GITPROXY_REFNAME_H
#define GITPROXY_REFNAME_H

#include "base/bytes.h"

enum { REFNAME_MAX = 1024, REFNAME_PART_MAX = 255 - 5 };	/* a file's name; git adds ".lock" */

/* Components with a slash between them, as all below refs/. */
bool refname_ok(struct rd name);
/* The same, or one component ("HEAD", "v1.0"). */
bool refname_ok_onelevel(struct rd name);

#endif
