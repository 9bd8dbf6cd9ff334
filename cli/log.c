/*
 * log.c - cordon log: the audit, readable
 *
 * Theory of operation: one pass over the merged files; every event that passes the filter is
 * printed as it is (--json) or as one line. -f waits for changes of the directory by inotify and
 * goes on. --verify reads every source's hash chain instead (verify.c), --rotate and --reopen are
 * rotate.c's.
 */
#include "cli/log.h"

#include <errno.h>
#include <poll.h>
#include <stddef.h>
#include <string.h>
#include <sys/inotify.h>
#include <time.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/rotate.h"
#include "cli/verify.h"

enum { SUMMARY_KEYS_MAX = 256, SUMMARY_KEY_MAX = 512, FOLLOW_MS = 1000 };

struct log_values {
	const char *sandbox, *since, *larger;
	bool deny, follow, verify, rotate, reopen;
};

static const struct option_row log_options[] = {
	{ "sandbox", 's', OPTION_TEXT, offsetof(struct log_values, sandbox), "S",
	  "events of one sandbox" },
	{ "deny", 'd', OPTION_FLAG, offsetof(struct log_values, deny), NULL, "refusals only" },
	{ "since", 0, OPTION_TEXT, offsetof(struct log_values, since), "10m",
	  "not older than this, or since 2026-11-22T06:30" },
	{ "follow", 'f', OPTION_FLAG, offsetof(struct log_values, follow), NULL,
	  "go on with new events" },
	{ "verify", 0, OPTION_FLAG, offsetof(struct log_values, verify), NULL,
	  "check the hash chain of every source, over all its files" },
	{ "rotate", 0, OPTION_FLAG, offsetof(struct log_values, rotate), NULL,
	  "rename the files to SOURCE-TIME.jsonl and go on in new ones" },
	{ "larger", 0, OPTION_TEXT, offsetof(struct log_values, larger), "64MiB",
	  "with --rotate: only files of at least this size" },
	{ "reopen", 0, OPTION_FLAG, offsetof(struct log_values, reopen), NULL,
	  "go on in new files, after logrotate has renamed them" },
};

static long long wall_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return (long long)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void print_waiting(const struct cli *c, struct event_files *files,
			  const struct event_filter *filter)
{
	char text[EVENT_TEXT_MAX * 2];
	struct event e;

	while (event_next(files, &e)) {
		if (event_wanted(&e, filter)) {
			event_format(&e, c->colour_out, text, sizeof(text));
			puts(c->json ? e.line : text);
		}
		event_done(&e);
	}
	fflush(stdout);
}

static int follow(const struct cli *c, const struct host_config *cfg, struct event_files *files,
		  const struct event_filter *filter)
{
	AUTO(fd) int fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	struct pollfd p = { .fd = fd, .events = POLLIN };
	char drain[4096];

	if (fd < 0 || inotify_add_watch(fd, cfg->log_dir, IN_MODIFY | IN_CREATE | IN_MOVED_TO) < 0)
		return cli_fail("log: cannot watch %s: %s", cfg->log_dir, strerror(errno));
	while (!ferror(stdout)) {
		print_waiting(c, files, filter);
		poll(&p, 1, FOLLOW_MS);
		while (read(fd, drain, sizeof(drain)) > 0)
			continue;
	}
	return EXIT_DONE;
}

static int show(const struct cli *c, const struct host_config *cfg, const struct log_values *v)
{
	AUTO(event_files) struct event_files *files = NULL;
	struct event_filter filter = { .sandbox = v->sandbox, .deny = v->deny };
	int r;

	if (v->since && !event_since(v->since, wall_ms(), filter.since))
		return cli_misuse(
			"log: --since %s: give 30s, 10m, 2h, 1d or a time such as 2026-11-22T06:30",
			v->since);
	r = event_files_open(cfg, false, &files);
	if (r < 0)
		return cli_fail("log: %s: %s", cfg->log_dir, strerror(-r));
	if (v->follow)
		return follow(c, cfg, files, &filter);
	print_waiting(c, files, &filter);
	if (event_broken(files))
		cli_warn("log: %zu lines are not events: see cordon log --verify",
			 event_broken(files));
	if (event_left_out(files))
		cli_warn("log: %zu rotated files are not shown: more than %d files",
			 event_left_out(files), EVENT_FILES_MAX);
	return EXIT_DONE;
}

