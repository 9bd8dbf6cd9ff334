/*
 * doctor.c - cordon doctor: what on this host keeps Cordon from working or from being tight
 *
 * Theory of operation: a table of checks, each a function that looks at the host and tells what it
 * finds; nothing is changed. A finding is one line: what, where, and what to do. It needs no daemon
 * and no loaded ruleset: what they would tell is asked of the kernel. Every check runs, whatever
 * the others found. What only root may see is named as not looked at. Problem: something passes
 * that must not, or granted traffic cannot; warning: it may, or will once something else happens.
 */
#include "cli/doctor.h"

#include <errno.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

#include "cli/table.h"

static const struct doctor_check *const checks[] = {
	&doctor_kernel,	 &doctor_queue,	   &doctor_sysctls,  &doctor_conntrack,
	&doctor_links,	 &doctor_uplinks,  &doctor_routes,   &doctor_routing_rules,
	&doctor_filters, &doctor_marks,	   &doctor_bypasses, &doctor_resolver,
	&doctor_sockets, &doctor_accounts, &doctor_files,    &doctor_ca,
	&doctor_units,   &doctor_scan,
};

static const struct {
	const char *name, *colour;
} severities[DOCTOR_SEVERITIES] = {
	[DOCTOR_OK] = { "ok", "\033[32m" },
	[DOCTOR_WARNING] = { "warning", "\033[33m" },
	[DOCTOR_PROBLEM] = { "problem", "\033[31m" },
};

static bool told(const struct doctor *d, const char *what, const char *where)
{
	json_t *row;
	size_t i;

	json_array_foreach(
		d->rows, i,
		row) if (!strcmp(json_string_value(json_object_get(row, "what")), what) &&
			 !strcmp(json_string_value(json_object_get(row, "where")),
				 where)) return true;
	return false;
}

/* Names in findings come from other software: what a terminal could interpret is replaced. */
static char *part_of(char **rest)
{
	char *part = strsep(rest, "\t");

	if (!part)
		return (char *)(uintptr_t) "";
	table_clean(part);
	return part;
}

void doctor_say(struct doctor *d, enum doctor_severity s, const char *fmt, ...)
{
	char text[DOCTOR_TEXT_MAX], *rest = text, *what, *where, *fix;
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	what = part_of(&rest);
	where = part_of(&rest);
	fix = part_of(&rest);
	if (told(d, what, where))
		return;
	d->n[s]++;
	json_array_append_new(d->rows, json_pack("{s:s, s:s, s:s, s:s, s:s}", "severity",
						 severities[s].name, "check", d->check, "what",
						 what, "where", where, "fix", fix));
}

bool doctor_read(const char *path, char *out, size_t cap)
{
	FILE *f = fopen(path, "re");
	bool got = f && fgets(out, (int)cap, f);

	if (f)
		fclose(f);
	if (got)
		out[strcspn(out, "\n")] = '\0';
	return got;
}

static void run_check(struct doctor *d, const struct doctor_check *c)
{
	size_t before = d->n[DOCTOR_WARNING] + d->n[DOCTOR_PROBLEM];

	d->check = c->name;
	if (c->needs_root && !d->root) {
		doctor_say(d, DOCTOR_WARNING, "not looked at\t%s\tsudo cordon doctor", c->name);
		return;
	}
	c->run(d);
	if (d->n[DOCTOR_WARNING] + d->n[DOCTOR_PROBLEM] == before)
		doctor_say(d, DOCTOR_OK, "%s\t%s", c->good, c->name);
}

static void print_rows(const struct cli *c, const struct doctor *d)
{
	json_t *row;
	size_t i;

	json_array_foreach(d->rows, i, row)
	{
		const char *name = json_string_value(json_object_get(row, "severity"));
		const char *fix = json_string_value(json_object_get(row, "fix"));
		size_t s = 0;

		while (s < DOCTOR_SEVERITIES - 1 && strcmp(severities[s].name, name))
			s++;
		printf("%s%-8s%s %s: %s%s%s\n", c->colour_out ? severities[s].colour : "", name,
		       c->colour_out ? "\033[0m" : "",
		       json_string_value(json_object_get(row, "where")),
		       json_string_value(json_object_get(row, "what")), *fix ? ": " : "", fix);
	}
	printf("%zu problem%s, %zu warning%s\n", d->n[DOCTOR_PROBLEM],
	       d->n[DOCTOR_PROBLEM] == 1 ? "" : "s", d->n[DOCTOR_WARNING],
	       d->n[DOCTOR_WARNING] == 1 ? "" : "s");
}

static void print(const struct cli *c, const struct doctor *d)
{
	json_t *all;

	if (!c->json) {
		print_rows(c, d);
		return;
	}
	all = json_pack("{s:I, s:I, s:O}", "problems", (json_int_t)d->n[DOCTOR_PROBLEM], "warnings",
			(json_int_t)d->n[DOCTOR_WARNING], "findings", d->rows);
	json_dumpf(all, stdout, JSON_INDENT(2));
	putchar('\n');
	json_decref(all);
}

static int doctor(const struct cli *c, const void *values, const struct args *a)
{
	AUTO(host_config) struct host_config *cfg = NULL;
	struct doctor d = { .root = !geteuid(), .check = "doctor" };
	int r = cli_config(c, &cfg);

	(void)values, (void)a;
	if (r)
		return r;
	d.cfg = cfg;
	d.rows = json_array();
	r = doctor_look(&d);
	if (r < 0)
		doctor_say(&d, DOCTOR_PROBLEM,
			   "cannot be listed: %s\tinterfaces\trun it where the sandboxes run",
			   strerror(-r));
	for (size_t i = 0; i < ARRAY_SIZE(checks); i++)
		run_check(&d, checks[i]);
	print(c, &d);
	json_decref(d.rows);
	free(d.links);
	return d.n[DOCTOR_PROBLEM] ? EXIT_REFUSED : EXIT_DONE;
}

const struct command command_doctor = {
	.name = "doctor",
	.usage = "",
	.line = "Check kernel, settings and other software; each finding with its fix",
	.more = "Changes nothing and needs neither daemons nor the ruleset. Lines are ok, warning\n"
		"(may break or open something) or problem (does); the exit status is 1 when there\n"
		"is a problem. Without root some checks are named as not looked at.",
	.examples = "  sudo cordon doctor\n  sudo cordon doctor --json\n",
	.run = doctor,
};
