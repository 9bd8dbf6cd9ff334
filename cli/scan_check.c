/*
 * scan_check.c - git.scan of the host configuration, for commands
 *
 * Theory of operation: with a file of rules or of accepted findings that has an error every push is refused, and
 * the daemons' log alone says why. So both are read here before: exceptions by their own parser, the rules by
 * cordon-scan-files, a program of its own since no other command loads the scanner and its libraries.
 */
#include "cli/scan_check.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/wait.h>

#include "base/proc.h"
#include "cli/cli.h"
#include "gitproxy/scan/exceptions.h"

/* Its exit status; -errno. */
static int run(const char *program, const char *file, bool quiet)
{
	const char *const argv[] = { program, "rules", file, NULL };
	AUTO(fd) int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
	const struct proc_fd fds[] = { { null, 2 } };
	AUTO(fd) int pidfd = -1;
	int status, r;
	pid_t pid;

	if (null < 0)
		return -errno;
	r = proc_spawn(&(struct proc_spec){ .path = program, .argv = argv, .fds = fds, .nfds = quiet }, &pid, &pidfd);
	if (r < 0)
		return r;
	if (waitpid(pid, &status, 0) != pid)
		return -errno;
	return WIFEXITED(status) ? WEXITSTATUS(status) : -EIO;
}

enum scan_rules scan_rules_state(const char *file, bool quiet)
{
	char program[4096];
	int r = proc_program("cordon-scan-files", program, sizeof(program));

	if (!r)
		r = run(program, file, quiet);
	if (r < 0 && !quiet)
		cli_fail("%s: cordon-scan-files does not run: %s: make install", file, strerror(-r));
	return r < 0 ? SCAN_RULES_UNKNOWN : r ? SCAN_RULES_BAD : SCAN_RULES_GOOD;
}

static int check_exceptions(const char *file)
{
	AUTO(scan_exceptions) struct scan_exceptions *e = NULL;
	AUTO(diag) struct diag *d = NULL;

	if (diag_new(&d) < 0)
		return cli_fail("out of memory");
	if (!scan_exceptions_load(file, d, &e))
		return EXIT_DONE;
	diag_print(d, stderr);
	return EXIT_USAGE;
}

int scan_check(const struct host_config *c)
{
	static const int status[] = { [SCAN_RULES_UNKNOWN] = EXIT_REFUSED, [SCAN_RULES_BAD] = EXIT_USAGE,
				      [SCAN_RULES_GOOD] = EXIT_DONE };
	int rules = c->scan_rules ? status[scan_rules_state(c->scan_rules, false)] : EXIT_DONE;
	int exceptions = check_exceptions(c->scan_exceptions);

	return rules ? rules : exceptions;
}
