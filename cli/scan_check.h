/*
 * scan_check.h - git.scan of the host configuration, for commands
 */
#ifndef CLI_SCAN_CHECK_H
#define CLI_SCAN_CHECK_H

#include "policy/host_config.h"

enum scan_rules { SCAN_RULES_UNKNOWN = 0 /* the scanner does not run */, SCAN_RULES_BAD, SCAN_RULES_GOOD };
/* Would the gate take this file's rules? What is wrong goes to stderr, unless `quiet`. */
enum scan_rules scan_rules_state(const char *file, bool quiet);

/* The files that git.scan names, as those who judge pushes read them. An exit status; what is wrong goes to stderr. */
int scan_check(const struct host_config *c);

#endif
