/*
 * firewall.c - cordon firewall start|stop: the static part alone, as a boot unit runs it
 *
 * Theory of operation: everything is in nft/firewall.c; here the configuration is compiled first,
 * so that nothing changes when it has errors, and a missing kernel feature is named before anything
 * is touched.
 */
#include <errno.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/supervise.h"
#include "cli/units.h"
#include "nft/firewall.h"

static int start(const struct cli *c)
{
	AUTO(host_config) struct host_config *cfg = NULL;
	int r = cli_config(c, &cfg);

	if (r)
		return r;
	if (firewall_check_kernel(cfg, stderr))
		return EXIT_REFUSED;
	return firewall_start(cfg, stderr) < 0 ? EXIT_REFUSED : EXIT_DONE;
}

static int stop(const struct cli *c)
{
	AUTO(host_config) struct host_config *cfg = NULL;
	char state[UNITS_STATE_MAX];
	int r = cli_config(c, &cfg);

	if (r)
		return r;
	/* cordon-netd would load the ruleset again at once, but not what else start sets. */
	if (supervise_pid(cfg) || units_run(c, state))
		return cli_fail("firewall stop: cordon is up: %s first",
				supervise_pid(cfg) ? "sudo cordon down"
						   : "sudo systemctl stop cordon.target");
	return firewall_stop(cfg, stderr) < 0 ? EXIT_REFUSED : EXIT_DONE;
}

static int firewall(const struct cli *c, const void *values, const struct args *a)
{
	(void)values;
	if (cli_need_root("firewall"))
		return EXIT_REFUSED;
	if (!strcmp(a->word[0], "start"))
		return start(c);
	if (!strcmp(a->word[0], "stop"))
		return stop(c);
	return cli_misuse("firewall: unknown word %s: start or stop", a->word[0]);
}

const struct command command_firewall = {
	.name = "firewall",
	.usage = "start|stop",
	.line = "Load or remove the ruleset, sysctls and routing rules only",
	.more = "start is idempotent and never empties the maps of a running netd. stop\n"
		"restores what start changed and is refused while a sandbox interface is up, or\n"
		"while the daemons are.",
	.examples = "  sudo cordon firewall start      before any VM starts\n"
		    "  sudo cordon firewall stop       the host as it was before\n",
	.min_args = 1,
	.max_args = 1,
	.run = firewall,
};
