/*
 * publish.h - the files that make a judged pack part of a repository
 */
#ifndef GITPROXY_GATE_PUBLISH_H
#define GITPROXY_GATE_PUBLISH_H

#include "gitproxy/gate/gate_ipc.h"
#include "gitproxy/gate/objects_open.h"

/* Into the folder, as gate_ipc.h says; fills in ret->pack and ret->thin. 0 or -errno: what is there is no good. */
int publish_pack(int folder, struct pack *p, struct objects *o, struct gate_judged *ret);

#endif
