/*
 * confine.h - what the process that judges one push may use
 */
#ifndef GITPROXY_GATE_CONFINE_H
#define GITPROXY_GATE_CONFINE_H

#include "gitproxy/gate/gate_ipc.h"

/*
 * For ever: reads this repository and writes this quarantine (NULL and -1: neither), makes no process, no
 * socket, and only so much of memory, time and files. `q` NULL: an LFS object. 0 or -errno: end then.
 */
int gate_confine(const struct gate_judge *q, int quarantine, int pack);

#endif
