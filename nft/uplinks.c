/*
 * uplinks.c - the interfaces that flows may leave by
 */
#include "nft/uplinks.h"

#include <stdio.h>

#include "nft/rtnl.h"

int uplinks_of(const struct host_config *c, char names[][16], int max)
{
	int n = 0;

	if (!c->n_uplinks)
		return rtnl_default_links(names, max);
	for (; n < (int)c->n_uplinks && n < max; n++)
		snprintf(names[n], 16, "%s", c->uplinks[n]);
	return n;
}
