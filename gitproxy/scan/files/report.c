/*
 * report.c - findings as lines or as one JSON object, progress, and the exit status
 *
 * Theory of operation: a line is printed when it is found; the summary goes to stderr, so that stdout
 * holds findings alone. Paths come from whoever made the files: they are escaped, cut, and not shown
 * when a rule finds a secret in them. What could not be scanned is counted and fails the whole.
 */
#include "gitproxy/scan/files/report.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { PATH_SHOWN = 256, COMMIT_SHOWN = 12, PROGRESS_MS = 200, PROGRESS_EVERY = 64 };

static int64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void clear_progress(const struct report *r)
{
	if (r->progress && r->shown_ms)
		fputs("\r\033[K", stderr);
}

static void show_progress(struct report *r)
{
	if (!r->progress || r->objects % PROGRESS_EVERY || now_ms() - r->shown_ms < PROGRESS_MS)
		return;
	r->shown_ms = now_ms();
	fprintf(stderr, "\r\033[K%" PRIu64 " objects, %" PRIu64 " MiB, %" PRIu64 " findings", r->objects,
		r->bytes >> 20, r->found);
}

static void print_text(struct report *r, const struct scan_finding *f, const struct scan_exception *x)
{
	clear_progress(r);
	if (r->in_name)
		printf("%s: ", r->path);
	else
		printf("%s:%" PRIu64 ":%" PRIu64 ": ", r->path, f->line, f->column);
	printf("%s: %s, fingerprint %s", f->rule->id, f->rule->description, f->fingerprint);
	if (*r->commit)
		printf(", commit %.*s", COMMIT_SHOWN, r->commit);
	if (x)
		printf(", accepted until %s", x->expires);
	putchar('\n');
}

static void add_json(struct report *r, const struct scan_finding *f, const struct scan_exception *x)
{
	json_t *o = json_pack("{sssssssIsIss}", "rule", f->rule->id, "description", f->rule->description, "path",
			      r->path, "line", (json_int_t)(r->in_name ? 0 : f->line), "column",
			      (json_int_t)(r->in_name ? 0 : f->column), "fingerprint", f->fingerprint);

	if (o && *r->commit)
		json_object_set_new(o, "commit", json_string(r->commit));
	if (o && x)
		json_object_set_new(o, "accepted_until", json_string(x->expires));
	if (!o || json_array_append_new(r->findings, o) < 0)
		r->failed++;
}

static void found(struct scan_sink *sink, const struct scan_finding *f)
{
	struct report *r = container_of(sink, struct report, sink);
	const struct scan_exception *x = scan_exceptions_accept(r->exceptions, f->fingerprint, time(NULL));

	*(x ? &r->accepted : &r->found) += 1;
	if (r->findings)
		add_json(r, f, x);
	else
		print_text(r, f, x);
}

/* While a path is looked at, whether it can be shown is not known. */
static void hide(struct scan_sink *sink, const struct scan_finding *f)
{
	struct report *r = container_of(sink, struct report, sink);

	strcpy(r->path, "(path not shown: a secret is in it)");
	r->in_name = true;
	found(sink, f);
	r->in_name = false;
}

void report_init(struct report *r, const struct scan_exceptions *exceptions, bool json)
{
	*r = (struct report){ .exceptions = exceptions, .progress = isatty(STDERR_FILENO) };
	r->findings = json ? json_array() : NULL;
}

static void judge(struct report *r, enum scan_verdict v)
{
	if (v == SCAN_FAILED)
		report_fail(r, NULL, "not scanned to its end: it makes a rule take too long, or memory is short");
	if (v == SCAN_CUT)
		report_fail(r, NULL, "more findings in it than are told of one object");
}

void report_begin(struct report *r, struct scan_scratch *s, const char *path)
{
	enum scan_verdict v;

	bytes_escape(rd_str(path), PATH_SHOWN, r->path, sizeof(r->path));
	r->sink.found = hide;
	v = scan_buffer(s, path, rd_str(path), &r->sink);
	judge(r, v);
	r->sink.found = found;
	scan_begin(s, path, &r->sink);
}

void report_bytes(struct report *r, struct scan_scratch *s, struct rd bytes)
{
	r->bytes += bytes.n;
	scan_feed(s, bytes);
}

void report_end(struct report *r, struct scan_scratch *s)
{
	judge(r, scan_end(s));
	r->objects++;
	show_progress(r);
}

void report_fail(struct report *r, const char *path, const char *why)
{
	char shown[REPORT_PATH];

	r->failed++;
	clear_progress(r);
	if (path)
		bytes_escape(rd_str(path), PATH_SHOWN, shown, sizeof(shown));
	fprintf(stderr, "cordon: %s: %s\n", path ? shown : r->path, why);
}

static int print_json(struct report *r, const char *verdict)
{
	json_t *o = json_pack("{sososIsIsIss}", "findings", r->findings, "verdict", json_string(verdict), "objects",
			      (json_int_t)r->objects, "bytes", (json_int_t)r->bytes, "failed",
			      (json_int_t)r->failed, "version", CORDON_VERSION);
	int bad = !o || json_dumpf(o, stdout, JSON_INDENT(2)) < 0;

	putchar('\n');
	json_decref(o);
	return bad;
}

int report_done(struct report *r)
{
	const char *verdict = r->failed ? "failed" : r->found ? "found" : "clean";
	bool bad = r->failed || r->found;

	clear_progress(r);
	if (r->findings)
		bad |= print_json(r, verdict);
	bad |= fflush(stdout) != 0;
	fprintf(stderr, "%s: %" PRIu64 " objects, %.1f MiB, %" PRIu64 " findings, %" PRIu64 " accepted, %" PRIu64
		" not scanned\n",
		verdict, r->objects, (double)r->bytes / (1 << 20), r->found, r->accepted, r->failed);
	return bad;
}
