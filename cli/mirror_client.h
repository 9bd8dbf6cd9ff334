/*
 * mirror_client.h - questions to cordon-mirror
 */
#ifndef CLI_MIRROR_CLIENT_H
#define CLI_MIRROR_CLIENT_H

#include <jansson.h>

#include "base/msg_mirror.h"
#include "cli/cli.h"

typedef void mirror_row_fn(void *owner, const struct msg_mirror_row *row);
/*
 * Ask, and hand over the rows as they come, until the reply; a signal ends it early. The exit status;
 * what went wrong is said.
 */
int mirror_ask(const struct host_config *c, const struct msg_mirror_do *q, mirror_row_fn *fn, void *owner);
/* The counts. 0 or -errno, and nothing is said. */
int mirror_counts(const struct host_config *c, struct msg_mirror_row *ret);
/* Add to an object what was saved since the start, and how upstream answered. */
void mirror_savings(json_t *o, const struct msg_mirror_row *m);

#endif
