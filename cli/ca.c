/*
 * ca.c - cordon ca show: the certificate that guests must trust
 *
 * Theory of operation: the keeper writes STATE/ca.pem, readable by all (a certificate is no
 * secret); the key beside it is the keeper's own. This only copies the file to stdout.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"

static int copy(FILE *from)
{
	char buf[4096];
	size_t n;

	while ((n = fread(buf, 1, sizeof(buf), from)) > 0)
		if (fwrite(buf, 1, n, stdout) != n)
			return cli_fail("ca show: cannot write: %s", strerror(errno));
	return fflush(stdout) ? cli_fail("ca show: cannot write: %s", strerror(errno)) : EXIT_DONE;
}

static int ca(const struct cli *c, const void *values, const struct args *a)
{
	AUTO(host_config) struct host_config *cfg = NULL;
	char path[512];
	FILE *f;
	int r;

	(void)values;
	if (strcmp(a->word[0], "show"))
		return cli_misuse("ca: unknown word %s: show", a->word[0]);
	r = cli_config(c, &cfg);
	if (r)
		return r;
	snprintf(path, sizeof(path), "%s/ca.pem", cfg->state_dir);
	f = fopen(path, "re");
	if (!f)
		return cli_fail("%s: %s: the first sudo cordon up makes it", path, strerror(errno));
	r = copy(f);
	fclose(f);
	return r;
}

const struct command command_ca = {
	.name = "ca",
	.usage = "show",
	.line = "Print the CA certificate that guests must trust for terminated hosts",
	.examples = "  cordon ca show > cordon-ca.pem\n",
	.min_args = 1,
	.max_args = 1,
	.run = ca,
};
