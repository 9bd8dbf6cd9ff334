/*
 * control.h - RUN/mirror.sock: `cordon mirror`
 */
#ifndef GITPROXY_MIRROR_CONTROL_H
#define GITPROXY_MIRROR_CONTROL_H

#include "gitproxy/mirror/job.h"

/* As root, before rights are dropped: a descriptor, or -errno. */
int control_open(const struct host_config *c);
/* A thread that listens, and one for each who asks. Takes fd; borrows d for ever. 0 or -errno. */
int control_start(int fd, struct depot *d);

#endif
