/*
 * event.c - lines of the audit log: chosen and printed for people
 *
 * Theory of operation: the time is ISO text of fixed form, so it is compared as text. What an event
 * is about depends on which part wrote it; a table of field patterns is tried from the most
 * specific to the least, and the first whose fields are all there gives the words.
 */
#include "cli/event.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "cli/table.h"

void event_done(struct event *e)
{
	json_decref(e->json);
	free(e->line);
	*e = (struct event){ 0 };
}

const char *event_field(const struct event *e, const char *name)
{
	const char *text = json_string_value(json_object_get(e->json, name));

	return text ? text : "";
}

bool event_parse(const char *line, size_t n, struct event *ret)
{
	struct event e = { .json = json_loadb(line, n, JSON_REJECT_DUPLICATES, NULL) };

	if (json_is_object(e.json)) {
		e.ts = event_field(&e, "ts");
		e.line = strndup(line, n);
	}
	if (!e.line || !*e.ts) {
		event_done(&e);
		return false;
	}
	*ret = e;
	return true;
}

long long event_count(const struct event *e)
{
	long long n = json_integer_value(json_object_get(e->json, "count"));

	return n > 1 ? n : 1;
}

bool event_wanted(const struct event *e, const struct event_filter *f)
{
	if (f->sandbox && strcmp(event_field(e, "sandbox"), f->sandbox))
		return false;
	if (f->deny && strcmp(event_field(e, "decision"), "deny"))
		return false;
	return strcmp(e->ts, f->since) >= 0;
}

void event_time(long long ms, char ret[EVENT_TS_MAX])
{
	time_t s = (time_t)(ms / 1000);
	struct tm tm;

	gmtime_r(&s, &tm);
	snprintf(ret, EVENT_TS_MAX, "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ",
		 (tm.tm_year + 1900) % 10000, tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min,
		 tm.tm_sec, (int)(ms % 1000));
}

static long long unit_ms(char unit)
{
	static const struct {
		char unit;
		long long ms;
	} units[] = {
		{ 's', 1000 },
		{ 'm', 60000 },
		{ 'h', 3600000 },
		{ 'd', 86400000 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(units); i++)
		if (units[i].unit == unit)
			return units[i].ms;
	return 0;
}

static bool looks_like_date(const char *text)
{
	static const char form[] = "0000-00-00T00:00:00";
	size_t n = strlen(text);

	if (n < 10 || n >= EVENT_TS_MAX)
		return false;
	for (size_t i = 0; i < n && i < sizeof(form) - 1; i++)
		if (form[i] == '0' ? text[i] < '0' || text[i] > '9' : text[i] != form[i])
			return false;
	return true;
}

bool event_since(const char *text, long long now_ms, char ret[EVENT_TS_MAX])
{
	long long back = 0;

	if (looks_like_date(text)) {
		snprintf(ret, EVENT_TS_MAX, "%s", text);
		return true;
	}
	if (!*text)
		return false;
	for (const char *p = text; *p; p++) {
		char *end;
		long long n, unit;

		if (*p < '0' || *p > '9')
			return false;
		n = strtoll(p, &end, 10);
		unit = unit_ms(*end);
		if (!unit || n > 1000000)
			return false;
		back += n * unit;
		p = end;
	}
	event_time(back < now_ms ? now_ms - back : 0, ret);
	return true;
}

/* Fields in the order they are shown, each with what stands before it; all must be there. */
struct shape_part {
	const char *before, *field;
};
static const struct {
	struct shape_part part[4];
} shapes[] = {
	{ { { "mirror ", "what" }, { " ", "host" }, { "/", "repo" } } },
	{ { { "lfs ", "direction" }, { " ", "host" }, { "/", "repo" }, { " ", "oid" } } },
	{ { { "lfs ", "direction" }, { " ", "host" }, { "/", "repo" } } },
	{ { { "", "service" }, { " ", "host" }, { "/", "repo" } } },
	{ { { "", "host" }, { "/", "repo" } } },
	{ { { "", "method" }, { " ", "host" }, { "", "path" } } },
	{ { { "", "qtype" }, { " ", "name" } } },
	{ { { "", "name" }, { ":", "port" }, { " sni ", "sni" } } },
	{ { { "", "name" }, { ":", "port" }, { "/", "proto" } } },
	{ { { "", "daddr" }, { ":", "port" }, { "/", "proto" } } },
	{ { { "", "daddr" }, { "/", "proto" } } },
	{ { { "", "host" } } },
	{ { { "", "name" }, { " from ", "from" }, { " to ", "to" } } },
	{ { { "", "name" } } },
	{ { { "", "daddr" } } },
	{ { { "", "saddr" } } },
	{ { { "", "what" }, { " ", "interface" } } },
	{ { { "", "interface" } } },
	{ { { "", "part" }, { " ", "what" } } },
	{ { { "", "what" } } },
	{ { { "", "outcome" } } },
};
enum { SHAPE_PARTS = ARRAY_SIZE(shapes[0].part) };

static bool shape_fits(const struct event *e, size_t i)
{
	for (size_t k = 0; k < SHAPE_PARTS && shapes[i].part[k].field; k++) {
		const json_t *v = json_object_get(e->json, shapes[i].part[k].field);

		if (!v || (json_is_string(v) && !*json_string_value(v)))
			return false;
	}
	return true;
}

static void append(char *out, size_t cap, const char *before, const char *text)
{
	size_t n = strlen(out);

	snprintf(out + n, cap - n, "%s%s", before, text);
}

/* An IPv6 address before its port. */
static void bracket(char *out, size_t cap)
{
	size_t n = strlen(out);

	if (n + 3 > cap)
		return;
	memmove(out + 1, out, n);
	out[0] = '[';
	out[n + 1] = ']';
	out[n + 2] = 0;
}

static void shape_text(const struct event *e, size_t i, char *out, size_t cap)
{
	char value[TABLE_CELL_MAX * 4];

	for (size_t k = 0; k < SHAPE_PARTS && shapes[i].part[k].field; k++) {
		const struct shape_part *p = &shapes[i].part[k];

		table_text(json_object_get(e->json, p->field), value, sizeof(value));
		if (*p->before == ':' && strchr(out, ':'))
			bracket(out, cap);
		append(out, cap, p->before, value);
	}
}

/* ---- pushes, which have lists ---- */

static const json_t *first_of(const struct event *e, const char *list)
{
	return json_array_get(json_object_get(e->json, list), 0);
}

static long long number_of(const struct event *e, const char *field)
{
	return json_integer_value(json_object_get(e->json, field));
}

/* " refs/heads/x and 3 more" of the commands. */
static void push_refs(const struct event *e, char *out, size_t cap)
{
	char ref[TABLE_CELL_MAX * 4], more[48];
	long long n = number_of(e, "n_commands");

	if (!first_of(e, "commands"))
		return;
	table_text(json_object_get(first_of(e, "commands"), "ref"), ref, sizeof(ref));
	append(out, cap, " ", ref);
	snprintf(more, sizeof(more), " and %lld more", n - 1);
	if (n > 1)
		append(out, cap, more, "");
}

/* ": github-pat in a.c:1, fingerprint 01ab, and 3 findings more": what `cordon exception add` takes. */
static void push_findings(const struct event *e, char *out, size_t cap)
{
	static const struct shape_part parts[] = {
		{ ": ", "rule" }, { " in ", "path" }, { ":", "line" }, { ", fingerprint ", "fingerprint" },
	};
	const json_t *f = first_of(e, "findings");
	char value[TABLE_CELL_MAX * 4], more[48];
	long long n = number_of(e, "n_findings");

	for (size_t i = 0; f && i < ARRAY_SIZE(parts); i++) {
		table_text(json_object_get(f, parts[i].field), value, sizeof(value));
		if (strcmp(value, "-") && strcmp(value, "0"))	/* not all are in a file, or on a line */
			append(out, cap, parts[i].before, value);
	}
	snprintf(more, sizeof(more), ", and %lld findings more", n - 1);
	if (f && n > 1)
		append(out, cap, more, "");
}

static void push_what(const struct event *e, char *out, size_t cap)
{
	static const struct shape_part parts[] = {
		{ "push ", "host" }, { "/", "repo" },
	};
	char value[TABLE_CELL_MAX * 4];

	for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
		table_text(json_object_get(e->json, parts[i].field), value, sizeof(value));
		append(out, cap, parts[i].before, value);
	}
	push_refs(e, out, cap);
	append(out, cap, " ", event_field(e, "outcome"));
	push_findings(e, out, cap);
	table_clean(out);
}

