/*
 * spawner.h - the small process that starts cordon-inspect
 */
#ifndef NETD_SPAWNER_H
#define NETD_SPAWNER_H

#include <sys/types.h>

#include "policy/host_config.h"

/*
 * Fork it, as root, before anything else is open. It gets the program's descriptor (see
 * inspector_program()), which is closed here. Our end of the pair, or -errno. When that end
 * reaches its end of file, the spawner and the inspector are gone.
 */
int spawner_start(const struct host_config *c, int program /* takes */);
/*
 * Have the inspector started, with this descriptor as its pair; one that still runs is killed
 * first. 0, -ECONNRESET when the spawner is gone, or -errno. Waits for exec, 2 s at most.
 */
int spawner_inspect(int spawner, int pair, pid_t *ret_pid);
/* End both, and wait for that. */
void spawner_end(int spawner /* takes */);

#endif
