/*
 * mirror.h - cordon-mirror's requests
 */
#ifndef GITPROXY_MIRROR_MIRROR_H
#define GITPROXY_MIRROR_MIRROR_H

#include "base/ipc.h"
#include "gitproxy/mirror_ipc.h"
#include "policy/host_config.h"

struct mirror;
/*
 * `path` and `folder`: STATE/mirrors, by name (for git) and by descriptor; `keeper`: the pair; all borrowed.
 * 0 or -errno.
 */
int mirror_new(const struct host_config *c, const char *path, int folder, int keeper, struct mirror **ret);
void mirror_free(struct mirror *m);
DEFINE_AUTO(mirror, struct mirror *, mirror_free)
/* Serve until the conversation with the keeper is over: -ECONNRESET, or another -errno. */
int mirror_loop(struct mirror *m);

#endif
