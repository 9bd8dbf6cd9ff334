/*
 * scan.c - how fast one core scans files: bench-scan engine|regexes SECONDS FILE...
 *
 * Theory of operation: the files are read before; then all of them are scanned, again and again, until
 * the time is over. `engine` is the scanner; `regexes` is each rule's regex by PCRE2's JIT alone over the
 * whole, which finds the same. Prints bytes a second of CPU time, and how many secrets one pass found.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "gitproxy/scan/engine.h"

enum { FILES_MAX = 4096 };

struct file { const char *path; uint8_t *text; size_t n; };

struct bench {
	struct scan_sink sink;
	struct diag *d;
	struct scan_rules *rules;
	struct scan *engine;
	struct scan_scratch *scratch;
	struct scan_matcher matcher;
	struct file files[FILES_MAX];
	size_t n, found;
};

static double cpu(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void fail(const char *what)
{
	perror(what);
	exit(1);
}

static void found(struct scan_sink *sink, const struct scan_finding *f)
{
	(void)f;
	container_of(sink, struct bench, sink)->found++;
}

static void load(struct file *f, const char *path)
{
	FILE *from = fopen(path, "rb");
	long n;

	if (!from || fseek(from, 0, SEEK_END) || (n = ftell(from)) < 0)
		fail(path);
	rewind(from);
	*f = (struct file){ path, malloc((size_t)n + 1), (size_t)n };
	if (!f->text || fread(f->text, 1, f->n, from) != f->n)
		fail(path);
	fclose(from);
}

static void by_engine(struct bench *b, const struct file *f)
{
	if (!scan_buffer(b->scratch, f->path, rd_of(f->text, f->n), &b->sink))
		fail("scan");
}

static void by_regexes(struct bench *b, const struct file *f)
{
	for (size_t rule = 0; rule < b->rules->n; rule++) {
		struct scan_window w = { .bytes = rd_of(f->text, f->n), .last = f->n, .to = f->n, .begins = true };
		struct scan_hit hit;
		enum scan_match v;

		while ((v = scan_confirm(b->engine, &b->matcher, rule, f->path, &w, &w.from, &hit)) != SCAN_MATCH_NONE) {
			if (v == SCAN_MATCH_FAILED)
				fail("match");
			b->found += v == SCAN_MATCH_SECRET;
		}
	}
}

static void prepare(struct bench *b)
{
	b->sink.found = found;
	if (diag_new(&b->d) || scan_rules_builtin(b->d, &b->rules) || scan_new(b->rules, b->d, &b->engine) ||
	    scan_scratch_new(b->engine, &b->scratch) || scan_matcher_init(b->engine, &b->matcher))
		fail("rules");
}

int main(int argc, char **argv)
{
	static struct bench b;
	bool engine = argc > 3 && !strcmp(argv[1], "engine");
	double seconds = argc > 3 ? atof(argv[2]) : 0, from, bytes = 0;
	size_t passes = 0;

	if (argc < 4 || argc - 3 > FILES_MAX)
		return 2;
	prepare(&b);
	for (int i = 3; i < argc; i++)
		load(&b.files[b.n++], argv[i]);
	for (from = cpu(); !passes || cpu() - from < seconds; passes++)
		for (size_t i = 0; i < b.n; i++) {
			engine ? by_engine(&b, &b.files[i]) : by_regexes(&b, &b.files[i]);
			bytes += (double)b.files[i].n;
		}
	printf("%.0f %zu\n", bytes / (cpu() - from), b.found / passes);
	return 0;
}
