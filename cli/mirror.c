/*
 * mirror.c - cordon mirror: what is mirrored on this host, and what to do with it
 *
 * Theory of operation: cordon-mirror answers on RUN/mirror.sock with rows, and tells each second how far
 * it is; this program shows them. On a terminal that is one line that changes, else a line now and then,
 * so that a log of it stays short. Interrupting it harms nothing: what has begun is finished there.
 */
#include <errno.h>
#include <jansson.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/msg_mirror.h"
#include "cli/cli.h"
#include "cli/event.h"
#include "cli/mirror_client.h"
#include "cli/table.h"

enum { QUIET_S = 10 };			/* between lines of progress that are not on a terminal */

struct mirror_values { bool full, all; };

/* One of the words after `mirror`. */
static const struct verb {
	const char *name, *done;
	enum msg_mirror_command command;
	bool names_all;			/* without words it means all */
} verbs[] = {
	{ "ls", "", MIRROR_DO_LIST, true },
	{ "prewarm", "up to date", MIRROR_DO_PREWARM, false },
	{ "gc", "maintained", MIRROR_DO_MAINTAIN, true },
	{ "rm", "removed", MIRROR_DO_REMOVE, false },
	{ "verify", "whole", MIRROR_DO_VERIFY, true },
};

struct show {
	const struct cli *c;
	const struct verb *verb;
	json_t *rows;
	time_t said;			/* when progress was last told */
	bool line;			/* an unfinished one is on the terminal */
};

static volatile sig_atomic_t interrupted;

static void on_interrupt(int number)
{
	interrupted = number;
}

/* ---- showing ---- */

static void size_text(uint64_t n, char *to, size_t cap)
{
	static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB" };
	double v = (double)n;
	size_t i = 0;

	for (; v >= 1024 && i + 1 < ARRAY_SIZE(units); i++)
		v /= 1024;
	snprintf(to, cap, i ? "%.1f %s" : "%.0f %s", v, units[i]);
}

static json_t *time_json(int64_t s)
{
	char ts[EVENT_TS_MAX];

	if (!s)
		return json_null();
	event_time(s * 1000, ts);
	return json_string(ts);
}

static json_t *row_json(const struct msg_mirror_row *m)
{
	json_t *o =
		json_pack("{s:s, s:s, s:s, s:I, s:I, s:o, s:o, s:s}", "host", m->host, "repo", m->repo,
			  "credential", m->credential, "bytes", (json_int_t)m->bytes, "refs", (json_int_t)m->refs,
			  "refreshed", time_json(m->refreshed), "used", time_json(m->used), "state", m->state);

	mirror_savings(o, m);
	return o;
}

/* For people: one name, sizes that can be read, no fractions of seconds. */
static json_t *readable(const json_t *row)
{
	static const char *const times[] = { "refreshed", "used" };
	char name[MSG_NAME + MSG_MIRROR_PATH + 1], size[32], ts[EVENT_TS_MAX];
	json_t *o = json_copy((json_t *)(uintptr_t)row);

	snprintf(name, sizeof(name), "%s/%s", json_string_value(json_object_get(row, "host")),
		 json_string_value(json_object_get(row, "repo")));
	size_text((uint64_t)json_integer_value(json_object_get(row, "bytes")), size, sizeof(size));
	json_object_set_new(o, "name", json_string(name));
	json_object_set_new(o, "size", json_string(size));
	size_text((uint64_t)json_integer_value(json_object_get(row, "saved_bytes")), size, sizeof(size));
	json_object_set_new(o, "saved", json_string(size));
	if (!*json_string_value(json_object_get(row, "credential")))
		json_object_del(o, "credential");
	for (size_t i = 0; i < ARRAY_SIZE(times); i++) {
		const char *t = json_string_value(json_object_get(row, times[i]));

		snprintf(ts, sizeof(ts), "%.19s%s", t ? t : "-", t ? "Z" : "");
		json_object_set_new(o, times[i], json_string(ts));
	}
	return o;
}

