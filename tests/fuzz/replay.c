/*
 * replay.c - a plain main() for a fuzzer: every file given, or every file of a directory given, is
 * one input. So the ordinary test run needs no libFuzzer to see that what was found once stays
 * fixed.
 */
#include "tests/fuzz/fuzz.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/mem.h"

enum { REPLAY_FILE_MAX = 16 << 20 };

static int replay_file(const char *path)
{
	FILE *f = fopen(path, "rb");
	struct stat st;
	AUTO(mem) uint8_t *text = NULL;
	size_t n = 0;

	if (!f || fstat(fileno(f), &st) < 0 || st.st_size > REPLAY_FILE_MAX) {
		perror(path);
		return 1;
	}
	text = malloc((size_t)st.st_size);	/* exactly: the sanitizer sees one byte too many */
	if (text || !st.st_size)
		n = fread(text, 1, (size_t)st.st_size, f);
	fclose(f);
	if (n != (size_t)st.st_size) {
		perror(path);
		return 1;
	}
	LLVMFuzzerTestOneInput(text, n);
	printf("%s: %zu bytes\n", path, n);
	return 0;
}

static int replay_directory(const char *path)
{
	DIR *dir = opendir(path);
	char name[4096];
	int failed = 0;

	if (!dir) {
		perror(path);
		return 1;
	}
	for (struct dirent *e; (e = readdir(dir));)
		if (e->d_name[0] != '.' &&
		    snprintf(name, sizeof(name), "%s/%s", path, e->d_name) > 0)
			failed |= replay_file(name);
	closedir(dir);
	return failed;
}

int main(int argc, char **argv)
{
	struct stat st;
	int failed = 0;

	setvbuf(stdout, NULL, _IOLBF, 0);
	for (int i = 1; i < argc; i++)
		failed |= !stat(argv[i], &st) && S_ISDIR(st.st_mode) ? replay_directory(argv[i]) :
								       replay_file(argv[i]);
	return failed || argc < 2;
}
