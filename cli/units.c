/*
 * units.c - whether a service manager runs the daemons
 *
 * Theory of operation: two that start the same daemons would replace each other's sockets. The units
 * (deploy/systemd) run the default configuration, so for any other nothing is asked. What systemd thinks is
 * asked of systemctl, since between two starts of a unit no process, socket or file of it is there.
 */
#include "cli/units.h"

#include <fcntl.h>
#include <string.h>
#include <sys/wait.h>

#include "base/proc.h"

#define UNIT "cordon-netd.service"

/* What it prints, up to the end of the line; empty when it cannot be run. */
static void ask(const char *path, const char *const *argv, char *ret, size_t cap)
{
	AUTO(fd) int rd_end = -1;
	int ends[2];
	pid_t pid;
	ssize_t n;

	ret[0] = '\0';
	if (pipe2(ends, O_CLOEXEC) < 0)
		return;
	rd_end = ends[0];
	const struct proc_fd fds[] = { { ends[1], 1 } };
	const struct proc_spec spec = {
		.path = path, .argv = argv, .fds = fds, .nfds = ARRAY_SIZE(fds), .die_with_parent = true,
	};
	int r = proc_spawn(&spec, &pid, NULL);

	close(ends[1]);
	if (r < 0)
		return;
	n = read(rd_end, ret, cap - 1);
	ret[n > 0 ? n : 0] = '\0';
	ret[strcspn(ret, "\n")] = '\0';
	waitpid(pid, NULL, 0);
}

bool units_run(const struct cli *c, char ret_state[UNITS_STATE_MAX])
{
	static const char *const argv[] = { "systemctl", "show", "--property=ActiveState", "--value", UNIT,
					    NULL };

	if (strcmp(c->config, CLI_CONFIG) || access("/run/systemd/system", F_OK) < 0)
		return false;
	ask("/usr/bin/systemctl", argv, ret_state, UNITS_STATE_MAX);
	return ret_state[0] && strcmp(ret_state, "inactive") && strcmp(ret_state, "failed");
}