static int rotate(const struct host_config *cfg, const struct log_values *v)
{
	long long larger = 0;

	if (v->rotate == v->reopen)
		return cli_misuse("log: --rotate or --reopen; not both, and --larger is for --rotate");
	if (cli_need_root("log --rotate"))
		return EXIT_REFUSED;
	if (v->reopen)
		return rotate_reopen(cfg);
	if (v->larger && !rotate_size(v->larger, &larger))
		return cli_misuse("log: --larger %s: give bytes, 512KiB, 64MiB or 1GiB", v->larger);
	return rotate_files(cfg, larger, true);
}

static int log_command(const struct cli *c, const void *values, const struct args *a)
{
	const struct log_values *v = values;
	AUTO(host_config) struct host_config *cfg = NULL;
	int r = cli_config_light(c, &cfg);

	(void)a;
	if (r)
		return r;
	if (v->rotate || v->reopen || v->larger)
		return rotate(cfg, v);
	if (access(cfg->log_dir, R_OK | X_OK) < 0)
		return cli_fail("log: %s: %s: %s", cfg->log_dir, strerror(errno),
				errno == ENOENT ? "the first sudo cordon up makes it" : "use sudo");
	return v->verify ? verify_directory(cfg->log_dir) : show(c, cfg, v);
}

struct summary {
	struct {
		char text[SUMMARY_KEY_MAX];
		long long count;
	} key[SUMMARY_KEYS_MAX];
	size_t n, more;
};

static void summary_add(struct summary *s, const struct event *e)
{
	char what[SUMMARY_KEY_MAX / 2], text[SUMMARY_KEY_MAX];

	event_what(e, what, sizeof(what));
	snprintf(text, sizeof(text), "%s  %s  (%s)", what, event_field(e, "reason"),
		 event_field(e, "rule"));
	for (size_t i = 0; i < s->n; i++)
		if (!strcmp(s->key[i].text, text)) {
			s->key[i].count += event_count(e);
			return;
		}
	if (s->n == SUMMARY_KEYS_MAX) {
		s->more++;
		return;
	}
	memcpy(s->key[s->n].text, text, sizeof(text));
	s->key[s->n++].count = event_count(e);
}

static void summary_print(const struct summary *s, const char *sandbox, FILE *to)
{
	if (!s->n)
		return;
	fprintf(to, "cordon: %zu refused (sudo cordon log --sandbox %s --deny):\n", s->n + s->more,
		sandbox);
	for (size_t i = 0; i < s->n; i++)
		if (s->key[i].count > 1)
			fprintf(to, "  %s  x%lld\n", s->key[i].text, s->key[i].count);
		else
			fprintf(to, "  %s\n", s->key[i].text);
	if (s->more)
		fprintf(to, "  and %zu more\n", s->more);
}

void log_summary(struct event_files *files, const char *sandbox, const char *since, FILE *to)
{
	struct event_filter filter = { .sandbox = sandbox, .deny = true };
	AUTO(mem) struct summary *s = calloc(1, sizeof(*s));
	struct event e;

	snprintf(filter.since, sizeof(filter.since), "%s", since);
	while (s && event_next(files, &e)) {
		if (event_wanted(&e, &filter))
			summary_add(s, &e);
		event_done(&e);
	}
	if (s)
		summary_print(s, sandbox, to);
}

const struct command command_log = {
	.name = "log",
	.usage = "[-f] [--sandbox S] [--deny] [--since 10m] [--verify | --rotate "
		 "[--larger 64MiB] | --reopen]",
	.line = "Show the audit: who wanted what, the decision, the reason, the rule",
	.examples = "  sudo cordon log --deny --since 10m\n  sudo cordon log -f --sandbox vm0\n"
		    "  sudo cordon log --json | jq .reason\n  sudo cordon log --verify\n"
		    "  sudo cordon log --rotate --larger 64MiB\n",
	.options = log_options,
	.n_options = ARRAY_SIZE(log_options),
	.run = log_command,
};
