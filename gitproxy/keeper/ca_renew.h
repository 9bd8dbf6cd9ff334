/*
 * ca_renew.h - what `cordon ca renew` has cordon-keeper do, as a program of its own
 */
#ifndef GITPROXY_KEEPER_CA_RENEW_H
#define GITPROXY_KEEPER_CA_RENEW_H

#include "gitproxy/keeper/ca_files.h"
#include "policy/host_config.h"

/* Where the CA of this configuration is; its strings are the caller's. 0 or -ENOMEM. */
int ca_place_of(const struct host_config *c, struct ca_place *ret);
void ca_place_done(struct ca_place *p);

/*
 * One step on the files, as root: "next" (make one and publish both), "activate", "discard". Exit
 * status; what is wrong is one line on stderr, in the words of the command.
 */
int ca_renew(const struct host_config *c, const char *step);

#endif
