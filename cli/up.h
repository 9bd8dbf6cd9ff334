/*
 * up.h - bringing ruleset and daemons up and down, for `cordon up`, `cordon down` and `cordon run`
 */
#ifndef CLI_UP_H
#define CLI_UP_H

#include "cli/cli.h"

/*
 * The lock that serialises up, down and the bookkeeping of runs; closing the descriptor releases
 * it. Creates RUN. `signals` (or -1) is a signalfd: waiting ends with -EINTR when it becomes
 * readable.
 */
int up_lock(const struct host_config *c, int signals);

/*
 * Start whatever does not run; lock held. Nothing is touched when a policy has errors. Exit status;
 * ret_started: something was started.
 */
int up_start(const struct cli *c, const struct host_config *cfg, int signals, bool *ret_started);
/* Stop supervisor and daemons; lock held. Exit status. */
int up_stop(const struct host_config *cfg);

/* Runs that brought cordon up leave a note, so that the last one takes it down again. */
void up_note_set(const struct host_config *cfg, bool by_run, bool with_ruleset);
bool up_note_get(const struct host_config *cfg, bool *ret_with_ruleset);

#endif
