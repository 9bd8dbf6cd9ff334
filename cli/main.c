/*
 * main.c - the `cordon` command: find the command, parse its options, run it
 *
 * Theory of operation: one table of commands, one option parser. --config, --json and --help are
 * known to every command. What cannot be understood ends with status 2 and the nearest thing that
 * could have been meant. The process is short-lived: what it owns at exit is the kernel's to free.
 */
#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "cli/cli.h"
#include "policy/diag.h"

static const struct command *const commands[] = {
	&command_run,	 &command_up,	 &command_down, &command_firewall,
	&command_reload, &command_add,	 &command_rm,	&command_ls,
	&command_status, &command_check, &command_log,	&command_ca, &command_env,
	&command_doctor, &command_explain, &command_mirror, &command_scan, &command_exception,
};

static const struct option_row global_rows[] = {
	{ "config", 0, OPTION_TEXT, offsetof(struct cli, config), "FILE",
	  "host configuration (default " CLI_CONFIG ")" },
	{ "json", 0, OPTION_FLAG, offsetof(struct cli, json), NULL, "print data as JSON" },
	{ "help", 'h', OPTION_FLAG, offsetof(struct cli, help), NULL, "this text" },
};

static void print_options(const struct option_row *rows, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		char left[48], letter[8] = "";

		if (rows[i].letter)
			snprintf(letter, sizeof(letter), "-%c, ", rows[i].letter);
		snprintf(left, sizeof(left), "%s--%s%s%s", letter, rows[i].name,
			 rows[i].value ? " " : "", rows[i].value ? rows[i].value : "");
		printf("  %-22s %s\n", left, rows[i].line);
	}
}

static int print_command(const struct command *cmd)
{
	printf("usage: cordon %s%s%s\n\n%s.\n", cmd->name, *cmd->usage ? " " : "", cmd->usage,
	       cmd->line);
	if (cmd->more)
		printf("\n%s\n", cmd->more);
	printf("\noptions:\n");
	print_options(cmd->options, cmd->n_options);
	print_options(global_rows, ARRAY_SIZE(global_rows));
	printf("\nexamples:\n%s", cmd->examples);
	return EXIT_DONE;
}

static int print_help(void)
{
	printf("usage: cordon COMMAND [OPTION...]\n\n"
	       "Polices what a sandbox may reach, from the host side of its link.\n\ncommands:\n");
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
		printf("  %-10s %s\n", commands[i]->name, commands[i]->line);
	printf("  %-10s %s\n  %-10s %s\n", "help", "this text, or cordon help COMMAND", "version",
	       "the version");
	printf("\nevery command:\n");
	print_options(global_rows, ARRAY_SIZE(global_rows));
	printf("\nExit status: 0 done, 1 refused or failed, 2 usage or policy error.\n");
	return EXIT_DONE;
}

static const struct command *command_find(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
		if (!strcmp(commands[i]->name, name))
			return commands[i];
	return NULL;
}

static int command_unknown(const char *name)
{
	const char *names[ARRAY_SIZE(commands) + 2], *near;

	for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
		names[i] = commands[i]->name;
	names[ARRAY_SIZE(commands)] = "help";
	names[ARRAY_SIZE(commands) + 1] = "version";
	near = diag_nearest(name, names, ARRAY_SIZE(names));
	if (near)
		return cli_misuse("unknown command %s: did you mean %s?", name, near);
	return cli_misuse("unknown command %s: cordon help lists the commands", name);
}

static bool colour_wanted(FILE *f)
{
	const char *no = getenv("NO_COLOR");

	return isatty(fileno(f)) && !(no && *no);
}

static int command_args(const struct command *cmd, const struct args *a)
{
	if (a->n < cmd->min_args)
		return cli_misuse("%s: too few words: cordon %s %s", cmd->name, cmd->name,
				  cmd->usage);
	if (cmd->max_args >= 0 && a->n > cmd->max_args)
		return cli_misuse("%s: unexpected word %s: cordon %s --help", cmd->name,
				  a->word[cmd->max_args], cmd->name);
	return EXIT_DONE;
}

static int command_start(const struct command *cmd, struct cli *c, char **argv, int argc)
{
	_Alignas(16) char values[CLI_VALUES_MAX] = { 0 };
	const struct option_table tables[] = {
		{ cmd->options, cmd->n_options, values },
		{ global_rows, ARRAY_SIZE(global_rows), c },
	};
	char err[OPTION_ERROR_MAX];
	struct args a;
	int r;

	if (options_parse(tables, ARRAY_SIZE(tables), cmd->runs_words, argv, argc, &a, err) < 0)
		return cli_misuse("%s: %s", cmd->name, err);
	if (c->help)
		return print_command(cmd);
	r = command_args(cmd, &a);
	if (r)
		return r;
	if (!c->config)
		c->config = CLI_CONFIG;
	c->colour_out = colour_wanted(stdout);
	c->colour_err = colour_wanted(stderr);
	return cmd->run(c, values, &a);
}

static int help(int argc, char **argv)
{
	const struct command *cmd;

	if (!argc)
		return print_help();
	cmd = command_find(argv[0]);
	return cmd ? print_command(cmd) : command_unknown(argv[0]);
}

/* Options before the command are the global ones: cordon --config FILE status. */
static int leading_options(struct cli *c, int *argc, char ***argv)
{
	const struct option_table table = { global_rows, ARRAY_SIZE(global_rows), c };
	char err[OPTION_ERROR_MAX];
	struct args a;

	if (options_parse(&table, 1, true, *argv, *argc, &a, err) < 0)
		return cli_misuse("%s", err);
	*argv = a.word;
	*argc = a.n;
	return EXIT_DONE;
}

int main(int argc, char **argv)
{
	const struct command *cmd;
	struct cli c = { 0 };

	argc--;
	argv++;
	if (argc && !strcmp(argv[0], "--version"))
		argv[0] += 2;
	if (leading_options(&c, &argc, &argv))
		return EXIT_USAGE;
	if (c.help || (argc && !strcmp(argv[0], "help")))
		return help(c.help ? argc : argc - 1, argv + !c.help);
	if (!argc) {
		print_help();
		return EXIT_USAGE;
	}
	if (!strcmp(argv[0], "version")) {
		printf("cordon %s\n", CORDON_VERSION);
		return EXIT_DONE;
	}
	cmd = command_find(argv[0]);
	if (!cmd)
		return command_unknown(argv[0]);
	return command_start(cmd, &c, argv + 1, argc - 1);
}