void event_what(const struct event *e, char *out, size_t cap)
{
	out[0] = 0;
	if (!strcmp(event_field(e, "event"), "push")) {
		push_what(e, out, cap);
		return;
	}
	for (size_t i = 0; i < ARRAY_SIZE(shapes); i++)
		if (shape_fits(e, i)) {
			shape_text(e, i, out, cap);
			return;
		}
	snprintf(out, cap, "-");
}

static const char *colour_of(const char *decision)
{
	static const struct {
		const char *decision, *colour;
	} colours[] = {
		{ "deny", "\033[31m" },
		{ "allow", "\033[32m" },
		{ "observe", "\033[33m" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(colours); i++)
		if (!strcmp(colours[i].decision, decision))
			return colours[i].colour;
	return "";
}

static void cleaned(const char *from, const char *otherwise, char *out, size_t cap)
{
	snprintf(out, cap, "%s", *from ? from : otherwise);
	table_clean(out);
}

void event_format(const struct event *e, bool colour, char *out, size_t cap)
{
	char what[EVENT_TEXT_MAX], ts[EVENT_TS_MAX], sandbox[80], decision[32], reason[64],
		rule[320];
	const char *on = colour ? colour_of(event_field(e, "decision")) : "";
	char count[32] = "";

	cleaned(e->ts, "", ts, sizeof(ts));
	cleaned(event_field(e, "sandbox"), "-", sandbox, sizeof(sandbox));
	cleaned(event_field(e, "decision"), event_field(e, "event"), decision, sizeof(decision));
	cleaned(event_field(e, "reason"), "-", reason, sizeof(reason));
	cleaned(event_field(e, "rule"), "-", rule, sizeof(rule));
	event_what(e, what, sizeof(what));
	if (event_count(e) > 1)
		snprintf(count, sizeof(count), "  x%lld", event_count(e));
	snprintf(out, cap, "%s  %-12s %s%-7s%s %-9s %-40s  %-22s  %s%s", ts, sandbox, on, decision,
		 *on ? "\033[0m" : "", event_field(e, "src"), what, reason, rule, count);
}
