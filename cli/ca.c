/*
 * ca.c - cordon ca: the certificates that guests must trust, and their renewal
 *
 * Theory of operation: the keeper writes STATE/ca.pem, readable by all (a certificate is no
 * secret): the one that is in force, and after it the next one, if there is one. The keys beside
 * are the keeper's own. show copies what is asked for to stdout; renew is in ca_renew.c.
 */
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "cli/ca_renew.h"
#include "cli/cli.h"

enum { ALL = -1, CURRENT, NEXT };

static const char begin[] = "-----BEGIN CERTIFICATE-----";

/* The certificate of this number, or all. How many were printed, or -1. */
static int copy(FILE *from, int which)
{
	char line[256];
	int at = -1, last = -1, n = 0;

	while (fgets(line, sizeof(line), from)) {
		at += !strncmp(line, begin, sizeof(begin) - 1);
		if (at < 0 || (which != ALL && at != which))
			continue;
		n += at != last;
		last = at;
		if (fputs(line, stdout) < 0)
			return -1;
	}
	return ferror(from) || fflush(stdout) ? -1 : n;
}

static int which_of(const struct args *a)
{
	return a->n < 2			       ? ALL :
	       !strcmp(a->word[1], "current") ? CURRENT :
	       !strcmp(a->word[1], "next")    ? NEXT :
						-2;
}

static int show(const struct cli *c, const struct args *a)
{
	AUTO(host_config) struct host_config *cfg = NULL;
	int which = which_of(a), r;
	char path[512];
	FILE *f;

	if (which < ALL)
		return cli_misuse("ca show: unknown word %s: current or next", a->word[1]);
	r = cli_config_light(c, &cfg);
	if (r)
		return r;
	snprintf(path, sizeof(path), "%s/ca.pem", cfg->state_dir);
	f = fopen(path, "re");
	if (!f)
		return cli_fail("%s: %s: the first sudo cordon up makes it", path, strerror(errno));
	r = copy(f, which);
	fclose(f);
	if (r < 0)
		return cli_fail("ca show: cannot copy %s: %s", path, strerror(errno));
	if (!r)
		return cli_fail("%s: no such certificate: sudo cordon ca renew makes the next one",
				path);
	return EXIT_DONE;
}

static int ca(const struct cli *c, const void *values, const struct args *a)
{
	static const struct ca_values none;

	if (!strcmp(a->word[0], "show"))
		return memcmp(values, &none, sizeof(none)) ?
			       cli_misuse("ca show: its words are current and next") :
			       show(c, a);
	if (strcmp(a->word[0], "renew"))
		return cli_misuse("ca: unknown word %s: show or renew", a->word[0]);
	if (a->n > 1)
		return cli_misuse("ca renew: unexpected word %s", a->word[1]);
	return ca_renew(c, values);
}

#define V(field) offsetof(struct ca_values, field)
static const struct option_row rows[] = {
	{ "activate", 0, OPTION_FLAG, V(activate), NULL, "renew: sign with the next CA from now on" },
	{ "discard", 0, OPTION_FLAG, V(discard), NULL, "renew: throw the next CA away" },
	{ "now", 0, OPTION_FLAG, V(now), NULL, "renew: both at once, after a theft" },
};

const struct command command_ca = {
	.name = "ca",
	.usage = "show [current|next] | renew [--activate|--discard|--now]",
	.line = "Print, or renew, the CA certificate that guests must trust for terminated hosts",
	.more = "show prints what guests must trust: the certificate that is in force and, during a\n"
		"renewal, the next one.\n"
		"\n"
		"renew makes the next CA, for the names of ca.names, and publishes it beside the\n"
		"current one: in show, in sandboxes of cordon run that start from then on, and at\n"
		"http://cordon.internal/ca.pem. Put both into the guests that have to be told. When\n"
		"all have them, renew --activate changes over: connections go on, new ones are\n"
		"signed by the next CA, and the old key is deleted. A step that fails changes\n"
		"nothing. renew --now does not wait: guests that trust only the old CA get errors\n"
		"until they are told; for a key that was stolen, or where all sandboxes are made\n"
		"anew anyway.",
	.examples = "  cordon ca show > cordon-ca.pem\n"
		    "  sudo cordon ca renew                makes the next one; guests go on as they are\n"
		    "  cordon ca show next > next-ca.pem   for the guests' images\n"
		    "  sudo cordon ca renew --activate     when all of them have it\n",
	.options = rows,
	.n_options = ARRAY_SIZE(rows),
	.min_args = 1,
	.max_args = 2,
	.run = ca,
};
