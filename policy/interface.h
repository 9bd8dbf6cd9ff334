/*
 * interface.h - which interfaces are sandboxes', by name
 */
#ifndef POLICY_INTERFACE_H
#define POLICY_INTERFACE_H

#include <stdbool.h>

#include "policy/host_config.h"

/* Whether the name matches one of sandbox_interfaces, as the ruleset does. */
bool interface_is_policed(const struct host_config *c, const char *name);

#endif
