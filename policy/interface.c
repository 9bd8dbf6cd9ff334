/*
 * interface.c - which interfaces are sandboxes', by name
 *
 * Theory of operation: the configuration names patterns (a * at the end), so that an interface is
 * policed from the moment it exists. The ruleset matches the same patterns in the kernel.
 */
#include "policy/interface.h"

#include <fnmatch.h>

bool interface_is_policed(const struct host_config *c, const char *name)
{
	for (size_t i = 0; i < c->n_interfaces; i++)
		if (!fnmatch(c->interfaces[i], name, 0))
			return true;
	return false;
}
