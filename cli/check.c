/*
 * check.c - cordon check and cordon reload: compile, show, put in force
 *
 * Theory of operation: the same compiler as the daemons'. Errors and warnings go to stderr, all at
 * once; the canonical form and its hash to stdout. reload compiles first: a policy with errors is
 * told in full here and netd is not asked at all.
 */
#include <errno.h>
#include <jansson.h>
#include <stddef.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/client.h"
#include "cli/credentials.h"
#include "cli/scan_check.h"

static void show(const struct cli *c, const struct policy *p, json_t *rows)
{
	size_t n;
	const char *text = policy_canonical(p, &n);

	if (c->json) {
		json_array_append_new(rows,
				      json_pack("{s:s, s:s, s:s}", "name", policy_name(p), "sha256",
						policy_sha256(p), "canonical", text));
		return;
	}
	printf("# profile %s sha256 %s\n", policy_name(p), policy_sha256(p));
	fwrite(text, 1, n, stdout);
}

static void show_end(const struct cli *c, json_t *rows)
{
	if (!c->json)
		return;
	json_dumpf(rows, stdout, JSON_INDENT(2));
	putchar('\n');
}

static int check_file(const struct cli *c, const char *path, const struct policy_site *site,
		      struct diag *d, json_t *rows)
{
	AUTO(policy) struct policy *p = NULL;

	if (policy_compile_file(path, site, d, &p) < 0)
		return EXIT_USAGE;
	show(c, p, rows);
	return EXIT_DONE;
}

/* A missing default configuration is no reason not to check a profile; a broken one is. */
static int site_load(const struct cli *c, struct host_config **ret, struct policy_site *ret_site)
{
	int r;

	if (!strcmp(c->config, CLI_CONFIG) && access(CLI_CONFIG, F_OK) < 0)
		return EXIT_DONE;
	r = cli_config(c, ret);
	if (!r)
		*ret_site = host_config_site(*ret);
	return r;
}

static int check_files(const struct cli *c, const struct args *a)
{
	AUTO(host_config) struct host_config *cfg = NULL;
	AUTO(diag) struct diag *d = NULL;
	struct policy_site site = { 0 };
	json_t *rows = json_array();
	int r = site_load(c, &cfg, &site);

	if (!r && diag_new(&d) < 0)
		r = cli_fail("out of memory");
	for (int i = 0; d && i < a->n; i++) {
		int one = check_file(c, a->word[i], &site, d, rows);

		r = one ? one : r;
	}
	if (d)
		diag_print(d, stderr);
	if (!r)
		show_end(c, rows);
	json_decref(rows);
	return r;
}

static int worse(int a, int b)
{
	return a > b ? a : b;
}

static int check_all(const struct cli *c)
{
	AUTO(host_config) struct host_config *cfg = NULL;
	struct profile_set set = { 0 };
	json_t *rows;
	int r = cli_policies(c, &cfg, &set);

	if (r)
		return r;
	r = worse(credentials_check(cfg), scan_check(cfg));
	rows = json_array();
	for (size_t i = 0; i < set.n; i++)
		show(c, set.policies[i], rows);
	if (!c->json) {
		credentials_show(cfg);
		printf("# policy sha256 %s (%zu profile%s)\n", set.sha256, set.n,
		       set.n == 1 ? "" : "s");
	}
	show_end(c, rows);
	json_decref(rows);
	profile_set_done(&set);
	return r;
}

struct check_values {
	bool schema;
};
static const struct option_row check_options[] = {
	{ "schema", 0, OPTION_FLAG, offsetof(struct check_values, schema), NULL,
	  "print every key with its type, default and meaning instead" },
};

static int check(const struct cli *c, const void *values, const struct args *a)
{
	const struct check_values *v = values;

	if (v->schema) {
		policy_print_schema(stdout);
		return EXIT_DONE;
	}
	return a->n ? check_files(c, a) : check_all(c);
}

static int reload(const struct cli *c, const void *values, const struct args *a)
{
	AUTO(host_config) struct host_config *cfg = NULL;
	struct profile_set set = { 0 };
	struct client_reply got = { 0 };
	int r;

	(void)values, (void)a;
	if (cli_need_root("reload"))
		return EXIT_REFUSED;
	r = cli_policies(c, &cfg, &set);
	if (!r)
		r = client_ask(cfg, MSG_RELOAD, NULL, &got);
	if (!r)
		printf("%s\n", got.reply.text[0] ? got.reply.text : "reloaded");
	client_reply_done(&got);
	profile_set_done(&set);
	return r;
}

const struct command command_check = {
	.name = "check",
	.usage = "[--schema] [FILE...]",
	.line = "Compile policies; print their canonical form and hash",
	.more = "Without FILE: the configuration and all its profiles, and the files that\n"
		"git.scan names. Errors and warnings go to stderr as file:line:column; the exit\n"
		"status is 2 when there are errors.",
	.examples = "  cordon check\n  cordon check profiles/agent.yaml\n  cordon check --schema\n",
	.options = check_options,
	.n_options = ARRAY_SIZE(check_options),
	.max_args = -1,
	.run = check,
};

const struct command command_reload = {
	.name = "reload",
	.usage = "",
	.line = "Put the changed policy in force, all of it or nothing",
	.examples = "  sudo cordon reload\n",
	.run = reload,
};
