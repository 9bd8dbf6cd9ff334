/*
 * say.c - how commands fail, and loading what nearly all of them need
 *
 * Theory of operation: an error is one line on stderr (what, where: what to do) and an exit status.
 * Errors of the configuration are many lines, all at once, in the compiler's own form.
 */
#include "cli/cli.h"

#include <errno.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

#include "gitproxy/scan/exceptions.h"

PRINTF_LIKE(1, 0)
static void say(const char *fmt, va_list ap)
{
	char text[1024];

	vsnprintf(text, sizeof(text), fmt, ap);
	fprintf(stderr, "cordon: %s\n", text);
}

int cli_fail(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	say(fmt, ap);
	va_end(ap);
	return EXIT_REFUSED;
}

int cli_misuse(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	say(fmt, ap);
	va_end(ap);
	return EXIT_USAGE;
}

void cli_warn(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	say(fmt, ap);
	va_end(ap);
}

int cli_need_root(const char *command)
{
	if (!geteuid())
		return EXIT_DONE;
	return cli_fail("%s needs root: use sudo cordon %s", command, command);
}

/* Warnings are shown when policies are compiled to be used, not by every command that needs a path.
 */
static int finish(struct diag *d, const char *file, int r, bool warnings)
{
	if (r || warnings)
		diag_print(d, stderr);
	if (!r)
		return EXIT_DONE;
	if (!diag_errors(d))
		return cli_misuse("%s: %s: give another file with --config", file, strerror(-r));
	if (r == -ENOENT)
		cli_warn("no configuration: copy " CORDON_EXAMPLES "/* to /etc/cordon, or give "
			 "another file with --config");
	return EXIT_USAGE;
}

int cli_config(const struct cli *c, struct host_config **ret)
{
	AUTO(diag) struct diag *d = NULL;
	int r = diag_new(&d);

	if (r < 0)
		return cli_fail("out of memory");
	return finish(d, c->config, host_config_load(c->config, d, ret), false);
}

int cli_config_light(const struct cli *c, struct host_config **ret)
{
	AUTO(diag) struct diag *d = NULL;
	int r = diag_new(&d);

	if (r < 0)
		return cli_fail("out of memory");
	return finish(d, c->config, host_config_load_light(c->config, d, ret), false);
}

int cli_exceptions(const struct cli *c, const char *given, char **ret)
{
	AUTO(host_config) struct host_config *cfg = NULL;
	int r = given || access(c->config, R_OK) < 0 ? EXIT_DONE : cli_config_light(c, &cfg);

	if (r != EXIT_DONE)
		return r;
	*ret = strdup(given ? given : cfg ? cfg->scan_exceptions : SCAN_EXCEPTIONS);
	return *ret ? EXIT_DONE : cli_fail("out of memory");
}

int cli_policies(const struct cli *c, struct host_config **ret, struct profile_set *ret_set)
{
	AUTO(diag) struct diag *d = NULL;
	AUTO(host_config) struct host_config *cfg = NULL;
	int r = diag_new(&d);

	if (r < 0)
		return cli_fail("out of memory");
	r = host_config_load(c->config, d, &cfg);
	if (!r)
		r = profile_set_load(cfg, d, ret_set);
	r = finish(d, c->config, r, true);
	if (!r)
		*ret = STEAL(cfg);
	return r;
}
