/*
 * exception.c - cordon exception: findings of the scanner that are accepted
 *
 * Theory of operation: the file is gitproxy/scan/exceptions.c's; here is what people say and see.
 * An entry needs a comment and ends by itself: nobody remembers why a finding was harmless, or
 * whether it still is.
 */
#include <errno.h>
#include <jansson.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cli/cli.h"
#include "cli/table.h"
#include "gitproxy/scan/exceptions.h"

enum { DAYS_MAX = 3660 };

struct exception_values { const char *expires, *comment, *file; };

static bool expires_parse(const char *text, char out[SCAN_DATE])
{
	char *end;
	unsigned long days = strtoul(text, &end, 10);
	struct tm tm;
	time_t t;

	if (scan_date_parse(text, &t)) {
		memcpy(out, text, SCAN_DATE);
		return t > time(NULL);
	}
	if (end == text || strcmp(end, "d") || *text == '-' || !days || days > DAYS_MAX)
		return false;
	t = time(NULL) + (time_t)days * 24 * 3600;
	return gmtime_r(&t, &tm) && strftime(out, SCAN_DATE, "%Y-%m-%d", &tm) == SCAN_DATE - 1;
}

static bool printable(const char *text)
{
	for (; *text; text++)
		if ((unsigned char)*text < ' ' || *text == 127)
			return false;
	return true;
}

static int complete(const char *what, const char *file, const char *fingerprint, int r, struct diag *d)
{
	if (!r)
		return EXIT_DONE;
	if (r == -EEXIST)
		return cli_fail("exception add: %s is there already: cordon exception rm it first", fingerprint);
	if (r == -ENOENT && !diag_errors(d))
		return cli_fail("exception rm: %s is not in %s: cordon exception ls", fingerprint, file);
	if (r == -EACCES || r == -EPERM)
		return cli_fail("exception %s: %s cannot be written: use sudo cordon exception %s", what, file, what);
	diag_print(d, stderr);
	return diag_errors(d) ? r == -EINVAL ? EXIT_USAGE : EXIT_REFUSED :
				cli_fail("exception %s: %s: %s", what, file, strerror(-r));
}

static int add(const struct exception_values *v, const char *file, const char *fingerprint, struct diag *d)
{
	struct scan_exception x = { .comment = (char *)v->comment };

	if (!v->comment || !*v->comment || strlen(v->comment) > SCAN_COMMENT_MAX || !printable(v->comment))
		return cli_misuse("exception add: say why in --comment TEXT, one line of at most %d bytes",
				  SCAN_COMMENT_MAX);
	if (!expires_parse(v->expires ? v->expires : "90d", x.expires))
		return cli_misuse("exception add: --expires %s: give days to come, such as 30d, or 2030-12-31",
				  v->expires);
	memcpy(x.fingerprint, fingerprint, sizeof(x.fingerprint));
	return complete("add", file, fingerprint, scan_exceptions_add(file, &x, d), d);
}

static int list(const struct cli *c, const char *file, struct diag *d)
{
	static const struct table_column columns[] = {
		{ "fingerprint", "FINGERPRINT" }, { "expires", "EXPIRES" }, { "state", "STATE" }, { "comment", "COMMENT" },
	};
	AUTO(scan_exceptions) struct scan_exceptions *e = NULL;
	int r = scan_exceptions_load(file, d, &e);
	json_t *rows;

	if (r)
		return complete("ls", file, "", r, d);
	rows = json_array();
	for (size_t i = 0; i < e->n; i++)
		json_array_append_new(rows, json_pack("{ssssssss}", "fingerprint", e->item[i].fingerprint, "expires",
						      e->item[i].expires, "state",
						      time(NULL) < e->item[i].until ? "accepted" : "expired",
						      "comment", e->item[i].comment));
	if (c->json) {
		json_dumpf(rows, stdout, JSON_INDENT(2));
		putchar('\n');
	} else if (e->n) {
		table_print(stdout, rows, columns, ARRAY_SIZE(columns));
	}
	json_decref(rows);
	return EXIT_DONE;
}

static int exception(const struct cli *c, const void *values, const struct args *a)
{
	const struct exception_values *v = values;
	const char *what = a->word[0];
	AUTO(diag) struct diag *d = NULL;
	AUTO(mem) char *file = NULL;
	bool adds = !strcmp(what, "add"), removes = !strcmp(what, "rm");
	int r = cli_exceptions(c, v->file, &file);

	if (r != EXIT_DONE)
		return r;
	if (diag_new(&d) < 0)
		return cli_fail("out of memory");
	if (!adds && !removes && strcmp(what, "ls"))
		return cli_misuse("exception: unknown word %s: add, ls or rm", what);
	if (!adds && (v->expires || v->comment))
		return cli_misuse("exception %s: --expires and --comment are of add", what);
	if (!adds && !removes)
		return a->n > 1 ? cli_misuse("exception ls: unexpected word %s", a->word[1]) : list(c, file, d);
	if (a->n < 2 || !scan_fingerprint_ok(a->word[1]))
		return cli_misuse("exception %s: give a fingerprint, 32 hex digits, as cordon scan prints it", what);
	if (adds)
		return add(v, file, a->word[1], d);
	return complete("rm", file, a->word[1], scan_exceptions_rm(file, a->word[1], d), d);
}

#define V(field) offsetof(struct exception_values, field)
static const struct option_row rows[] = {
	{ "comment", 0, OPTION_TEXT, V(comment), "TEXT", "add: why the finding is harmless" },
	{ "expires", 0, OPTION_TEXT, V(expires), "WHEN", "add: 30d or 2030-12-31 (default 90d)" },
	{ "file", 0, OPTION_TEXT, V(file), "FILE", "exceptions (default: git.scan.exceptions of the configuration)" },
};

const struct command command_exception = {
	.name = "exception",
	.usage = "add FINGERPRINT --comment TEXT [--expires WHEN] | ls | rm FINGERPRINT "
		 "[--file FILE]",
	.line = "Accept findings of the secret scanner, by fingerprint and for a time",
	.more = "A fingerprint stands for one secret under one rule, in whatever file it is. It says\n"
		"nothing of the secret. Exceptions are the host's alone: no comment and no file of\n"
		"what is scanned makes one. The file is replaced whole; other lines stay as they are.",
	.examples = "  sudo cordon exception add 0123456789abcdef0123456789abcdef --comment \"key of the test CA\"\n"
		    "  cordon exception ls\n"
		    "  sudo cordon exception rm 0123456789abcdef0123456789abcdef\n",
	.options = rows,
	.n_options = ARRAY_SIZE(rows),
	.min_args = 1,
	.max_args = 2,
	.run = exception,
};
