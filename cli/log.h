/*
 * log.h - the summary of refusals that `cordon run` ends with
 */
#ifndef CLI_LOG_H
#define CLI_LOG_H

#include <stdio.h>

#include "cli/event.h"

/* Refusals of one sandbox among what is left in `files`, one line per key; nothing when there were
 * none. */
void log_summary(struct event_files *files, const char *sandbox, const char *since, FILE *to);

#endif
