/*
 * main.c - cordon-scan-files: what `cordon scan` runs
 *
 * Theory of operation: arguments are words in a fixed order, since cli/scan.c alone gives them:
 * text|json, files|any, the rules' file or "", the exceptions' file, then paths. Or `rules` and a file, of
 * cli/scan_check.c: nothing is scanned, and what is wrong with that file is told, as a daemon would find it.
 * It runs as its caller, gains no rights, and leaves no core file; what it reads is in memory that is
 * locked where the caller may lock it, and wiped.
 */
#include <errno.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "gitproxy/scan/files/source.h"

enum { EXIT_BAD = 1, EXIT_USE = 2, WORDS = 5 };

struct setup {
	struct diag *d;
	struct scan_rules *rules;
	struct scan_exceptions *exceptions;
	struct scan *engine;
	struct scan_scratch *scratch;
};

static void auto_free_setup(struct setup *s)
{
	scan_scratch_free(s->scratch);
	scan_free(s->engine);
	scan_exceptions_free(s->exceptions);
	scan_rules_free(s->rules);
	diag_free(s->d);
}

static int complain(const struct setup *s, int err)
{
	if (s->d && diag_errors(s->d))
		diag_print(s->d, stderr);
	else
		fprintf(stderr, "cordon: scan: %s\n",
			err == -ENOTSUP ? "this processor lacks SSE4.2: no scanner for it" : strerror(-err));
	return EXIT_USE;
}

static int prepare(struct setup *s, const char *rules, const char *exceptions)
{
	int err = diag_new(&s->d);

	if (!err)
		err = *rules ? scan_rules_load(rules, s->d, &s->rules) : scan_rules_builtin(s->d, &s->rules);
	err = err ? err : scan_exceptions_load(exceptions, s->d, &s->exceptions);
	err = err ? err : scan_new(s->rules, s->d, &s->engine);
	return err ? err : scan_scratch_new(s->engine, &s->scratch);
}

/* Compiled, not only read: what a regex may be is for the engine to say. */
static int check_rules(const char *file)
{
	__attribute__((cleanup(auto_free_setup))) struct setup s = { 0 };
	int err = diag_new(&s.d);

	err = err ? err : scan_rules_load(file, s.d, &s.rules);
	err = err ? err : scan_new(s.rules, s.d, &s.engine);
	return err ? complain(&s, err) : 0;
}

static void confine(void)
{
	struct rlimit none = { 0, 0 };

	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	setrlimit(RLIMIT_CORE, &none);
	prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
}

/* Before anything is scanned: a word that is mistyped is no half of an answer. */
static bool all_there(char **paths)
{
	for (; *paths; paths++)
		if (access(*paths, F_OK) < 0) {
			fprintf(stderr, "cordon: scan: %s: %s\n", *paths, strerror(errno));
			return false;
		}
	return true;
}

static int scan_paths(const struct source *s, char **paths, bool files)
{
	for (; *paths; paths++) {
		if (!files && source_is_repository(*paths))
			source_repository(s, *paths);
		else
			source_files(s, *paths);
	}
	return report_done(s->report) ? EXIT_BAD : 0;
}

int main(int argc, char **argv)
{
	__attribute__((cleanup(auto_free_setup))) struct setup setup = { 0 };
	struct report report;
	struct source s = { .report = &report };
	int r;

	if (argc == 3 && !strcmp(argv[1], "rules")) {
		confine();
		return check_rules(argv[2]);
	}
	if (argc <= WORDS) {
		fputs("cordon: this is a part of cordon scan: cordon scan --help\n", stderr);
		return EXIT_USE;
	}
	if (!all_there(argv + WORDS))
		return EXIT_USE;
	confine();
	r = prepare(&setup, argv[3], argv[4]);
	if (r)
		return complain(&setup, r);
	s.scratch = setup.scratch;
	s.piece = mmap(NULL, SOURCE_PIECE + SOURCE_BUFFER, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (s.piece == MAP_FAILED)
		return complain(&setup, -ENOMEM);
	mlock(s.piece, SOURCE_PIECE + SOURCE_BUFFER);
	s.buffer = s.piece + SOURCE_PIECE;
	report_init(&report, setup.exceptions, !strcmp(argv[1], "json"));
	r = scan_paths(&s, argv + WORDS, !strcmp(argv[2], "files"));
	OPENSSL_cleanse(s.piece, SOURCE_PIECE + SOURCE_BUFFER);
	munmap(s.piece, SOURCE_PIECE + SOURCE_BUFFER);
	return r;
}
