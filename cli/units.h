/*
 * units.h - whether a service manager runs the daemons
 */
#ifndef CLI_UNITS_H
#define CLI_UNITS_H

#include "cli/cli.h"

enum { UNITS_STATE_MAX = 32 };

/*
 * The state of cordon-netd.service when systemd runs it or is about to ("active", "activating" between
 * two starts, ...). False: it does not, or this configuration is not the one that the units run.
 */
bool units_run(const struct cli *c, char ret_state[UNITS_STATE_MAX]);

#endif
