/*
 * confine.h - what netd may still do once it has started
 */
#ifndef NETD_CONFINE_H
#define NETD_CONFINE_H

#include "policy/host_config.h"

/* After the last thing that needs root, before the first thread. 0 or -errno. */
int netd_confine(const struct host_config *c);

#endif