static void print_list(const struct show *s)
{
	static const struct table_column columns[] = {
		{ "name", "REPOSITORY" }, { "credential", "CREDENTIAL" }, { "size", "SIZE" }, { "refs", "REFS" },
		{ "saved", "SAVED" }, { "refreshed", "REFRESHED" }, { "used", "USED" }, { "state", "STATE" },
	};
	json_t *rows = json_array(), *row;
	size_t i;

	json_array_foreach(s->rows, i, row) json_array_append_new(rows, readable(row));
	table_print(stdout, rows, columns, ARRAY_SIZE(columns));
	json_decref(rows);
}

static void end_line(struct show *s)
{
	if (s->line)
		fputs("\r\033[K", stderr);
	s->line = false;
}

static void show_progress(struct show *s, const struct msg_mirror_row *m)
{
	bool terminal = isatty(fileno(stderr));
	time_t now = time(NULL);
	char size[32];

	if (!terminal && now - s->said < QUIET_S)
		return;
	s->said = now;
	size_text(m->bytes, size, sizeof(size));
	end_line(s);
	fprintf(stderr, "%s/%s: %s", m->host, m->repo, m->state);
	if (m->bytes)
		fprintf(stderr, ", %s received", size);
	fputs(terminal ? "" : "\n", stderr);
	s->line = terminal;
}

static void show_done(struct show *s, const struct msg_mirror_row *m)
{
	json_t *row = row_json(m);
	char size[32];

	json_object_set_new(row, "result", json_string(m->result ? "failed" : s->verb->done));
	json_object_set_new(row, "text", json_string(m->text));
	json_array_append_new(s->rows, row);
	end_line(s);
	size_text(m->bytes, size, sizeof(size));
	if (m->result)
		cli_fail("mirror %s: %s/%s: %s", s->verb->name, m->host, m->repo, m->text);
	else if (!s->c->json)
		printf("%s/%s: %s%s%s\n", m->host, m->repo, s->verb->done, m->bytes ? ", " : "", m->bytes ? size : "");
}

static void show_row(void *owner, const struct msg_mirror_row *m)
{
	struct show *s = owner;

	if (m->kind == MIRROR_ROW_REPO)
		json_array_append_new(s->rows, row_json(m));
	else if (m->kind == MIRROR_ROW_PROGRESS)
		show_progress(s, m);
	else if (m->kind == MIRROR_ROW_DONE)
		show_done(s, m);
}

/* ---- asking ---- */

static int ask(const struct host_config *cfg, struct show *s, const struct mirror_values *v, const char *host,
	       const char *path)
{
	struct msg_mirror_do q = { .command = s->verb->command, .full = v->full };

	if (!msg_text_set(q.host, sizeof(q.host), host) || !msg_text_set(q.repo, sizeof(q.repo), path))
		return cli_misuse("mirror %s: %s/%s: too long a name", s->verb->name, host, path);
	return mirror_ask(cfg, &q, show_row, s);
}

/* Each in turn, whatever became of the one before; an interruption ends it. */
static int ask_words(const struct host_config *cfg, struct show *s, const struct mirror_values *v, char **word, int n)
{
	int worst = EXIT_DONE;

	for (int i = 0; i < n && !interrupted; i++) {
		struct host_repository repo;
		int r;

		if (!host_repository_parse(cfg, word[i], &repo)) {
			worst = cli_misuse("mirror %s: %s is not one repository: write HOST/OWNER/NAME, such as "
					   "github.com/acme/widgets", s->verb->name, word[i]);
			continue;
		}
		r = ask(cfg, s, v, repo.host, repo.path);
		worst = r > worst ? r : worst;
		host_repository_done(&repo);
	}
	return worst;
}

