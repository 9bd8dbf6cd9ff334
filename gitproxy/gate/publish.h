/*
 * publish.h - the files that make a judged pack part of a repository
 */
#ifndef GITPROXY_GATE_PUBLISH_H
#define GITPROXY_GATE_PUBLISH_H

#include "gitproxy/gate/gate_ipc.h"
#include "gitproxy/gate/objects_open.h"

/*
 * Into the folder, as gate_ipc.h says, and no more than max bytes; fills in ret->pack and ret->thin, with zero where
 * it would be more. 0 or -errno: what is there is no good.
 */
int publish_pack(int folder, struct pack *p, struct objects *o, uint64_t max, struct gate_judged *ret);

#endif
