/*
 * cli.h - what every command of `cordon` shares: its description, its context, how it fails
 */
#ifndef CLI_CLI_H
#define CLI_CLI_H

#include <stdbool.h>
#include <stdio.h>

#include "base/mem.h"
#include "cli/options.h"
#include "policy/host_config.h"

/* Exit statuses. */
enum { EXIT_DONE = 0, EXIT_REFUSED = 1, EXIT_USAGE = 2 };

#define CLI_CONFIG "/etc/cordon/cordon.yaml"

struct cli {
	const char *config; /* --config, never NULL in a command */
	bool json, help;
	bool colour_out, colour_err; /* terminal, and NO_COLOR not set */
};

enum { CLI_VALUES_MAX = 1024 }; /* bytes of a command's values; zeroed before parsing */

struct command {
	const char *name;
	const char *usage;    /* after the name */
	const char *line;     /* what it does, for the list */
	const char *more;     /* paragraphs for --help; may be NULL */
	const char *examples; /* one a line */
	const struct option_row *options;
	size_t n_options;
	int min_args, max_args; /* words; max -1: any number */
	bool runs_words;	/* the first word ends the options */
	int (*run)(const struct cli *c, const void *values, const struct args *a);
};

extern const struct command command_up, command_down, command_firewall, command_run, command_add,
	command_rm, command_ls, command_status, command_check, command_reload, command_log,
	command_ca, command_env, command_doctor, command_explain, command_mirror, command_scan, command_exception;

/* "cordon: text" on stderr, one line; returns the status for main(). Text: what, where: what to do.
 */
int cli_fail(const char *fmt, ...) PRINTF_LIKE(1, 2);	/* EXIT_REFUSED */
int cli_misuse(const char *fmt, ...) PRINTF_LIKE(1, 2); /* EXIT_USAGE */
void cli_warn(const char *fmt, ...) PRINTF_LIKE(1, 2);

/* EXIT_DONE when root; else says what to do. */
int cli_need_root(const char *command);

/* Load the configuration: EXIT_DONE, or everything wrong with it on stderr and EXIT_USAGE. */
int cli_config(const struct cli *c, struct host_config **ret);
/* The same for a command that only asks a daemon: host_config_load_light(). */
int cli_config_light(const struct cli *c, struct host_config **ret);
/* The file of accepted findings: `given`, else git.scan.exceptions, else (no configuration) the default; heap. */
int cli_exceptions(const struct cli *c, const char *given, char **ret);
/* The same, and every profile. */
int cli_policies(const struct cli *c, struct host_config **ret, struct profile_set *ret_set);

#endif
