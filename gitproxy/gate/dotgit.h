/*
 * dotgit.h - file names that some file system takes for one of git's own
 */
#ifndef GITPROXY_GATE_DOTGIT_H
#define GITPROXY_GATE_DOTGIT_H

#include "base/bytes.h"

enum dotgit { DOTGIT_PLAIN = 0, DOTGIT_DIRECTORY, DOTGIT_MODULES, DOTGIT_ATTRIBUTES };

/* Of one entry of a tree: what it is on any system, the worst first. */
enum dotgit dotgit_of(struct rd name);

#endif
