/*
 * credentials.h - the credentials of the host configuration, for commands
 */
#ifndef CLI_CREDENTIALS_H
#define CLI_CREDENTIALS_H

#include "policy/host_config.h"

/* Tell what is wrong with their files. EXIT_DONE or EXIT_USAGE. */
int credentials_check(const struct host_config *c);
/* Which serves which repositories, as lines of comments. */
void credentials_show(const struct host_config *c);

#endif
