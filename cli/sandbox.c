/*
 * sandbox.c - cordon add, rm, ls: registration of sandboxes
 *
 * Theory of operation: words are turned into the fixed message here, so that spelling mistakes end
 * with status 2; whether name, addresses, interface and profile can be had is netd's to say (status
 * 1).
 */
#include <jansson.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/client.h"
#include "cli/table.h"

struct add_values {
	const char *interface, *mac, *profile;
	struct text_list ip;
	bool dhcp;
};

static const struct option_row add_options[] = {
	{ "interface", 'i', OPTION_TEXT, offsetof(struct add_values, interface), "IF",
	  "host interface of the sandbox (required)" },
	{ "mac", 0, OPTION_TEXT, offsetof(struct add_values, mac), "M",
	  "the guest's link address (required)" },
	{ "ip", 0, OPTION_LIST, offsetof(struct add_values, ip), "A",
	  "the guest's address; once for IPv4, once for IPv6" },
	{ "dhcp", 0, OPTION_FLAG, offsetof(struct add_values, dhcp), NULL,
	  "the guest asks this host's DHCP server" },
	{ "profile", 'p', OPTION_TEXT, offsetof(struct add_values, profile), "P",
	  "its policy (required)" },
};

static bool mac_parse(const char *text, uint8_t ret[6])
{
	unsigned v[6];
	int end = 0;

	if (sscanf(text, "%2x:%2x:%2x:%2x:%2x:%2x%n", &v[0], &v[1], &v[2], &v[3], &v[4], &v[5],
		   &end) != 6 ||
	    text[end] || end != 17)
		return false;
	for (int i = 0; i < 6; i++)
		ret[i] = (uint8_t)v[i];
	return true;
}

static int add_addresses(const struct text_list *ip, struct msg_add *m)
{
	for (size_t i = 0; i < ip->n; i++) {
		struct addr a, *to;

		if (!addr_parse(ip->text[i], &a))
			return cli_misuse("add: --ip %s: not an IPv4 or IPv6 address", ip->text[i]);
		to = &m->addr[a.family == 6];
		if (to->family)
			return cli_misuse(
				"add: --ip %s: a second IPv%u address: give one of each family",
				ip->text[i], a.family);
		*to = a;
	}
	return ip->n ? EXIT_DONE : cli_misuse("add: --ip is missing: give the guest's address");
}

static int add_text(char *to, size_t n, const char *what, const char *from)
{
	if (!from)
		return cli_misuse("add: --%s is missing: see cordon add --help", what);
	if (!*from || !msg_text_set(to, n, from))
		return cli_misuse("add: %s %s: must have 1 to %zu characters", what, from, n - 1);
	return EXIT_DONE;
}

static int add_message(const struct add_values *v, const char *name, struct msg_add *m)
{
	int r = add_text(m->name, sizeof(m->name), "name", name);

	if (!r)
		r = add_text(m->interface, sizeof(m->interface), "interface", v->interface);
	if (!r)
		r = add_text(m->profile, sizeof(m->profile), "profile", v->profile);
	if (!r && !v->mac)
		r = cli_misuse("add: --mac is missing: give the guest's link address");
	if (!r && !mac_parse(v->mac, m->mac))
		r = cli_misuse("add: --mac %s: must look like 06:00:ac:10:00:02", v->mac);
	m->dhcp = v->dhcp;
	return r ? r : add_addresses(&v->ip, m);
}

static int add(const struct cli *c, const void *values, const struct args *a)
{
	AUTO(host_config) struct host_config *cfg = NULL;
	struct msg_add m = { 0 };
	int r = add_message(values, a->word[0], &m);

	if (!r)
		r = cli_config_light(c, &cfg);
	return r ? r : client_ask(cfg, MSG_ADD, &m, NULL);
}

static int rm(const struct cli *c, const void *values, const struct args *a)
{
	AUTO(host_config) struct host_config *cfg = NULL;
	struct msg_rm m = { 0 };
	int r;

	(void)values;
	if (!msg_text_set(m.name, sizeof(m.name), a->word[0]))
		return cli_misuse("rm: %s: no such sandbox: cordon ls", a->word[0]);
	r = cli_config_light(c, &cfg);
	return r ? r : client_ask(cfg, MSG_RM, &m, NULL);
}

static const struct table_column ls_columns[] = {
	{ "name", "NAME" }, { "profile", "PROFILE" }, { "interface", "INTERFACE" },
	{ "mac", "MAC" },   { "ipv4", "IPV4" },	      { "ipv6", "IPV6" },
};

static int ls(const struct cli *c, const void *values, const struct args *a)
{
	AUTO(host_config) struct host_config *cfg = NULL;
	struct client_reply got = { 0 };
	json_t *rows;
	int r = cli_config_light(c, &cfg);

	(void)values, (void)a;
	if (!r)
		r = client_ask(cfg, MSG_LS, NULL, &got);
	if (r)
		return r;
	rows = json_loads(got.json ? got.json : "[]", 0, NULL);
	if (c->json)
		json_dumpf(rows, stdout, JSON_INDENT(2));
	else if (json_array_size(rows))
		table_print(stdout, rows, ls_columns, ARRAY_SIZE(ls_columns));
	if (c->json)
		putchar('\n');
	json_decref(rows);
	client_reply_done(&got);
	return EXIT_DONE;
}

const struct command command_add = {
	.name = "add",
	.usage = "NAME --interface IF --mac M --ip A [--ip A6] [--dhcp] --profile P",
	.line = "Register a sandbox: from here on its policy applies",
	.more = "Returns when the kernel and every part know the sandbox. The interface must\n"
		"be routed (not in a bridge) and match sandbox_interfaces of the\n"
		"configuration.",
	.examples = "  sudo cordon add vm0 --interface tap0 --mac 06:00:ac:10:00:02 --ip 10.1.0.2 "
		    "--ip fd00:1::2 "
		    "--profile agent\n",
	.options = add_options,
	.n_options = ARRAY_SIZE(add_options),
	.min_args = 1,
	.max_args = 1,
	.run = add,
};

const struct command command_rm = {
	.name = "rm",
	.usage = "NAME",
	.line = "Remove a sandbox: its flows end at once",
	.examples = "  sudo cordon rm vm0\n",
	.min_args = 1,
	.max_args = 1,
	.run = rm,
};

const struct command command_ls = {
	.name = "ls",
	.usage = "",
	.line = "List the sandboxes",
	.examples = "  sudo cordon ls\n  sudo cordon ls --json\n",
	.run = ls,
};
