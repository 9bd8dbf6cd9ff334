/*
 * scan.c - cordon scan: hand over to cordon-scan-files
 *
 * Theory of operation: the scanner and its libraries are a program of their own, so that no other
 * command loads them. It becomes this process, and its exit status ours.
 */
#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include "base/proc.h"
#include "cli/cli.h"

struct scan_values { const char *rules, *exceptions; bool files; };

static int scan(const struct cli *c, const void *values, const struct args *a)
{
	const struct scan_values *v = values;
	AUTO(mem) char **argv = calloc((size_t)a->n + 7, sizeof(char *));
	AUTO(mem) char *exceptions = NULL;
	char program[4096], *json = c->json ? (char *)"json" : (char *)"text";
	int n = 0, r = cli_exceptions(c, v->exceptions, &exceptions);

	if (r != EXIT_DONE)
		return r;
	if (!argv)
		return cli_fail("out of memory");
	if (proc_program("cordon-scan-files", program, sizeof(program)) < 0)
		return cli_fail("scan: cordon-scan-files is missing beside this program: make install");
	argv[n++] = program;
	argv[n++] = json;
	argv[n++] = v->files ? (char *)"files" : (char *)"any";
	argv[n++] = v->rules ? (char *)v->rules : (char *)"";
	argv[n++] = exceptions;
	memcpy(argv + n, a->word, (size_t)a->n * sizeof(char *));
	execv(program, argv);
	return cli_fail("scan: %s: %s: make install", program, strerror(errno));
}

#define V(field) offsetof(struct scan_values, field)
static const struct option_row rows[] = {
	{ "files", 0, OPTION_FLAG, V(files), NULL, "a repository's files as they lie there, not its history" },
	{ "rules", 0, OPTION_TEXT, V(rules), "FILE", "other rules than the builtin ones" },
	{ "exceptions", 0, OPTION_TEXT, V(exceptions), "FILE",
	  "accepted findings (default: git.scan.exceptions of the configuration)" },
};

const struct command command_scan = {
	.name = "scan",
	.usage = "[--files] [--rules FILE] [--exceptions FILE] PATH|REPO...",
	.line = "Look for secrets in files, or in all of a git repository's history",
	.more = "A directory with a repository in it is scanned by its objects: each blob of all\n"
		"references once, told with its path and the first commit that has it, and the\n"
		"messages of commits and tags. Any other path: the files below it. The secret is\n"
		"never printed; its fingerprint is what cordon exception takes.\n"
		"\n"
		"Exit status: 0 clean, 1 findings, or something could not be scanned, 2 usage.",
	.examples = "  cordon scan .\n"
		    "  cordon scan --files .               what is not committed too\n"
		    "  cordon scan --json src build.log\n",
	.options = rows,
	.n_options = ARRAY_SIZE(rows),
	.min_args = 1,
	.max_args = -1,
	.run = scan,
};