static int ask_listed(const struct host_config *cfg, struct show *s, const struct mirror_values *v)
{
	const struct host_mirrors *m = &cfg->mirrors;
	int worst = EXIT_DONE;

	if (!m->n_prewarm)
		return cli_misuse("mirror prewarm: git.mirrors.prewarm is empty: name a repository, such as "
				  "github.com/acme/widgets");
	for (size_t i = 0; i < m->n_prewarm && !interrupted; i++) {
		int r = ask(cfg, s, v, m->prewarm[i].host, m->prewarm[i].path);

		worst = r > worst ? r : worst;
	}
	return worst;
}

static int run_verb(const struct host_config *cfg, struct show *s, const struct mirror_values *v, const struct args *a)
{
	if (a->n > 1 && v->all)
		return cli_misuse("mirror %s: either --all or names", s->verb->name);
	if (a->n > 1)
		return ask_words(cfg, s, v, a->word + 1, a->n - 1);
	if (s->verb->command == MIRROR_DO_PREWARM && !v->all)
		return ask_listed(cfg, s, v);
	if (s->verb->names_all || (v->all && s->verb->command == MIRROR_DO_REMOVE))
		return ask(cfg, s, v, "", "");
	return cli_misuse("mirror %s: which? name repositories%s", s->verb->name,
			  s->verb->command == MIRROR_DO_REMOVE ? ", or --all" : "");
}

static const struct verb *verb_of(const char *word)
{
	for (size_t i = 0; i < ARRAY_SIZE(verbs); i++)
		if (!strcmp(verbs[i].name, word))
			return &verbs[i];
	return NULL;
}

static void finish(struct show *s)
{
	end_line(s);
	if (s->c->json) {
		json_dumpf(s->rows, stdout, JSON_INDENT(2));
		putchar('\n');
	} else if (s->verb->command == MIRROR_DO_LIST) {
		print_list(s);
	}
}

static int mirror(const struct cli *c, const void *values, const struct args *a)
{
	AUTO(host_config) struct host_config *cfg = NULL;
	struct show s = { .c = c, .verb = verb_of(a->word[0]) };
	int r;

	if (!s.verb)
		return cli_misuse("mirror: unknown word %s: ls, prewarm, gc, rm or verify", a->word[0]);
	r = cli_config_light(c, &cfg);
	if (!r)
		r = cli_need_root("mirror");
	if (r)
		return r;
	s.rows = json_array();
	sigaction(SIGINT, &(struct sigaction){ .sa_handler = on_interrupt }, NULL);
	r = run_verb(cfg, &s, values, a);
	if (r != EXIT_USAGE)
		finish(&s);
	json_decref(s.rows);
	return interrupted ? 128 + SIGINT : r;
}

#define V(field) offsetof(struct mirror_values, field)
static const struct option_row rows[] = {
	{ "full", 0, OPTION_FLAG, V(full), NULL, "verify: every object, not only that it is there" },
	{ "all", 0, OPTION_FLAG, V(all), NULL, "rm: every mirror" },
};

const struct command command_mirror = {
	.name = "mirror",
	.usage = "ls|prewarm|gc|rm|verify [--full] [--all] [REPO...]",
	.line = "Repositories that are mirrored on this host: list, fetch, maintain, remove, verify",
	.more = "REPO is HOST/OWNER/NAME. A repository has one mirror for each credential that it was read with.\n"
		"\n"
		"ls       what is there: size, references, when it was refreshed and used\n"
		"prewarm  fetch now; without REPO those of git.mirrors.prewarm\n"
		"gc       repack, write bitmaps, let expired pins go; without REPO all\n"
		"rm       remove, with the answers that were kept; transfers that run may break\n"
		"verify   is all there that its references need; a damaged one is removed, and fetched again\n"
		"         when it is asked for; without REPO all\n"
		"\n"
		"Interrupting it is harmless: what has begun is finished in the background.",
	.examples = "  sudo cordon mirror ls\n"
		    "  sudo cordon mirror prewarm github.com/acme/widgets\n"
		    "  sudo cordon mirror rm github.com/acme/widgets\n"
		    "  sudo cordon mirror verify --full\n",
	.options = rows,
	.n_options = ARRAY_SIZE(rows),
	.min_args = 1,
	.max_args = -1,
	.run = mirror,
};
