/*
 * status.c - cordon status: daemons, policy, kernel features, counters
 *
 * Theory of operation: whether the daemons run is asked of the kernel through the supervisor's
 * files, so there is an answer when netd is not well; the rest is netd's JSON, printed one value a
 * line. Exit status 1 when something that should run does not.
 */
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/client.h"
#include "cli/event.h"
#include "cli/mirror_client.h"
#include "cli/supervise.h"
#include "cli/table.h"

static json_t *daemons(const struct host_config *cfg, bool *ret_all)
{
	json_t *rows = json_array();
	pid_t super = supervise_pid(cfg);

	json_array_append_new(rows, json_pack("{s:s, s:b, s:i}", "name", "supervisor", "up",
					      super != 0, "pid", (int)super));
	*ret_all = super != 0;
	for (size_t i = 0; i < SUPERVISE_PARTS; i++) {
		pid_t pid = supervise_part_pid(cfg, i);

		json_array_append_new(rows, json_pack("{s:s, s:b, s:i}", "name", supervise_parts[i],
						      "up", pid != 0, "pid", (int)pid));
		*ret_all = *ret_all && pid;
	}
	return rows;
}

static void print_daemons(const struct cli *c, const json_t *rows)
{
	const json_t *row;
	size_t i;

	json_array_foreach(rows, i, row)
	{
		bool up = json_is_true(json_object_get(row, "up"));
		const char *on = !c->colour_out ? "" : up ? "\033[32m" : "\033[31m";

		printf("%-12s %s%s%s", json_string_value(json_object_get(row, "name")), on,
		       up ? "up" : "down", *on ? "\033[0m" : "");
		if (up)
			printf("  pid %lld",
			       (long long)json_integer_value(json_object_get(row, "pid")));
		putchar('\n');
	}
}

/* A list of objects is shown by what each is called; --json has the rest. */
static void names_text(const json_t *list, char *out, size_t cap)
{
	json_t *names = json_array(), *v;
	size_t i;

	json_array_foreach((json_t *)(uintptr_t)list, i, v)
	{
		json_t *name = json_object_get(v, "name");

		json_array_append(names, name ? name : json_object_get(v, "role"));
	}
	table_text(names, out, cap);
	json_decref(names);
}

static void value_text(const char *key, const json_t *v, char *out, size_t cap)
{
	char ts[EVENT_TS_MAX];

	if (!strcmp(key, "since_ms")) {
		event_time(json_integer_value(v), ts);
		snprintf(out, cap, "%s", ts);
	} else if (json_is_array(v) && json_is_object(json_array_get(v, 0))) {
		names_text(v, out, cap);
	} else {
		table_text(v, out, cap);
	}
}

/* Objects are indented below their key. */
static void print_values(const json_t *o, int depth)
{
	char text[TABLE_CELL_MAX * 2];
	const char *key;
	json_t *v;

	json_object_foreach((json_t *)(uintptr_t)o, key, v)
	{
		int width = (int)strlen(key) - (strcmp(key, "since_ms") ? 0 : 3);

		if (json_is_object(v) && depth < 4) {
			printf("%*s%s\n", depth * 2, "", key);
			print_values(v, depth + 1);
			continue;
		}
		value_text(key, v, text, sizeof(text));
		printf("%*s%-*.*s %s\n", depth * 2, "", 12 - depth * 2, width, key, text);
	}
}

/* What cordon-mirror has and did since it started; null when it does not answer. */
static json_t *mirrors(const struct host_config *cfg)
{
	struct msg_mirror_row m = { 0 };
	json_t *o;

	if (mirror_counts(cfg, &m) < 0)
		return json_null();
	o = json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "count", (json_int_t)m.mirrors, "bytes",
			 (json_int_t)m.bytes, "max_bytes", (json_int_t)m.max_bytes, "answers", (json_int_t)m.kept,
			 "answer_bytes", (json_int_t)m.kept_bytes, "hits", (json_int_t)m.hits, "misses",
			 (json_int_t)m.misses, "coalesced", (json_int_t)m.coalesced);
	mirror_savings(o, &m);
	return o;
}

static void print(const struct cli *c, json_t *rows, json_t *netd, json_t *mirror)
{
	json_t *all;

	if (!c->json) {
		print_daemons(c, rows);
		if (json_is_object(netd))
			print_values(netd, 0);
		if (json_is_object(mirror)) {
			puts("mirrors");
			print_values(mirror, 1);
		}
		return;
	}
	all = json_pack("{s:O, s:o, s:O}", "daemons", rows, "netd",
			netd ? json_incref(netd) : json_null(), "mirrors", mirror);
	json_dumpf(all, stdout, JSON_INDENT(2));
	putchar('\n');
	json_decref(all);
}

static int status(const struct cli *c, const void *values, const struct args *a)
{
	AUTO(host_config) struct host_config *cfg = NULL;
	struct client_reply got = { 0 };
	json_t *rows, *mirror, *netd = NULL;
	bool all;
	int r = cli_config_light(c, &cfg);

	(void)values, (void)a;
	if (r)
		return r;
	if (cli_need_root("status")) /* anyone else sees neither locks nor sockets: all looks down */
		return EXIT_REFUSED;
	rows = daemons(cfg, &all);
	r = client_ask(cfg, MSG_STATUS, NULL, &got);
	if (!r && got.json)
		netd = json_loadb(got.json, got.n, 0, NULL);
	mirror = mirrors(cfg);
	print(c, rows, netd, mirror);
	json_decref(mirror);
	json_decref(rows);
	json_decref(netd);
	client_reply_done(&got);
	return r ? r : all ? EXIT_DONE : EXIT_REFUSED;
}

const struct command command_status = {
	.name = "status",
	.usage = "",
	.line = "Daemons, policy hash, kernel features in use, counters",
	.examples = "  sudo cordon status\n  sudo cordon status --json\n",
	.run = status,
};
