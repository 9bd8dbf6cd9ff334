/*
 * supervise.h - the small root process that starts the daemons and starts them again
 */
#ifndef CLI_SUPERVISE_H
#define CLI_SUPERVISE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "policy/host_config.h"

enum { SUPERVISE_PARTS = 3 };
extern const char *const supervise_parts[SUPERVISE_PARTS]; /* "netd" ..., as in LOG/netd.log */

/* What comes through the status pipe while the daemons start: one per part. */
struct supervise_status {
	uint8_t part;  /* index into supervise_parts */
	uint8_t ready; /* 0: it ended before it was ready */
	int16_t code;  /* exit status, or -signal, or -errno of exec is 128 + errno */
};

/*
 * Start the supervisor, detached from the caller. config_file must be absolute. ret_status: the
 * reading end of the status pipe; its end without all parts ready means that the supervisor is
 * gone. 0 or -errno.
 */
int supervise_start(const struct host_config *c, const char *config_file, int *ret_status);

/* The supervisor's pid, 0 when there is none. The kernel answers (lock owner), not a file's
 * content. */
pid_t supervise_pid(const struct host_config *c);
/* Pid of a daemon, 0 when it does not run. */
pid_t supervise_part_pid(const struct host_config *c, size_t part);
/* End it and the daemons, wait until they are gone. 0, -ESRCH when there was none, or -errno. */
int supervise_stop(const struct host_config *c);

#endif
