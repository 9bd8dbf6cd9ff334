/*
 * ca_renew.h - cordon ca renew: another CA takes the place of this one, without a gap
 */
#ifndef CLI_CA_RENEW_H
#define CLI_CA_RENEW_H

#include "cli/cli.h"

struct ca_values {
	bool activate, discard, now;
};

/* An exit status; what is wrong is on stderr. */
int ca_renew(const struct cli *c, const struct ca_values *v);

#endif
